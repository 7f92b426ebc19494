//! Opening a connection to one of several servers, so that one that is silent holds nobody up for long.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{
    future::{BoxFuture, FutureExt as _},
    stream::{FuturesUnordered, StreamExt as _},
};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    Options,
    connection::{self, Candidate, Connection, OpenFailure},
    find::Wanted,
};

/// When to try the next one beside one that has not connected (RFC 8305 §5 recommends this): far more than it takes
/// on a local network.
pub(super) const STAGGER: Duration = Duration::from_millis(250);
/// The least of that, where there are so many that they would not all have their turn in time.
const STAGGER_MIN: Duration = Duration::from_millis(10);
/// How long one may take to connect and to say which register it keeps.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(1);

/// Candidates that are tried one after another, the next one as soon as one failed or has taken its time.
pub(super) struct Opening {
    waiting: VecDeque<Candidate>,
    under_way: FuturesUnordered<BoxFuture<'static, Opened>>,
    /// The addresses of those under way.
    begun: Vec<String>,
    /// When to try the next one beside those.
    next_at: Instant,
    /// How long after one that has not connected to do so.
    stagger: Duration,
    wanted: Wanted,
    options: Arc<Options>,
    deadline: Instant,
}

/// What became of one candidate.
pub(super) struct Opened {
    pub(super) address: String,
    pub(super) result: Result<Connection, OpenFailure>,
}

impl Opening {
    /// Nothing is tried before the first [`next`](Self::next), and nothing after `deadline`.
    pub(super) fn new(
        candidates: Vec<Candidate>,
        wanted: Wanted,
        options: Arc<Options>,
        deadline: Instant,
    ) -> Self {
        Self {
            stagger: stagger(candidates.len(), deadline),
            waiting: candidates.into(),
            under_way: FuturesUnordered::new(),
            begun: Vec::new(),
            next_at: Instant::now(),
            wanted,
            options,
            deadline,
        }
    }

    /// What became of the candidate that is the next to be connected or to have failed; `None` after the last. Asking
    /// for another means that this one would not do, whatever it was.
    pub(super) async fn next(&mut self) -> Option<Opened> {
        self.next_at = self.next_at.min(Instant::now());
        loop {
            if self.next_at <= Instant::now() {
                self.begin_next();
            }
            if self.under_way.is_empty() {
                return None;
            }
            let has_more = !self.waiting.is_empty();
            tokio::select! {
                Some(opened) = self.under_way.next() => {
                    self.begun.retain(|address| *address != opened.address);
                    return Some(opened);
                }
                () = sleep_until(self.next_at), if has_more => {}
            }
        }
    }

    /// The addresses of those that were tried before one that was quicker, and are not done yet.
    pub(super) fn overtaken(&self) -> &[String] {
        &self.begun
    }

    fn begin_next(&mut self) {
        let Some(candidate) = self.waiting.pop_front() else {
            return;
        };
        let now = Instant::now();
        self.next_at = now + self.stagger;
        self.begun.push(candidate.address.clone());
        let until = self.deadline.min(now + OPEN_TIMEOUT);
        let (wanted, options) = (self.wanted.clone(), Arc::clone(&self.options));
        let open = async move {
            let address = candidate.address.clone();
            let opened = timeout_at(until, connection::open(candidate, &wanted, &options)).await;
            let late = |_| Err(OpenFailure::Server("it did not answer in time".into()));
            Opened {
                address,
                result: opened.unwrap_or_else(late),
            }
        };
        self.under_way.push(open.boxed());
    }
}

/// What lets each of `count` candidates be tried in the first half of the time, as all but one of those that a search has
/// found may be lies that are silent.
fn stagger(count: usize, deadline: Instant) -> Duration {
    let half = deadline.saturating_duration_since(Instant::now()) / 2;
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    (half / count).clamp(STAGGER_MIN, STAGGER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_tried_at_leisure_and_many_all_in_time() {
        let in_5s = Instant::now() + Duration::from_secs(5);
        assert_eq!(stagger(3, in_5s), STAGGER);
        assert!(stagger(64, in_5s) * 64 <= Duration::from_millis(2_500));
        assert_eq!(stagger(1_000, Instant::now()), STAGGER_MIN);
    }
}
