//! One server's life: serve, announce, and end in order.

use std::{future::Future, io, sync::Arc};

use anyhow::Context as _;
use http::HeaderValue;
use tokio::{net::TcpListener, sync::watch};
use tonic_health::ServingStatus;

use self::{
    calls::Calls,
    connections::{Door, Phase},
    current::Current,
    entrance::{Entrance, Routes},
    gate::Gate,
    health::Health,
    line::Line,
    measured::Measured,
    presence::Presence,
    room::{PATIENCE, Room},
    running::Running,
    seats::Seats,
    tls::Tls,
    workers::Workers,
};
use crate::{
    proto::shipping_service_server::{ShippingService, ShippingServiceServer},
    registry::{Instance, Registry, RegistryError},
    service::RegisterService,
    store::Store,
    tokens::Tokens,
    traces::Traces,
    web::{Around, Crowding, Hosts, Web},
};

mod admission;
mod arrival;
mod calls;
mod connections;
mod copies;
mod counts;
pub mod current;
mod descriptors;
mod entrance;
mod entry;
mod gate;
mod guard;
mod handshake;
mod health;
mod limits;
mod line;
mod listener;
mod measured;
mod opened;
mod paced;
mod placed;
mod presence;
mod reflection;
mod refusals;
mod request_id;
mod room;
mod running;
mod seats;
mod stream;
pub mod tls;
mod trace_context;
mod traced;
mod workers;

pub use counts::Counts;
pub use descriptors::make_room;
pub use limits::Limits;
pub use listener::bind;

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
    /// The names that requests over plain HTTP may ask for it by.
    pub hosts: Hosts,
    /// What it takes on at once.
    pub limits: Limits,
    /// Where it counts.
    pub counts: Counts,
    /// Where that, and whatever else is measured, is read by those who watch it.
    pub metrics: prometheus_client::registry::Registry,
    /// Where requests are traced, where they are.
    pub traces: Option<Traces>,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Connections that were cut because the grace period was over.
    pub cut: usize,
}

impl Server {
    /// Serves until `shutdown`, then ends in order: not serving, withdrawn, accepting no more, drained, store closed and
    /// traces exported.
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
        let (store, registry) = (Arc::clone(&self.store), Arc::clone(&self.registry));
        let instance = self.instance.clone();
        let mut running = self.open().await?;
        let announced = running.announced.clone();
        let mut presence = Presence::new(&*registry, &instance, store.condition(), announced);
        let appearing = async {
            ready(presence.begin().await);
            tokio::join!(presence.keep(), copies::look_out(&*registry, &instance));
        };
        let failed = tokio::select! {
            () = shutdown => None,
            failed = &mut running.serving => Some(failed),
            () = appearing => None,
        };
        running.end(&*registry, &*store, failed).await
    }

    /// Begins to serve.
    async fn open(self) -> anyhow::Result<Running> {
        let register = HeaderValue::from_str(self.store.register())
            .context("the register's id cannot be sent in a header")?;
        let workers = self.workers().await?;
        let (stopping, stops) = watch::channel(false);
        let mut metrics = self.metrics;
        let measured = Measured::new(&mut metrics, &self.registry);
        measured::register(&mut metrics, &*self.store, &self.instance.version);
        let tls = self.tls.map(Arc::new);
        if let Some(tls) = &tls {
            measured::register_certificate(&mut metrics, Arc::clone(tls));
        }
        let service = RegisterService::new(
            Arc::clone(&self.store),
            self.limits.queue_bytes,
            stops.clone(),
            measured.followers,
        );
        let (is_ready, readiness) = watch::channel(false);
        let posting = Arc::default();
        let around = Around {
            register: self.store.register().to_owned(),
            ready: readiness,
            stopping: stops,
            crowding: crowding(&posting, &self.counts),
            hosts: Arc::new(self.hosts),
            metrics: Arc::new(metrics),
        };
        let (health, routes) = routes(service, self.limits.message_bytes, is_ready, around)?;
        health.report(ServingStatus::Serving).await;
        health.lives().await;
        let following = tokio::spawn(health::follow(self.store.condition(), health.clone()));
        let (phase, phases) = watch::channel(Phase::Serving);
        let entrance = Entrance {
            listener: self.listener,
            tls,
            tokens: self.tokens,
            probe: self.probe,
            limits: self.limits,
            counts: Arc::new(self.counts),
            posting,
            calls: measured.calls,
            tracer: self.traces.as_ref().map(Traces::tracer),
        };
        let (serving, seats, beside) = entrance.open(routes, register, workers, &phases);
        Ok(Running {
            serving,
            seats,
            phase,
            stopping,
            health,
            following,
            announced: measured.announced,
            traces: self.traces,
            _beside: beside,
        })
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
    let limits = Limits::default();
    let service =
        ShippingServiceServer::new(service).max_decoding_message_size(limits.message_bytes);
    let counts = Arc::new(Counts::new(
        &mut prometheus_client::registry::Registry::default(),
    ));
    let routes = tonic::service::Routes::new(service).prepare();
    let register = HeaderValue::from_static("bare");
    let web = Web::health(&Around {
        register: "bare".into(),
        ready: watch::channel(true).1,
        stopping: watch::channel(false).1,
        crowding: crowding(&Arc::default(), &counts),
        hosts: Arc::new(Hosts::new([])),
        metrics: Arc::default(),
    });
    let room = Arc::new(Room::new(&limits, Arc::clone(&counts)));
    let door = Door {
        listener,
        gate: Arc::new(Gate {
            routes: routes.into_axum_router(),
            web,
            register,
            room,
            calls: Calls::default(),
            tracer: None,
            guard: None,
        }),
        handshake: None,
        seats: Seats::new(&limits, false, counts),
        limits,
    };
    let (_phase, phases) = watch::channel(Phase::Serving);
    connections::serve(door, Workers::start()?, phases).await;
    Ok(())
}

/// What to do where too much is being received by those who create over HTTP, of whom the slow ones are in `posting`.
fn crowding(posting: &Arc<Line>, counts: &Counts) -> Crowding {
    let posting = Arc::clone(posting);
    Crowding {
        make_room: Box::new(move || posting.end_first(PATIENCE)),
        refused: counts.memory(),
    }
}

fn routes(
    service: RegisterService,
    message_bytes: usize,
    ready: watch::Sender<bool>,
    around: Around,
) -> anyhow::Result<(Health, Routes)> {
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let web_health = Web::health(&around);
    let web = Web::new(service.clone(), around);
    let service = ShippingServiceServer::new(service).max_decoding_message_size(message_bytes);
    let all = tonic::service::Routes::new(service).add_service(health_service.clone());
    let prepared = |routes: tonic::service::Routes| routes.prepare().into_axum_router();
    let routes = Routes {
        health: prepared(tonic::service::Routes::new(health_service)),
        all: prepared(reflection::add_to(all, message_bytes)?),
        web,
        web_health,
    };
    let ready = Arc::new(ready);
    Ok((Health { reporter, ready }, routes))
}
