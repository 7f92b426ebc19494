//! One connection's place, as others see it.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::server::counts::{Closed, Counts};

/// How often it is looked at least whether a connection that is to end is still busy.
pub(super) const BUSY_LOOK: Duration = Duration::from_millis(100);

/// One connection's, as others see it.
pub(in crate::server) struct Seat {
    counts: Arc<Counts>,
    begun: Instant,
    /// Requests that are under way.
    busy: AtomicUsize,
    /// Since when there are none, in microseconds since `begun`.
    since: AtomicU64,
    /// Whether it has asked for something that it may have.
    known: AtomicBool,
    /// Why it is to leave.
    reason: OnceLock<Closed>,
    leave: Notify,
}

/// A request under way, until this is dropped.
pub(in crate::server) struct Busy(Arc<Seat>);

impl Seat {
    /// That of a connection which begins now; times are counted from `begun`.
    pub(super) fn new(counts: Arc<Counts>, begun: Instant) -> Arc<Self> {
        Arc::new(Self {
            counts,
            begun,
            busy: AtomicUsize::new(0),
            since: AtomicU64::new(micros(begun)),
            known: AtomicBool::new(false),
            reason: OnceLock::new(),
            leave: Notify::new(),
        })
    }

    /// Since when it has asked for nothing, where it has.
    pub(super) fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    /// Whether it has asked for something that it may have.
    pub(super) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    /// A request begins.
    pub(in crate::server) fn begin(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.counts.requests.inc();
        Busy(Arc::clone(self))
    }

    /// It may have what it asks for.
    pub(in crate::server) fn know(&self) {
        if !self.is_known() {
            self.known.store(true, Ordering::Relaxed);
        }
    }

    /// Tells the connection to end.
    pub(in crate::server) fn leave(&self, reason: Closed) {
        if self.reason.set(reason).is_ok() {
            self.leave.notify_one();
        }
    }

    /// Waits until the connection is to end, be it because it has asked for nothing for `patience`; why.
    pub(in crate::server) async fn leaving(&self, patience: Duration) -> Closed {
        tokio::select! {
            () = self.leave.notified() => {}
            () = self.idle(patience) => return Closed::Idle,
        }
        self.reason.get().copied().unwrap_or(Closed::Displaced)
    }

    async fn idle(&self, patience: Duration) {
        loop {
            let since = self.since();
            let until = self.begun + Duration::from_micros(since) + patience;
            if Instant::now() < until {
                sleep_until(until).await;
            } else if self.is_idle_since(since, false) {
                return;
            } else {
                // Since then it has been busy, which may take as long as it likes.
                sleep_until(Instant::now() + patience.max(BUSY_LOOK)).await;
            }
        }
    }

    /// Whether it has asked for nothing since then, or for nothing that counts.
    pub(super) fn is_idle_since(&self, since: u64, guarded: bool) -> bool {
        let is_stranger = guarded && !self.is_known();
        // Whoever sees that the last request has ended sees when, too; arm64 may show them in another order without.
        let is_idle = self.busy.load(Ordering::Acquire) == 0 && self.since() == since;
        (is_idle || is_stranger) && self.reason.get().is_none()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Self(seat) = self;
        seat.counts.requests.dec();
        seat.since.store(micros(seat.begun), Ordering::Relaxed);
        seat.busy.fetch_sub(1, Ordering::Release);
    }
}

fn micros(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}
