//! The accept loop: one task a connection, a bound on how many, and a drain that ends.

use std::{io, pin::pin, sync::Arc};

use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    gate::Gate,
    limits::{ACCEPT_RETRY, CONNECTIONS, OPENING_TIMEOUT, connection_builder},
    opened::Opened,
    workers::{Place, Workers},
};

/// What the server is to do about its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accept and serve.
    Serving,
    /// Accept no more, let what is under way end until then, and cut what is left.
    Draining(Instant),
}

/// Serves connections until the phase is draining and they have ended or its time is over. Returns how many were cut.
///
/// # Errors
///
/// When the threads that serve them cannot be started.
pub(super) async fn serve(
    listener: TcpListener,
    gate: Gate,
    phase: watch::Receiver<Phase>,
) -> io::Result<usize> {
    let workers = Workers::start()?;
    let mut connections = JoinSet::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
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
                Ok((stream, _)) => {
                    let Place { runtime, busy } = workers.place();
                    let connection = connection(stream.into_std(), gate.clone(), phase.clone());
                    let connection = async move {
                        let _held = (permit, busy);
                        connection.await;
                    };
                    connections.spawn_on(connection, &runtime);
                }
                Err(error) => pause_after(&error).await,
            }
        }
    }
    drop(listener);
    Ok(drain(connections, &phase).await)
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

/// One connection's life. TLS would be negotiated here, before the first byte of HTTP.
async fn connection(
    stream: io::Result<std::net::TcpStream>,
    gate: Gate,
    mut phase: watch::Receiver<Phase>,
) {
    // It was accepted on another thread, and is to be watched by this one's runtime.
    let stream = match stream.and_then(TcpStream::from_std) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!("could not serve a connection: {error}"),
    };
    // Replies are small and complete: waiting to fill a segment would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("could not set TCP_NODELAY: {error}");
    }
    let opened = tokio::select! {
        opened = timeout(OPENING_TIMEOUT, Opened::new(stream)) => opened,
        // Nothing is under way that a drain would have to wait for.
        () = draining(&mut phase) => return,
    };
    let Ok(Some(stream)) = opened else { return };
    let builder = connection_builder();
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), gate));
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = draining(&mut phase) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!("a connection ended: {error}");
    }
}
