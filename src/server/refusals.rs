//! What is logged of those who were turned away: enough to see what happens, and not as much as they like.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::escape::escape_control;

/// How many lines there are in any stretch of time of this length; what comes beyond is counted.
const LINES: u32 = 10;
const STRETCH: Duration = Duration::from_secs(10);

/// How much of a reason is shown, in characters, as its end may be what the peer sent.
const REASON_CHARS: usize = 300;

/// Those who were turned away lately.
#[derive(Debug)]
pub(super) struct Refusals(Mutex<Stretch>);

#[derive(Debug)]
struct Stretch {
    begun: Instant,
    lines: u32,
    /// Refusals that there was no line for.
    untold: u64,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Stretch {
            begun: Instant::now(),
            lines: 0,
            untold: 0,
        }))
    }

    /// Logs that `peer` was turned away because of `reason`, which may hold what it said, unless there were many of them
    /// just now.
    pub(super) fn note(&self, peer: SocketAddr, reason: &str) {
        let Some(untold) = self.take_line(Instant::now()) else {
            return;
        };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let reason: String = reason.chars().take(REASON_CHARS).collect();
        let reason = escape_control(&reason);
        match untold {
            0 => tracing::warn!("turned {peer} away: {reason}"),
            untold => {
                tracing::warn!(
                    "turned {peer} away: {reason}; and {untold} times others before that"
                );
            }
        }
    }

    /// Takes a line, if there is one: how many refusals were not told since the last.
    fn take_line(&self, now: Instant) -> Option<u64> {
        let mut stretch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(stretch.begun) >= STRETCH {
            stretch.begun = now;
            stretch.lines = 0;
        }
        if stretch.lines >= LINES {
            stretch.untold += 1;
            return None;
        }
        stretch.lines += 1;
        Some(std::mem::take(&mut stretch.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_is_counted() {
        let refusals = Refusals::new();
        let now = Instant::now();
        for _ in 0..LINES {
            assert_eq!(refusals.take_line(now), Some(0));
        }
        for _ in 0..5 {
            assert_eq!(refusals.take_line(now), None);
        }
        assert_eq!(refusals.take_line(now + STRETCH), Some(5));
        assert_eq!(refusals.take_line(now + STRETCH), Some(0));
    }
}
