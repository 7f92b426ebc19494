//! A server that serves, and how it ends.

use std::time::Duration;

use anyhow::Context as _;
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle},
    time::{Instant, timeout_at},
};
use tonic_health::ServingStatus;

use super::{
    Ended,
    connections::Phase,
    entrance::Beside,
    health::Health,
    limits::{CLOSE_GRACE, DRAIN_GRACE},
    presence,
};
use crate::{registry::Registry, store::Store, traces::Traces};

/// What there is of it.
pub(super) struct Running {
    /// How many connections were cut, once it has ended.
    pub(super) serving: JoinHandle<usize>,
    pub(super) phase: watch::Sender<Phase>,
    /// Tells what is under way that it is to come to an end.
    pub(super) stopping: watch::Sender<bool>,
    pub(super) health: Health,
    /// Lets health follow the store.
    pub(super) following: JoinHandle<()>,
    pub(super) announced: Gauge,
    pub(super) traces: Option<Traces>,
    pub(super) _beside: Beside,
}

impl Running {
    /// Ends it in order. `failed` is how serving has ended, where it has.
    pub(super) async fn end(
        self,
        registry: &dyn Registry,
        store: &dyn Store,
        failed: Option<Result<usize, JoinError>>,
    ) -> anyhow::Result<Ended> {
        let deadline = Instant::now() + DRAIN_GRACE;
        self.following.abort();
        // Its last word must not come after ours.
        let _ = self.following.await;
        self.health.report(ServingStatus::NotServing).await;
        presence::withdraw(registry).await;
        self.announced.set(0);
        self.health.end_watches().await;
        self.stopping.send_replace(true);
        self.phase.send_replace(Phase::Draining(deadline));
        let ended = match failed {
            Some(failed) => failed,
            None => finish(self.serving, deadline).await,
        };
        // A collector that is away is not waited for as long as callers are.
        let export_by = Instant::now() + CLOSE_GRACE;
        let exporting = async {
            if let Some(traces) = self.traces {
                traces.end(export_by).await;
            }
        };
        let close_by = deadline + CLOSE_GRACE;
        let (closed, ()) = tokio::join!(timeout_at(close_by, store.close()), exporting);
        if closed.is_err() {
            tracing::warn!("ended before the store was closed: the next start does the rest");
        }
        let cut = ended.context("the accept loop panicked")?;
        Ok(Ended { cut })
    }
}

/// The loop keeps to the deadline by itself; this is the net beneath it.
async fn finish(mut serving: JoinHandle<usize>, deadline: Instant) -> Result<usize, JoinError> {
    const MARGIN: Duration = Duration::from_millis(200);
    if let Ok(ended) = timeout_at(deadline + MARGIN, &mut serving).await {
        ended
    } else {
        serving.abort();
        Ok(0)
    }
}
