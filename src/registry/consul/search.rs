//! A search: the servers that pass their checks now, and then each that comes, by blocking queries.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use tokio::time::sleep;

use super::{
    agent::{ANSWER_TIMEOUT, Agent},
    service,
};
use crate::registry::{Instance, RegistryError, outage::Outage};

/// How long a query may wait for a change. Consul adds up to a sixteenth of it. It is also how long a search may be blind
/// to a Consul that was made anew and counts its indices from 1 again: until they reach the one that was seen last.
const WAIT: Duration = Duration::from_secs(10);
/// The pause between two queries: a command that has found its server needs no second one, and a service whose checks
/// change all the time is not asked for all the time.
const PAUSE: Duration = Duration::from_millis(100);

/// A search under way. Dropping it ends it.
pub(super) struct Search {
    agent: Arc<Agent>,
    name: String,
    /// What is to be told.
    ready: VecDeque<Instance>,
    /// What was told and is there, by the instance's id.
    known: HashMap<String, Instance>,
    /// The state that was seen last; 0 before the first.
    index: u64,
    is_first: bool,
    outage: Outage,
}

/// Where the passing servers of the service `name` are asked for.
pub(super) fn path(name: &str) -> String {
    format!("/v1/health/service/{name}?passing=1")
}

impl Search {
    pub(super) fn new(agent: Arc<Agent>, name: &str) -> Self {
        Self {
            agent,
            name: name.to_owned(),
            ready: VecDeque::new(),
            known: HashMap::new(),
            index: 0,
            is_first: true,
            outage: Outage::default(),
        }
    }

    /// What is found next. It never ends. Of a time without Consul an error comes once; the search goes on.
    pub(super) async fn next(&mut self) -> Result<Instance, RegistryError> {
        loop {
            if let Some(instance) = self.ready.pop_front() {
                return Ok(instance);
            }
            if let Some(pause) = self.outage.pause() {
                sleep(pause).await;
            } else if !self.is_first {
                sleep(PAUSE).await;
            }
            self.is_first = false;
            match self.ask().await {
                Ok(()) => self.outage.end(),
                Err(error) => {
                    // Another agent, or the same one later, may count otherwise.
                    self.index = 0;
                    if self.outage.note() {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Asks once.
    pub(super) async fn ask(&mut self) -> Result<(), RegistryError> {
        let (path, patience) = match self.index {
            0 => (path(&self.name), ANSWER_TIMEOUT),
            index => {
                let waiting = format!("&index={index}&wait={}s", WAIT.as_secs());
                (path(&self.name) + &waiting, WAIT * 17 / 16 + ANSWER_TIMEOUT)
            }
        };
        let answer = self
            .agent
            .call(&Method::GET, &path, &Bytes::new(), patience)
            .await?;
        let found = service::read(&answer.body, &self.name).ok_or_else(|| {
            let text = answer.text();
            self.agent.refused(format!(
                "what listens there is not Consul's HTTP API: {text}"
            ))
        })?;
        // One that goes back begins anew (Consul's documentation of blocking queries).
        self.index = if answer.index < self.index {
            0
        } else {
            answer.index
        };
        let told = std::mem::take(&mut self.known);
        for instance in found {
            if told.get(&instance.id) != Some(&instance) {
                self.ready.push_back(instance.clone());
            }
            self.known.insert(instance.id.clone(), instance);
        }
        Ok(())
    }
}
