//! What is said of the server's health, over gRPC and plain HTTP.

use std::sync::Arc;

use tokio::sync::watch;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    proto::{SERVICE, SERVICE_ALIAS},
    store::Condition,
};

/// What health is known of: the server as a whole (the empty name, by the health protocol), and the service under both
/// of its names.
const HEALTH_NAMES: [&str; 3] = ["", SERVICE, SERVICE_ALIAS];
/// What is healthy as long as the process is: whoever starts servers again that are not (Kubernetes' liveness probe) must
/// not do so because their store is away, which takes none of them back.
const LIVENESS: &str = "liveness";

/// What those are told who ask for the server's health.
#[derive(Clone)]
pub(super) struct Health {
    pub(super) reporter: HealthReporter,
    /// The same for who asks over plain HTTP.
    pub(super) ready: Arc<watch::Sender<bool>>,
}

impl Health {
    /// Says that the process lives, from now on.
    pub(super) async fn lives(&self) {
        let serving = ServingStatus::Serving;
        self.reporter.set_service_status(LIVENESS, serving).await;
    }

    pub(super) async fn report(&self, status: ServingStatus) {
        (self.ready).send_replace(status == ServingStatus::Serving);
        for name in HEALTH_NAMES {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// Ends the streams of those who watch it, once they have heard that the server stops: they would hold the drain to
    /// its deadline.
    pub(super) async fn end_watches(mut self) {
        for name in HEALTH_NAMES.into_iter().chain([LIVENESS]) {
            self.reporter.clear_service_status(name).await;
        }
    }
}

/// Lets health follow what the store can do.
pub(super) async fn follow(mut condition: watch::Receiver<Condition>, health: Health) {
    loop {
        let status = match &*condition.borrow_and_update() {
            Condition::Good => ServingStatus::Serving,
            Condition::Away(_) | Condition::WritesStopped(_) | Condition::Closed => {
                ServingStatus::NotServing
            }
        };
        health.report(status).await;
        if condition.changed().await.is_err() {
            // The store has ended without a word, which is not how it closes.
            health.report(ServingStatus::NotServing).await;
            return;
        }
    }
}
