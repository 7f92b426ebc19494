//! Those who wait for their peers, in the order in which they began to: when what they hold is needed, the first is ended.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::{counts::Closed, seats::Seat};

/// Those of one sort.
#[derive(Default)]
pub(super) struct Line(Mutex<Members>);

#[derive(Default)]
struct Members {
    /// Each by since when it waits, and its number, which grows.
    waiting: BTreeMap<(Instant, u64), End>,
    next: u64,
}

/// How one is ended.
pub(super) enum End {
    /// It hears of it.
    Told(oneshot::Sender<()>),
    /// Its connection is closed, as what waits to be sent cannot be taken back.
    Closed(Arc<Seat>),
}

/// One who waits, until this is dropped.
pub(super) struct Waiting {
    line: Arc<Line>,
    since: Instant,
    number: u64,
}

impl Line {
    /// Begins to wait.
    pub(super) fn join(self: &Arc<Self>, end: End) -> Waiting {
        self.join_since(Instant::now(), end)
    }

    /// The same for one who began to wait at `since`.
    pub(super) fn join_since(self: &Arc<Self>, since: Instant, end: End) -> Waiting {
        let mut members = self.members();
        let number = members.next;
        members.next += 1;
        members.waiting.insert((since, number), end);
        Waiting {
            line: Arc::clone(self),
            since,
            number,
        }
    }

    /// The same where no more than `most` may wait: the first is ended for it.
    pub(super) fn join_within(self: &Arc<Self>, most: usize, end: End) -> Waiting {
        if self.members().waiting.len() >= most {
            self.end_first(Duration::ZERO);
        }
        self.join(end)
    }

    /// Ends the first if it has waited for at least `patience`.
    pub(super) fn end_first(&self, patience: Duration) -> bool {
        let mut members = self.members();
        let Some(first) = members.waiting.first_entry() else {
            return false;
        };
        let (since, _) = first.key();
        let is_due = since.elapsed() >= patience;
        if is_due {
            first.remove().end();
        }
        is_due
    }

    /// Ends all who have waited for at least `patience`.
    pub(super) fn end_all(&self, patience: Duration) {
        while self.end_first(patience) {}
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl End {
    fn end(self) {
        match self {
            // Whoever has gone meanwhile need not be told.
            Self::Told(told) => drop(told.send(())),
            Self::Closed(seat) => seat.leave(Closed::Stalled),
        }
    }
}

impl Waiting {
    /// For how long it has waited.
    pub(super) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let key = (self.since, self.number);
        self.line.members().waiting.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(line: &Arc<Line>, most: usize) -> (Waiting, oneshot::Receiver<()>) {
        let (told, hears) = oneshot::channel();
        (line.join_within(most, End::Told(told)), hears)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_goes_when_there_are_too_many() {
        let line = Arc::new(Line::default());
        let (first, mut hears_first) = join(&line, 2);
        let (second, mut hears_second) = join(&line, 2);
        drop(first);
        let (_third, mut hears_third) = join(&line, 2);
        assert_eq!(
            hears_first.try_recv(),
            Err(oneshot::error::TryRecvError::Closed)
        );
        assert_eq!(
            hears_second.try_recv(),
            Err(oneshot::error::TryRecvError::Empty)
        );
        let _fourth = join(&line, 2);
        assert_eq!(hears_second.try_recv(), Ok(()));
        assert_eq!(
            hears_third.try_recv(),
            Err(oneshot::error::TryRecvError::Empty)
        );
        drop(second);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_long_enough_goes() {
        let line = Arc::new(Line::default());
        let (_first, mut hears_first) = join(&line, 9);
        tokio::time::advance(Duration::from_secs(5)).await;
        let (_second, mut hears_second) = join(&line, 9);
        line.end_all(Duration::from_secs(5));
        assert_eq!(hears_first.try_recv(), Ok(()));
        assert!(!line.end_first(Duration::from_secs(1)));
        assert_eq!(
            hears_second.try_recv(),
            Err(oneshot::error::TryRecvError::Empty)
        );
    }
}
