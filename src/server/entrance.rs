//! The addresses that a server listens on, and what those who come in there pass first.

use std::sync::Arc;

use axum::Router;
use http::HeaderValue;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::task::AbortOnDropHandle;

use super::{
    connections::{self, Door, Phase},
    current::Current,
    gate::Gate,
    guard::Guard,
    handshake::Handshake,
    limits::{CONNECTIONS, PROBES},
    refusals::Refusals,
    tls::Tls,
    workers::Workers,
};
use crate::tokens::Tokens;

/// As in [`super::Server`].
pub(super) struct Entrance {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<Tls>,
    pub(super) tokens: Option<Current<Tokens>>,
    pub(super) probe: Option<TcpListener>,
}

/// What is served.
pub(super) struct Routes {
    pub(super) all: Router,
    pub(super) health: Router,
}

/// What goes on beside serving, and ends when this is dropped: answering probes, and keeping up with files.
pub(super) type Beside = Vec<AbortOnDropHandle<()>>;

impl Entrance {
    /// Serves `routes` in the name of `register`; how many connections were cut in the end.
    pub(super) fn open(
        self,
        routes: Routes,
        register: HeaderValue,
        workers: Workers,
        phases: &watch::Receiver<Phase>,
    ) -> (JoinHandle<usize>, Beside) {
        let mut beside = Vec::new();
        let refusals = Arc::new(Refusals::new());
        let handshake = self.tls.map(|tls| {
            let tls = Arc::new(tls);
            beside.push(tokio::spawn(Arc::clone(&tls).keep_up()));
            Handshake::new(tls, Arc::clone(&refusals))
        });
        let guard = self.tokens.map(|tokens| {
            let tokens = Arc::new(tokens);
            beside.push(tokio::spawn(Arc::clone(&tokens).keep_up()));
            Guard::new(tokens, refusals)
        });
        if let Some(listener) = self.probe {
            let door = Door {
                listener,
                gate: Gate::new(routes.health, register.clone(), None),
                handshake: None,
                room: PROBES,
            };
            let probed = connections::serve(door, Workers::here(), phases.clone());
            beside.push(tokio::spawn(async {
                probed.await;
            }));
        }
        let door = Door {
            listener: self.listener,
            gate: Gate::new(routes.all, register, guard),
            handshake,
            room: CONNECTIONS,
        };
        let serving = tokio::spawn(connections::serve(door, workers, phases.clone()));
        let beside = beside.into_iter().map(AbortOnDropHandle::new).collect();
        (serving, beside)
    }
}
