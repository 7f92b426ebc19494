//! A search: the servers that are in DNS now, and then each that comes.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::{lookup::look_up, resolver::Resolver, target::Target};
use crate::registry::{Instance, RegistryError};

/// The pause between two questions. What was answered is asked again only once its time to live is over.
const PAUSE: Duration = Duration::from_millis(500);
/// How long all the questions about one name may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// A search under way. Dropping it ends it.
pub(super) struct Search {
    /// What is looked up, and by whom once it was.
    targets: Vec<(Target, Option<Resolver>)>,
    name: String,
    /// What is to be told.
    ready: VecDeque<Result<Instance, RegistryError>>,
    /// What was told and is there, by the instance's id.
    known: HashMap<String, Instance>,
    is_first: bool,
}

impl Search {
    /// The servers of the service `name` that `targets` stand for.
    pub(super) fn new(targets: Vec<Target>, name: &str) -> Self {
        Self {
            targets: targets.into_iter().map(|target| (target, None)).collect(),
            name: name.to_owned(),
            ready: VecDeque::new(),
            known: HashMap::new(),
            is_first: true,
        }
    }

    /// What is found next. It never ends.
    pub(super) async fn next(&mut self) -> Result<Instance, RegistryError> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                return next;
            }
            if !self.is_first {
                sleep(PAUSE).await;
            }
            self.is_first = false;
            self.ask().await;
        }
    }

    /// Asks for all of the targets and takes in all of the answers together, so that whoever hears of one server hears
    /// of the others. What fails counts only where nothing is found.
    async fn ask(&mut self) {
        let name = &self.name;
        let asked = self.targets.iter_mut().map(async |(target, resolver)| {
            let resolver = match resolver {
                Some(resolver) => resolver,
                none => none.insert(Resolver::new(target.authority)?),
            };
            let answer = timeout(LOOKUP_TIMEOUT, look_up(target, resolver, name)).await;
            answer.unwrap_or_else(|_| Err(resolver.away("it does not answer")))
        });
        let mut failure = None;
        let told = std::mem::take(&mut self.known);
        for answer in join_all(asked).await {
            match answer {
                Ok(instances) => self.take_in(instances, &told),
                Err(error) => {
                    tracing::debug!("looked up in vain: {error}");
                    failure.get_or_insert(error);
                }
            }
        }
        if self.known.is_empty() {
            self.ready.extend(failure.map(Err));
        }
    }

    fn take_in(&mut self, instances: Vec<Instance>, told: &HashMap<String, Instance>) {
        for instance in instances {
            if told.get(&instance.id) != Some(&instance) {
                self.ready.push_back(Ok(instance.clone()));
            }
            self.known.insert(instance.id.clone(), instance);
        }
    }
}
