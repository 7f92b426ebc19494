//! The accept loop: one task a connection, a bound on how many, and a drain that ends.

use std::{io, pin::pin, sync::Arc};

use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, join},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    gate::Gate,
    limits::{ACCEPT_RETRY, CONNECTIONS, OPENING_TIMEOUT, connection_builder},
};

/// What every HTTP/2 connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the server is to do about its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accept and serve.
    Serving,
    /// Accept no more, let what is under way end until then, and cut what is left.
    Draining(Instant),
}

/// Serves connections until the phase is draining and they have ended or its time is over. Returns how many were cut.
pub(super) async fn serve(
    listener: TcpListener,
    gate: Gate,
    phase: watch::Receiver<Phase>,
) -> usize {
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
                    let connection = connection(stream, gate.clone(), phase.clone());
                    connections.spawn(async move {
                        let _permit = permit;
                        connection.await;
                    });
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

/// One connection's life. TLS would be negotiated here, before the first byte of HTTP.
async fn connection(stream: TcpStream, gate: Gate, mut phase: watch::Receiver<Phase>) {
    // Replies are small and complete: waiting to fill a segment would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("could not set TCP_NODELAY: {error}");
    }
    let opened = tokio::select! {
        opened = timeout(OPENING_TIMEOUT, open(stream)) => opened,
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

/// Waits for the peer to say that it speaks HTTP/2; `None` when it says something else, or goes away. hyper would wait
/// for it without an end, and a peer could hold the connection, and every drain, with a single byte.
async fn open(stream: TcpStream) -> Option<impl AsyncRead + AsyncWrite + Unpin> {
    let (mut reader, writer) = stream.into_split();
    let mut said = [0; PREFACE.len()];
    let mut length = 0;
    while length < said.len() {
        length += match reader.read(&mut said[length..]).await {
            Ok(count) if count > 0 => count,
            _ => return None,
        };
        // Whoever speaks something else is let go at once, however little it says.
        if !PREFACE.starts_with(&said[..length]) {
            return None;
        }
    }
    Some(join(PREFACE.as_slice().chain(reader), writer))
}
