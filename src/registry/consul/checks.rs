//! Keeps a server in Consul: a service with a check that is passed again and again.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use tokio::time::{Instant, sleep};

use super::{
    agent::{ANSWER_TIMEOUT, Agent},
    service,
};
use crate::registry::{Instance, RegistryError, kept::Ledger};

/// How long to wait until a registration shows: the agent tells the servers of it, mostly within milliseconds.
const SHOWS_WITHIN: Duration = Duration::from_secs(1);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Registers servers, each with a check of its own.
pub(super) struct Checks {
    agent: Arc<Agent>,
    ttl: Duration,
}

impl Checks {
    /// Checks in `agent` that fail `ttl` after they were passed last.
    pub(super) fn new(agent: Arc<Agent>, ttl: Duration) -> Self {
        Self { agent, ttl }
    }

    /// Tells the agent; `false` when it has no such service or check.
    async fn put(&self, path: &str, body: &Bytes) -> Result<bool, RegistryError> {
        let answer = self
            .agent
            .call(&Method::PUT, path, body, ANSWER_TIMEOUT)
            .await?;
        Ok(!answer.is_unknown())
    }

    /// Waits until the server shows, for a while. A token that may register may be one that may not look.
    async fn shows(&self, instance: &Instance) {
        let deadline = Instant::now() + SHOWS_WITHIN;
        let path = super::search::path(&instance.name);
        while Instant::now() < deadline {
            let answer = self
                .agent
                .call(&Method::GET, &path, &Bytes::new(), ANSWER_TIMEOUT)
                .await;
            let found = answer
                .ok()
                .and_then(|answer| service::read(&answer.body, &instance.name));
            if found.is_some_and(|found| found.iter().any(|found| found.id == instance.id)) {
                return;
            }
            sleep(LOOK_AGAIN_AFTER).await;
        }
        tracing::debug!("registered in Consul, and does not show yet");
    }
}

#[async_trait]
impl Ledger for Checks {
    type Entry = ();

    async fn register(&self, instance: &Instance) -> Result<(), RegistryError> {
        let registration = service::registration(instance, self.ttl)?;
        self.put("/v1/agent/service/register", &registration)
            .await?;
        self.shows(instance).await;
        Ok(())
    }

    async fn renew(&self, instance: &Instance, (): &()) -> Result<bool, RegistryError> {
        let path = format!("/v1/agent/check/pass/{}", service::check_id(instance));
        self.put(&path, &Bytes::new()).await
    }

    async fn remove(&self, instance: &Instance, _: Option<&()>) -> Result<(), RegistryError> {
        let path = format!("/v1/agent/service/deregister/{}", service::id(instance));
        self.put(&path, &Bytes::new()).await.map(drop)
    }

    fn describe(&self) -> String {
        self.agent.describe()
    }
}
