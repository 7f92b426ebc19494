//! A server that serves, and how it ends.

use std::sync::Arc;

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
    limits::{CLOSE_GRACE, CUT_GRACE, DRAIN_GRACE},
    presence,
    seats::Seats,
};
use crate::{registry::Registry, store::Store, traces::Traces};

/// What there is of it.
pub(super) struct Running {
    /// How many connections were cut, once it has ended.
    pub(super) serving: JoinHandle<usize>,
    /// The connections that there are.
    pub(super) seats: Arc<Seats>,
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
            None => finish(self.serving, deadline, &self.seats).await,
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

/// The loop keeps to the deadline by itself; this is the net beneath it, for a machine that stood still until now.
async fn finish(
    mut serving: JoinHandle<usize>,
    deadline: Instant,
    seats: &Seats,
) -> Result<usize, JoinError> {
    if let Ok(ended) = timeout_at(deadline + CUT_GRACE * 2, &mut serving).await {
        ended
    } else {
        let cut = seats.taken();
        serving.abort();
        Ok(cut)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, net::Ipv4Addr};

    use super::{
        super::{Counts, Limits},
        *,
    };

    #[tokio::test]
    async fn connections_that_the_net_catches_are_counted_as_cut() {
        let counts = Counts::new(&mut prometheus_client::registry::Registry::default());
        let seats = Seats::new(&Limits::default(), false, Arc::new(counts));
        let peer = Ipv4Addr::LOCALHOST.into();
        let _seated = [seats.take(peer).await, seats.take(peer).await];
        let cut = finish(tokio::spawn(pending()), Instant::now(), &seats).await;
        assert_eq!(cut.unwrap(), 2);
    }
}
