//! The accept loop: one task a connection, a bound on how many, and a drain that ends.

use std::{io, net::SocketAddr, pin::pin, sync::Arc};

use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    gate::Gate,
    guard::Peer,
    handshake::Handshake,
    limits::{ACCEPT_RETRY, OPENING_TIMEOUT, connection_builder},
    opened::Opened,
    stream::Stream,
    workers::{Place, Workers},
};

/// Where connections come in, and what they meet.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) gate: Gate,
    /// What comes before the first byte of HTTP, where TLS is spoken.
    pub(super) handshake: Option<Handshake>,
    /// How many connections there may be at once.
    pub(super) room: usize,
}

/// What the server is to do about its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accept and serve.
    Serving,
    /// Accept no more, let what is under way end until then, and cut what is left.
    Draining(Instant),
}

/// Serves connections until the phase is draining and they have ended or its time is over. Returns how many were cut.
pub(super) async fn serve(door: Door, workers: Workers, phase: watch::Receiver<Phase>) -> usize {
    let Door {
        listener,
        gate,
        handshake,
        room,
    } = door;
    let mut connections = JoinSet::new();
    let room = Arc::new(Semaphore::new(room));
    let mut stop = phase.clone();
    let mut stopped = pin!(draining(&mut stop));
    loop {
        let accepted = async {
            // Never closed, so that a permit always comes.
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            () = &mut stopped => break,
            // Ended connections are taken off the list as they end.
            Some(_) = connections.join_next() => {}
            (permit, accepted) = accepted => match accepted {
                Ok((stream, peer)) => {
                    let Place { runtime, busy } = workers.place();
                    let connection = Connection {
                        peer,
                        gate: gate.clone(),
                        handshake: handshake.clone(),
                        phase: phase.clone(),
                    };
                    let stream = stream.into_std();
                    let connection = async move {
                        let _held = (permit, busy);
                        connection.serve(stream).await;
                    };
                    connections.spawn_on(connection, &runtime);
                }
                Err(error) => pause_after(&error).await,
            }
        }
    }
    drop(listener);
    drain(connections, &phase).await
}

async fn draining(phase: &mut watch::Receiver<Phase>) {
    // An error says that the sender is gone, which ends the serving as well.
    let _ = phase.wait_for(|phase| *phase != Phase::Serving).await;
}

/// A peer that went away before it was accepted is nothing; anything else is a shortage that only time cures.
async fn pause_after(error: &io::Error) {
    let gone = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
    ];
    if !gone.contains(&error.kind()) {
        tracing::warn!("could not accept a connection: {error}; trying again in {ACCEPT_RETRY:?}");
        sleep(ACCEPT_RETRY).await;
    }
}

async fn drain(mut connections: JoinSet<()>, phase: &watch::Receiver<Phase>) -> usize {
    let Phase::Draining(deadline) = *phase.borrow() else {
        return 0; // the sender is gone, and with it everything that the connections served
    };
    let all_ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout_at(deadline, all_ended).await;
    let cut = connections.len();
    connections.shutdown().await;
    cut
}

/// A connection that was accepted.
struct Connection {
    peer: SocketAddr,
    gate: Gate,
    handshake: Option<Handshake>,
    phase: watch::Receiver<Phase>,
}

impl Connection {
    /// The connection's life.
    async fn serve(mut self, stream: io::Result<std::net::TcpStream>) {
        // It was accepted on another thread, and is to be watched by this one's runtime.
        let stream = match stream.and_then(TcpStream::from_std) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!("could not serve a connection: {error}"),
        };
        // Replies are small and complete: waiting to fill a segment would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("could not set TCP_NODELAY: {error}");
        }
        let opening = open(stream, self.peer, self.handshake.as_ref());
        let opened = tokio::select! {
            opened = timeout(OPENING_TIMEOUT, opening) => opened,
            // Nothing is under way that a drain would have to wait for.
            () = draining(&mut self.phase) => return,
        };
        let Ok(Some((stream, peer))) = opened else {
            return;
        };
        let builder = connection_builder();
        let gate = self.gate.meets(peer);
        let mut served = pin!(builder.serve_connection(TokioIo::new(stream), gate));
        let result = tokio::select! {
            result = served.as_mut() => result,
            () = draining(&mut self.phase) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = result {
            tracing::debug!("a connection ended: {error}");
        }
    }
}

/// Agrees with the peer on how to speak; `None` when it does not.
async fn open(
    stream: TcpStream,
    address: SocketAddr,
    handshake: Option<&Handshake>,
) -> Option<(Opened<Stream>, Peer)> {
    let (stream, names) = match handshake {
        None => (Stream::Clear(stream), Vec::new()),
        Some(handshake) => {
            let (stream, names) = handshake.shake(stream, address).await?;
            (Stream::Secure(Box::new(stream)), names)
        }
    };
    let stream = Opened::new(stream).await?;
    Some((stream, Peer { address, names }))
}
