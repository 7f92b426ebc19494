//! One server's life: serve, announce, and end in order.

use std::{future::Future, io, sync::Arc, time::Duration};

use anyhow::Context as _;
use http::HeaderValue;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tonic_health::{ServingStatus, server::HealthReporter};

use self::{
    connections::{Door, Phase},
    current::Current,
    entrance::{Entrance, Routes},
    gate::Gate,
    presence::Presence,
    tls::Tls,
    workers::Workers,
};
use crate::{
    proto::{
        SERVICE, SERVICE_ALIAS,
        shipping_service_server::{ShippingService, ShippingServiceServer},
    },
    registry::{Instance, Registry, RegistryError},
    service::RegisterService,
    store::{Condition, Store},
    tokens::Tokens,
};

mod connections;
mod copies;
pub mod current;
mod entrance;
mod gate;
mod guard;
mod handshake;
mod limits;
mod listener;
mod opened;
mod presence;
mod refusals;
mod stream;
pub mod tls;
mod workers;

pub use listener::bind;

/// What health is known of: the server as a whole (the empty name, by the health protocol), and the service under both
/// of its names.
const HEALTH_NAMES: [&str; 3] = ["", SERVICE, SERVICE_ALIAS];
/// What is healthy as long as the process is: whoever starts servers again that are not (Kubernetes' liveness probe) must
/// not do so because their store is away, which takes none of them back.
const LIVENESS: &str = "liveness";

/// A server that is about to serve.
pub struct Server {
    /// Bound already, so that nobody is told of a port that is not ours.
    pub listener: TcpListener,
    /// The register.
    pub store: Arc<dyn Store>,
    /// Where it announces itself.
    pub registry: Arc<dyn Registry>,
    /// What it announces.
    pub instance: Instance,
    /// How it speaks TLS, where it does.
    pub tls: Option<Tls>,
    /// Who may do what, where not everybody may do everything.
    pub tokens: Option<Current<Tokens>>,
    /// Where it answers health checks alone, in clear and to everybody.
    pub probe: Option<TcpListener>,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Connections that were cut because the grace period was over.
    pub cut: usize,
}

impl Server {
    /// Serves until `shutdown`, then ends in order: not serving, withdrawn, accepting no more, drained, store closed.
    /// That takes at most 9.5 s. `ready` is called once, when the server
    /// answers and can be found, or with the reason why it cannot; not at all when `shutdown` comes before that.
    /// While the store cannot write, health says so; while it is away, the server is withdrawn from the registry.
    ///
    /// # Errors
    ///
    /// When serving itself failed; the store has been closed then, too.
    pub async fn run(
        self,
        ready: impl FnOnce(Result<(), RegistryError>),
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<Ended> {
        let register = HeaderValue::from_str(self.store.register())
            .context("the register's id cannot be sent in a header")?;
        let workers = self.workers().await?;
        let (stopping, stops) = watch::channel(false);
        let (mut health, routes) = routes(&self.store, stops);
        report(&health, ServingStatus::Serving).await;
        (health.set_service_status(LIVENESS, ServingStatus::Serving)).await;
        let following = tokio::spawn(follow(self.store.condition(), health.clone()));
        let (phase, phases) = watch::channel(Phase::Serving);
        let entrance = Entrance {
            listener: self.listener,
            tls: self.tls,
            tokens: self.tokens,
            probe: self.probe,
        };
        let (mut serving, _beside) = entrance.open(routes, register, workers, &phases);

        let mut presence = Presence::new(&*self.registry, &self.instance, self.store.condition());
        let appearing = async {
            ready(presence.begin().await);
            tokio::join!(
                presence.keep(),
                copies::look_out(&*self.registry, &self.instance)
            );
        };
        let failed = tokio::select! {
            () = shutdown => None,
            failed = &mut serving => Some(failed),
            () = appearing => None,
        };
        let deadline = Instant::now() + limits::DRAIN_GRACE;
        following.abort();
        // Its last word must not come after ours.
        let _ = following.await;
        report(&health, ServingStatus::NotServing).await;
        presence::withdraw(&*self.registry).await;
        end_watches(&mut health).await;
        stopping.send_replace(true);
        phase.send_replace(Phase::Draining(deadline));
        let ended = match failed {
            Some(failed) => failed,
            None => finish(serving, deadline).await,
        };
        let close_by = deadline + limits::CLOSE_GRACE;
        if timeout_at(close_by, self.store.close()).await.is_err() {
            tracing::warn!("ended before the store was closed: the next start does the rest");
        }
        let cut = ended.context("the accept loop panicked")?;
        Ok(Ended { cut })
    }

    async fn workers(&self) -> anyhow::Result<Workers> {
        let workers = Workers::start();
        if workers.is_err() {
            self.store.close().await;
        }
        workers.context("could not start the threads that serve connections")
    }
}

/// Serves `service` as [`Server::run`] serves a register, without a store, an announcement or an end: what calls cost
/// without those. Public for the benchmarks alone.
///
/// # Errors
///
/// When the threads that serve connections cannot be started.
#[doc(hidden)]
pub async fn serve_bare(listener: TcpListener, service: impl ShippingService) -> io::Result<()> {
    let service =
        ShippingServiceServer::new(service).max_decoding_message_size(limits::MESSAGE_BYTES);
    let routes = tonic::service::Routes::new(service).prepare();
    let register = HeaderValue::from_static("bare");
    let door = Door {
        listener,
        gate: Gate::new(routes.into_axum_router(), register, None),
        handshake: None,
        room: limits::CONNECTIONS,
    };
    let (_phase, phases) = watch::channel(Phase::Serving);
    connections::serve(door, Workers::start()?, phases).await;
    Ok(())
}

/// The loop keeps to the deadline by itself; this is the net beneath it.
async fn finish(
    mut serving: JoinHandle<usize>,
    deadline: Instant,
) -> Result<usize, tokio::task::JoinError> {
    const MARGIN: Duration = Duration::from_millis(200);
    if let Ok(ended) = timeout_at(deadline + MARGIN, &mut serving).await {
        ended
    } else {
        serving.abort();
        Ok(0)
    }
}

fn routes(store: &Arc<dyn Store>, stopping: watch::Receiver<bool>) -> (HealthReporter, Routes) {
    let (health, health_service) = tonic_health::server::health_reporter();
    let service = ShippingServiceServer::new(RegisterService::new(Arc::clone(store), stopping))
        .max_decoding_message_size(limits::MESSAGE_BYTES);
    let prepared = |routes: tonic::service::Routes| routes.prepare().into_axum_router();
    let routes = Routes {
        health: prepared(tonic::service::Routes::new(health_service.clone())),
        all: prepared(tonic::service::Routes::new(service).add_service(health_service)),
    };
    (health, routes)
}

/// Ends the streams of those who watch the server's health, once they have heard that it stops: they would hold the
/// drain to its deadline.
async fn end_watches(health: &mut HealthReporter) {
    for name in HEALTH_NAMES.into_iter().chain([LIVENESS]) {
        health.clear_service_status(name).await;
    }
}

/// Lets health follow what the store can do.
async fn follow(mut condition: watch::Receiver<Condition>, health: HealthReporter) {
    loop {
        let status = match &*condition.borrow_and_update() {
            Condition::Good => ServingStatus::Serving,
            Condition::Away(_) | Condition::WritesStopped(_) | Condition::Closed => {
                ServingStatus::NotServing
            }
        };
        report(&health, status).await;
        if condition.changed().await.is_err() {
            // The store has ended without a word, which is not how it closes.
            report(&health, ServingStatus::NotServing).await;
            return;
        }
    }
}

async fn report(health: &HealthReporter, status: ServingStatus) {
    for name in HEALTH_NAMES {
        health.set_service_status(name, status).await;
    }
}
