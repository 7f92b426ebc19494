//! The accept loop: one task a connection, a bound on how many, and a drain that ends.

use std::{
    error::Error, io, iter::successors, net::SocketAddr, pin::pin, sync::Arc, time::Duration,
};

use h2::Reason;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    counts::Closed,
    gate::Gate,
    guard::Peer,
    handshake::Handshake,
    limits::{
        ACCEPT_RETRY, CUT_GRACE, LEAVE_GRACE, Limits, OPENING_TIMEOUT, TELL_EVERY, VANISHED,
        connection_builder,
    },
    opened::{Opened, Spoken, Unopened},
    paced::Paced,
    seats::{Seat, Seats},
    stream::Stream,
    workers::{Place, Workers},
};

/// Where connections come in, and what they meet.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) gate: Arc<Gate>,
    /// What comes before the first byte of HTTP, where TLS is spoken.
    pub(super) handshake: Option<Handshake>,
    /// For how many connections there is room at once.
    pub(super) seats: Arc<Seats>,
    pub(super) limits: Limits,
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
    let mut connections = JoinSet::new();
    let mut refused = Shortage::default();
    let mut stop = phase.clone();
    let mut stopped = pin!(draining(&mut stop));
    loop {
        tokio::select! {
            () = &mut stopped => break,
            // Ended connections are taken off the list as they end.
            Some(_) = connections.join_next() => {}
            accepted = door.listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    // Whoever finds no place is let go at once, and can try another server.
                    let Some(seated) = door.seats.take(peer.ip()).await else {
                        continue;
                    };
                    let Place { runtime, busy } = workers.place();
                    let connection = Connection::new(&door, peer, phase.clone());
                    let stream = stream.into_std();
                    let connection = async move {
                        connection.serve(stream, &seated.seat).await;
                        drop((seated, busy));
                    };
                    connections.spawn_on(connection, &runtime);
                }
                Err(error) => refused.pause_after(&error, &door.seats).await,
            }
        }
    }
    drop(door);
    drain(connections, &phase).await
}

async fn draining(phase: &mut watch::Receiver<Phase>) {
    // An error says that the sender is gone, which ends the serving as well.
    let _ = phase.wait_for(|phase| *phase != Phase::Serving).await;
}

/// Connections that could not be accepted lately.
#[derive(Default)]
struct Shortage {
    told: Option<Instant>,
    /// How often that was so since it was told.
    times: u64,
}

impl Shortage {
    /// A peer that went away before it was accepted is nothing. Anything else is a shortage, which passes with time, or
    /// once a connection has ended that is not needed.
    async fn pause_after(&mut self, error: &io::Error, seats: &Seats) {
        let gone = [
            io::ErrorKind::ConnectionAborted,
            io::ErrorKind::ConnectionReset,
        ];
        if gone.contains(&error.kind()) {
            return;
        }
        seats.count_accept_error();
        self.times += 1;
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            let times = std::mem::take(&mut self.times);
            self.told = Some(Instant::now());
            tracing::warn!(
                "could not accept a connection: {error}; trying again every {ACCEPT_RETRY:?} (tried {times} times since \
                 this was told last)"
            );
        }
        seats.displace();
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
    // What is busy just now ends as soon as it waits for anything, which whoever asks how many were cut need not await.
    let _ = timeout(CUT_GRACE, connections.shutdown()).await;
    cut
}

/// A connection that was accepted.
struct Connection {
    peer: SocketAddr,
    gate: Arc<Gate>,
    handshake: Option<Handshake>,
    limits: Limits,
    seats: Arc<Seats>,
    idle_timeout: Duration,
    stall_timeout: Duration,
    phase: watch::Receiver<Phase>,
}

impl Connection {
    fn new(door: &Door, peer: SocketAddr, phase: watch::Receiver<Phase>) -> Self {
        Self {
            peer,
            gate: Arc::clone(&door.gate),
            handshake: door.handshake.clone(),
            limits: door.limits.clone(),
            seats: Arc::clone(&door.seats),
            idle_timeout: door.limits.idle_timeout,
            stall_timeout: door.limits.stall_timeout,
            phase,
        }
    }

    /// The connection's life.
    async fn serve(mut self, stream: io::Result<std::net::TcpStream>, seat: &Arc<Seat>) {
        // It was accepted on another thread, and is to be watched by this one's runtime.
        let stream = match stream.and_then(TcpStream::from_std) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!("could not serve a connection: {error}"),
        };
        // Replies are small and complete: waiting to fill a segment would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("could not set TCP_NODELAY: {error}");
        }
        if let Err(error) = forget_the_vanished(&stream, self.stall_timeout) {
            tracing::debug!("could not set TCP_USER_TIMEOUT: {error}");
        }
        let opening = open(stream, self.peer, self.handshake.as_ref());
        let opened = tokio::select! {
            opened = timeout(OPENING_TIMEOUT, opening) => opened.unwrap_or(Err(Some(Closed::Opening))),
            reason = seat.leaving(self.idle_timeout) => Err(Some(reason)),
            // Nothing is under way that a drain would have to wait for.
            () = draining(&mut self.phase) => return,
        };
        let closed = match opened {
            Ok((stream, peer)) => self.serve_opened(stream, peer, seat).await,
            Err(reason) => reason,
        };
        if let Some(reason) = closed {
            self.seats.count_closed(reason);
        }
    }

    /// The rest of it; why the server ended it, if it did.
    async fn serve_opened(
        &mut self,
        stream: Opened<Stream>,
        peer: Peer,
        seat: &Arc<Seat>,
    ) -> Option<Closed> {
        let gate = self.gate.meets(peer, Arc::clone(seat));
        let spoken = stream.spoken;
        let stream = TokioIo::new(Paced::new(stream, self.stall_timeout));
        let builder = connection_builder(&self.limits, spoken);
        let mut served = pin!(builder.serve_connection(stream, gate));
        let (result, reason) = tokio::select! {
            result = served.as_mut() => (result, None),
            () = draining(&mut self.phase) => {
                served.as_mut().graceful_shutdown();
                // Of a request of HTTP/1 that has only begun hyper waits for the rest, with which nothing would be done.
                let idle = async {
                    seat.leaving(Duration::ZERO).await;
                    sleep(LEAVE_GRACE).await;
                };
                tokio::select! {
                    result = served.as_mut() => (result, None),
                    () = idle, if spoken == Spoken::Http1 => (Ok(()), None),
                }
            }
            reason = seat.leaving(self.idle_timeout) => {
                if reason != Closed::Idle {
                    return Some(reason);
                }
                served.as_mut().graceful_shutdown();
                // What was asked before the peer heard of it is answered.
                let idle = async {
                    sleep(LEAVE_GRACE).await;
                    seat.leaving(Duration::ZERO).await;
                };
                tokio::select! {
                    result = served.as_mut() => (result, Some(reason)),
                    () = idle => (Ok(()), Some(reason)),
                }
            }
        };
        let Err(error) = result else {
            return reason;
        };
        tracing::debug!("a connection ended: {error}");
        reason.or_else(|| fault(&*error))
    }
}

/// What the peer of a connection did that ended with `error`, if it was that.
fn fault(error: &(dyn Error + 'static)) -> Option<Closed> {
    let mut causes = successors(Some(error), |&error| error.source());
    causes.find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            let is_ours = error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
            return is_ours.then_some(Closed::Abuse);
        }
        let error = cause.downcast_ref::<io::Error>()?;
        (error.kind() == io::ErrorKind::TimedOut).then_some(Closed::Stalled)
    })
}

/// Has the system end a connection whose peer answers nothing any more, as after a cut: HTTP/2 has its pings, HTTP/1
/// nothing else, and what a follower is sent now and then fits into buffers for long. A reader that pauses looks the same
/// to the system, and may do so for `stall_timeout`.
fn forget_the_vanished(stream: &TcpStream, stall_timeout: Duration) -> io::Result<()> {
    SockRef::from(stream).set_tcp_user_timeout(Some(stall_timeout.max(VANISHED)))
}

/// Agrees with the peer on how to speak.
///
/// # Errors
///
/// When it does not, at what; `None` where it has gone by itself.
async fn open(
    stream: TcpStream,
    address: SocketAddr,
    handshake: Option<&Handshake>,
) -> Result<(Opened<Stream>, Peer), Option<Closed>> {
    let (stream, names) = match handshake {
        None => (Stream::Clear(stream), Vec::new()),
        Some(handshake) => {
            let shaken = handshake.shake(stream, address).await;
            let (stream, names) = shaken.ok_or(Some(Closed::Handshake))?;
            (Stream::Secure(Box::new(stream)), names)
        }
    };
    let opened = Opened::new(stream).await;
    let stream = opened.map_err(|why| (why == Unopened::Strange).then_some(Closed::Opening))?;
    let peer = Peer {
        address,
        is_by_tls: handshake.is_some(),
        names,
    };
    Ok((stream, peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_is_busy_as_it_is_cut_is_counted() {
        let (_phase, phases) = watch::channel(Phase::Draining(Instant::now()));
        let (done, waits) = std::sync::mpsc::channel::<()>();
        let mut connections = JoinSet::new();
        connections.spawn_blocking(move || waits.recv().unwrap_or_default());
        let cut = timeout(Duration::from_secs(60), drain(connections, &phases)).await;
        assert_eq!(cut, Ok(1));
        drop(done);
    }

    #[tokio::test]
    async fn a_peer_that_vanishes_is_forgotten_but_not_while_it_may_pause() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let stream = stream.await.unwrap();
        for (stall_timeout, expected) in [(1, 40), (60, 60)] {
            forget_the_vanished(&stream, Duration::from_secs(stall_timeout)).unwrap();
            let set = SockRef::from(&stream).tcp_user_timeout().unwrap();
            assert_eq!(set, Some(Duration::from_secs(expected)));
        }
    }
}
