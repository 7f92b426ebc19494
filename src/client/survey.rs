//! What there is: every server that a registry knows of, and how it is.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::{
    Options,
    probe::{self, Answer, Probed},
};
use crate::registry::{Instance, Registry, RegistryError};

/// Most servers taken from one search: far more than a network has, and what a flood of lies may cost.
const SERVERS_MAX: usize = 1_024;

/// What there is to look for, and for how long.
pub struct Survey {
    /// Where servers are looked up.
    pub registry: Arc<dyn Registry>,
    /// [`Options::timeout`] is how long servers have to answer, all of them together.
    pub options: Options,
    /// Whether servers of other services than the one of [`Options::name`] are wanted as well.
    pub of_all_names: bool,
    /// How long to look. It is always looked for as long: nobody knows how many there are.
    pub time: Duration,
}

/// What a survey has found.
#[derive(Debug)]
pub struct Surveyed {
    /// The servers, by their names and ids.
    pub servers: Vec<Surveyee>,
    /// What the registry failed in, if it did, the last of it.
    pub error: Option<RegistryError>,
    /// Whether there are more than were taken.
    pub is_cut: bool,
}

/// One server that was found.
#[derive(Debug, Clone)]
pub struct Surveyee {
    /// As it was announced; what nothing announces is empty, as with [`crate::registry::fixed::Fixed`].
    pub instance: Instance,
    /// What it said itself.
    pub probed: Probed,
}

impl Surveyee {
    /// The id of its register, by its own word where that is known.
    #[must_use]
    pub fn register(&self) -> &str {
        let said = (self.probed.places.iter()).find_map(|place| match &place.answer {
            Answer::Server { register, .. } => Some(register.as_str()),
            _ => None,
        });
        said.unwrap_or(&self.instance.register)
    }

    /// The best answer that it gave, with the address where it did: of a server, else of whoever takes connections.
    #[must_use]
    pub fn best(&self) -> Option<&probe::Place> {
        let places = || self.probed.places.iter();
        let server = places().find(|place| matches!(place.answer, Answer::Server { .. }));
        server.or_else(|| places().find(|place| place.answer.is_reached()))
    }

    /// Whether anybody takes connections at one of its addresses.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.best().is_some()
    }
}

impl Survey {
    /// Looks, and asks whom it has found.
    pub async fn run(&self) -> Surveyed {
        let (instances, error) = self.search().await;
        let is_cut = instances.len() >= SERVERS_MAX;
        let mut servers = self.ask(instances).await;
        if let Some(prefix) = &self.options.register {
            servers.retain(|server| server.register().starts_with(prefix.as_str()));
        }
        servers.sort_by(|a, b| {
            let key =
                |server: &Surveyee| (server.instance.name.clone(), server.instance.id.clone());
            key(a).cmp(&key(b))
        });
        Surveyed {
            servers,
            error,
            is_cut,
        }
    }

    /// How `servers` are now, that were found before.
    pub async fn ask_again(&self, servers: Vec<Surveyee>) -> Vec<Surveyee> {
        let instances = servers.into_iter().map(|server| server.instance);
        self.ask(instances.collect()).await
    }

    async fn ask(&self, instances: Vec<Instance>) -> Vec<Surveyee> {
        let deadline = Instant::now() + self.options.timeout;
        let probed = probe::probe(&instances, &self.options, deadline).await;
        let servers = instances.into_iter().zip(probed);
        servers
            .map(|(instance, probed)| Surveyee { instance, probed })
            .collect()
    }

    async fn search(&self) -> (Vec<Instance>, Option<RegistryError>) {
        let name = &self.options.name;
        let mut search = if self.of_all_names {
            self.registry.find_all(name)
        } else {
            self.registry.find(name)
        };
        let until = Instant::now() + self.time;
        let mut found: Vec<Instance> = Vec::new();
        let mut error = None;
        while let Ok(Some(next)) = timeout_at(until, search.next()).await {
            match next {
                Ok(instance) => {
                    let known = found.iter().position(|known| known.id == instance.id);
                    match known {
                        Some(known) => found[known] = instance,
                        None if found.len() < SERVERS_MAX => found.push(instance),
                        None => {}
                    }
                }
                Err(failure) => error = Some(failure),
            }
        }
        (found, error)
    }
}
