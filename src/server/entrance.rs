//! The addresses that a server listens on, and what those who come in there pass first.

use std::sync::Arc;

use axum::Router;
use http::HeaderValue;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::task::AbortOnDropHandle;

use super::{
    calls::Calls,
    connections::{self, Door, Phase},
    counts::Counts,
    current::Current,
    gate::Gate,
    guard::Guard,
    handshake::Handshake,
    limits::{Limits, PROBES},
    line::Line,
    refusals::Refusals,
    room::Room,
    seats::Seats,
    tls::Tls,
    workers::Workers,
};
use crate::{tokens::Tokens, traces::Tracer, web::Web};

/// As in [`super::Server`].
pub(super) struct Entrance {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) tokens: Option<Current<Tokens>>,
    pub(super) probe: Option<TcpListener>,
    pub(super) limits: Limits,
    pub(super) counts: Arc<Counts>,
    /// Those who create over HTTP and are slow.
    pub(super) posting: Arc<Line>,
    pub(super) calls: Calls,
    /// Where requests are traced; those on the address for probes are not.
    pub(super) tracer: Option<Tracer>,
}

/// What is served.
pub(super) struct Routes {
    pub(super) all: Router,
    pub(super) health: Router,
    /// The same for what is not gRPC.
    pub(super) web: Web,
    pub(super) web_health: Web,
}

/// What goes on beside serving, and ends when this is dropped: answering probes, keeping up with files, and ending what
/// stands still.
pub(super) type Beside = Vec<AbortOnDropHandle<()>>;

impl Entrance {
    /// Serves `routes` in the name of `register`; how many connections were cut in the end, and those there are meanwhile.
    pub(super) fn open(
        self,
        routes: Routes,
        register: HeaderValue,
        workers: Workers,
        phases: &watch::Receiver<Phase>,
    ) -> (JoinHandle<usize>, Arc<Seats>, Beside) {
        let mut beside = Vec::new();
        let refusals = Arc::new(Refusals::new());
        let handshake = self.tls.map(|tls| {
            beside.push(tokio::spawn(Arc::clone(&tls).keep_up()));
            Handshake::new(tls, Arc::clone(&refusals))
        });
        let guard = self.tokens.map(|tokens| {
            let tokens = Arc::new(tokens);
            beside.push(tokio::spawn(Arc::clone(&tokens).keep_up()));
            Guard::new(tokens, refusals)
        });
        let room = |posting| {
            let room = Room::new(&self.limits, Arc::clone(&self.counts));
            let room = Arc::new(room.with_posting(posting));
            let sweeping = tokio::spawn(Arc::clone(&room).sweep());
            (room, sweeping)
        };
        if let Some(listener) = self.probe {
            let (room, sweeping) = room(Arc::default());
            beside.push(sweeping);
            let limits = Limits {
                connections: PROBES,
                connections_per_peer: None,
                ..self.limits.clone()
            };
            let door = Door {
                listener,
                gate: Arc::new(Gate {
                    routes: routes.health,
                    web: routes.web_health,
                    register: register.clone(),
                    room,
                    calls: self.calls.clone(),
                    tracer: None,
                    guard: None,
                }),
                handshake: None,
                // All are strangers, so that whoever has been there longest gives way, whatever he has under way.
                seats: Seats::new(&limits, true, Arc::clone(&self.counts)),
                limits,
            };
            let probed = connections::serve(door, Workers::here(), phases.clone());
            beside.push(tokio::spawn(async {
                probed.await;
            }));
        }
        let (room, sweeping) = room(self.posting);
        beside.push(sweeping);
        let seats = Seats::new(&self.limits, guard.is_some(), self.counts);
        let door = Door {
            listener: self.listener,
            gate: Arc::new(Gate {
                routes: routes.all,
                web: routes.web,
                register,
                room,
                calls: self.calls,
                tracer: self.tracer,
                guard,
            }),
            handshake,
            seats: Arc::clone(&seats),
            limits: self.limits,
        };
        let serving = tokio::spawn(connections::serve(door, workers, phases.clone()));
        let beside = beside.into_iter().map(AbortOnDropHandle::new).collect();
        (serving, seats, beside)
    }
}
