//! A search: the keys that are there, and then each that comes.
//!
//! It goes by no revision. A watch begins with what comes next, and all is read once it is there; so nothing is lost
//! when what was read last is compacted, or when the cluster was made anew and counts its revisions from 1 again.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tokio::time::sleep;

use super::{
    cluster::{Cluster, Failure},
    node,
    proto::{Event, RangeRequest, RangeResponse, event::EventType},
    watch::{Change, Watch},
};
use crate::registry::{Instance, RegistryError, outage::Outage};

/// How long after the keys were read the watch begins: a command that has found its server needs none.
const WATCH_AFTER: Duration = Duration::from_millis(100);

/// A search under way. Dropping it ends it.
pub(super) struct Search {
    cluster: Arc<Cluster>,
    /// The service; all of them without.
    name: Option<String>,
    /// What is to be told.
    ready: VecDeque<Instance>,
    /// What was told, by its key.
    known: HashMap<Vec<u8>, Vec<Instance>>,
    stage: Stage,
    outage: Outage,
}

enum Stage {
    /// To read all keys.
    Read,
    /// To watch.
    Watch,
    /// Watching.
    Watching(Box<Watch>),
}

impl Search {
    /// A search for the service `name`, or for each that there is.
    pub(super) fn new(cluster: Arc<Cluster>, name: Option<&str>) -> Self {
        Self {
            cluster,
            name: name.map(str::to_owned),
            ready: VecDeque::new(),
            known: HashMap::new(),
            stage: Stage::Read,
            outage: Outage::default(),
        }
    }

    /// What is found next. It never ends. Of a time without etcd an error comes once; the search goes on.
    pub(super) async fn next(&mut self) -> Result<Instance, RegistryError> {
        loop {
            if let Some(instance) = self.ready.pop_front() {
                return Ok(instance);
            }
            if let Some(pause) = self.outage.pause() {
                sleep(pause).await;
            }
            match self.advance().await {
                Ok(()) => self.outage.end(),
                Err(failure) => {
                    if self.outage.note() {
                        return Err(self.cluster.error(failure));
                    }
                }
            }
        }
    }

    /// Whether the keys can be read of a cluster that has its majority, without which nothing is announced.
    pub(super) async fn check(&self) -> Result<(), RegistryError> {
        let read = self.range(false).await.map(drop);
        read.map_err(|failure| self.cluster.error(failure))
    }

    /// The search as a stream.
    pub(super) fn into_stream(self) -> BoxStream<'static, Result<Instance, RegistryError>> {
        stream::unfold(self, |mut search| async move {
            Some((search.next().await, search))
        })
        .boxed()
    }

    async fn advance(&mut self) -> Result<(), Failure> {
        match &mut self.stage {
            Stage::Read => {
                self.read().await?;
                self.stage = Stage::Watch;
            }
            Stage::Watch => {
                sleep(WATCH_AFTER).await;
                let (key, range_end) = node::range(self.name.as_deref());
                let watch = Watch::start(&self.cluster, &key, &range_end).await?;
                // What came before it began.
                self.read().await?;
                self.stage = Stage::Watching(Box::new(watch));
            }
            Stage::Watching(watch) => match watch.next().await {
                Change::Events(events) => events.iter().for_each(|event| self.note(event)),
                Change::Ended(reason) => {
                    tracing::debug!(reason, "the watch has ended, and another one goes on");
                    self.stage = Stage::Read;
                }
            },
        }
        Ok(())
    }

    /// Reads all keys.
    async fn read(&mut self) -> Result<(), Failure> {
        let answer = match self.range(false).await {
            // A cluster that has lost its majority still knows where servers were, and most will be.
            Err(Failure::Away(_)) => self.range(true).await?,
            answer => answer?,
        };
        let told = std::mem::take(&mut self.known);
        for pair in answer.kvs {
            let found = node::decode(&pair.value, self.name.as_deref());
            if told.get(&pair.key) != Some(&found) {
                self.ready.extend(found.iter().cloned());
            }
            self.known.insert(pair.key, found);
        }
        Ok(())
    }

    async fn range(&self, serializable: bool) -> Result<RangeResponse, Failure> {
        let (key, range_end) = node::range(self.name.as_deref());
        let request = RangeRequest {
            key,
            range_end,
            serializable,
        };
        let answer = self.cluster.call(|session| {
            let request = request.clone();
            async move { session.kv().range(request).await }
        });
        Ok(answer.await?.into_inner())
    }

    fn note(&mut self, event: &Event) {
        let Some(pair) = &event.kv else {
            return;
        };
        if event.r#type() == EventType::Delete {
            self.known.remove(&pair.key);
            return;
        }
        let found = node::decode(&pair.value, self.name.as_deref());
        if self.known.get(&pair.key) != Some(&found) {
            self.ready.extend(found.iter().cloned());
            self.known.insert(pair.key.clone(), found);
        }
    }
}
