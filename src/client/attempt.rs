//! How long an attempt gets, and how it fails, which decides whether there is another.

use std::time::Duration;

use tokio::time::Instant;

use super::{ClientError, Failure};

/// The most that a first attempt gets of the whole time, so that a server that does not answer leaves time for others.
/// Later ones get as long as the call has taken, so that a server that is slow answers in the end.
const ATTEMPT: Duration = Duration::from_secs(1);

/// A call's time.
#[derive(Clone, Copy)]
pub(super) struct Time {
    pub(super) begun: Instant,
    pub(super) deadline: Instant,
}

impl Time {
    /// When an attempt that begins now is given up.
    pub(super) fn next_attempt(self) -> Instant {
        let length = ATTEMPT.max(self.begun.elapsed());
        self.deadline.min(Instant::now() + length)
    }

    /// Whether an attempt that begins now gets what a first one does.
    pub(super) fn is_enough(self) -> bool {
        Instant::now() + ATTEMPT <= self.deadline
    }
}

/// How an attempt failed.
pub(super) enum Attempt {
    /// Another attempt or another server may do better.
    Next(Failure),
    /// This server will not ever do, for this reason; another one may.
    Never(Failure, ClientError),
    /// The answer would be the same again.
    Final(ClientError),
}

impl Attempt {
    pub(super) fn next(address: &str, reason: impl Into<String>) -> Self {
        Self::Next(Failure {
            address: address.to_owned(),
            reason: reason.into(),
            is_another_register: false,
        })
    }

    pub(super) fn never(address: &str, error: ClientError) -> Self {
        let failure = Failure {
            address: address.to_owned(),
            reason: error.to_string(),
            is_another_register: false,
        };
        Self::Never(failure, error)
    }

    pub(super) fn another_register(address: &str, named: &str) -> Self {
        Self::Next(Failure {
            address: address.to_owned(),
            reason: format!("it keeps another register, {named}"),
            is_another_register: true,
        })
    }
}
