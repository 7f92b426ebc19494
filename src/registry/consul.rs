//! Consul: servers register with an agent, usually the one on their own machine, and are found through any.
//!
//! A server is a service with a check that has to be passed again and again; it is offered while it is passing. Its
//! facts are in the service's `Meta` (`metadata.rs` has the keys), in clear.
//!
//! The rooms, from the top: `checks`, what is said of a server; `search`, what is asked; `service`, the JSON of both;
//! `agent`, the calls; `http`, the connections. Each uses only what is below it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};

use super::{
    ANOTHER_NAME, Hints, Instance, Registry, RegistryError,
    access::{Access, Secret, Tenure},
    kept::Kept,
};

mod agent;
mod checks;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod http;
mod search;
mod service;

use agent::Agent;
use checks::Checks;
use search::Search;

/// Where an agent listens for HTTP unless it is told otherwise.
pub const PORT: u16 = 8500;

/// The variable with the token, as Consul's own command has it.
pub const TOKEN: &str = "CONSUL_HTTP_TOKEN";

const HINTS: Hints = Hints {
    start: "shippy serve --registry consul, with an agent of the same Consul and an address that is reached from \
            here: --lan or --advertise HOST:PORT",
    reach: &[
        "where Consul has ACLs: set CONSUL_HTTP_TOKEN to a token that may read services and nodes, as the others are \
         left out of its answers without a word",
        ANOTHER_NAME,
    ],
};

/// The registry that Consul keeps.
///
/// An unspecified address is announced as all addresses of this machine but loopback. An announcement is kept up in
/// the background whatever becomes of the agent, and `find` goes on over broken connections. Where several agents are
/// given, any will do: one that does not answer is passed over.
pub struct Consul {
    agent: Arc<Agent>,
    kept: Kept<Checks>,
}

impl Consul {
    /// The registry that is reached by `access`, with `token` if there is one. Nothing is sent before it is used.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unusable`] when no connection can be made with such settings.
    pub fn new(
        access: &Access,
        token: Option<Secret>,
        tenure: Tenure,
    ) -> Result<Self, RegistryError> {
        let agent = Arc::new(Agent::new(access, token)?);
        let checks = Checks::new(Arc::clone(&agent), tenure.ttl);
        // One that is late once is passed in time all the same.
        let interval = tenure.interval.min(tenure.ttl * 9 / 20);
        Ok(Self {
            agent,
            kept: Kept::new(Arc::new(checks), interval),
        })
    }
}

#[async_trait]
impl Registry for Consul {
    async fn announce(&self, instance: &Instance) -> Result<(), RegistryError> {
        self.kept.announce(instance).await
    }

    fn stands(&self) -> Option<bool> {
        Some(self.kept.stands())
    }

    async fn withdraw(&self) -> Result<(), RegistryError> {
        self.kept.withdraw().await
    }

    fn find(&self, name: &str) -> BoxStream<'static, Result<Instance, RegistryError>> {
        let search = Search::new(Arc::clone(&self.agent), name);
        stream::unfold(search, |mut search| async move {
            Some((search.next().await, search))
        })
        .boxed()
    }

    async fn check(&self, name: &str) -> Result<(), RegistryError> {
        Search::new(Arc::clone(&self.agent), name).ask().await
    }

    fn describe(&self) -> String {
        self.agent.describe()
    }

    fn hints(&self) -> Hints {
        HINTS
    }
}
