//! What went wrong with the database, and what that means.

use std::{error::Error, io, sync::Arc, time::Duration};

use tokio_postgres::error::SqlState;

use crate::{causes::chain, store::StoreError};

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// It, or the way to it, said so.
    #[error(transparent)]
    Engine(#[from] tokio_postgres::Error),
    /// It holds what cannot be right.
    #[error("{0}")]
    Damaged(String),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

/// What a failure means for what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nobody answers, or nobody who may write: on another connection, in a while, it may succeed. What was asked may
    /// have been done.
    Away,
    /// Others were in the way: nothing was done, and at once it may succeed.
    Again,
    /// There is no room: nothing was done.
    Full,
    /// It will be refused until something is changed.
    Refused,
    /// Something else: on another connection it may succeed or not.
    Other,
}

impl Failure {
    pub(super) fn meaning(&self) -> Meaning {
        match self {
            Self::Silent(_) | Self::Closed => Meaning::Away,
            Self::Damaged(_) => Meaning::Other,
            Self::Engine(error) => match error.code() {
                Some(code) => of_code(code),
                None if error.is_closed() || is_transport(error) => Meaning::Away,
                // What is left before anything was asked: no password, no TLS, a certificate that is not believed.
                None => Meaning::Refused,
            },
        }
    }

    /// The code that the server gave it.
    pub(super) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Engine(error) => error.code(),
            _ => None,
        }
    }

    /// What happened, in the words of who saw it, without those of the library between.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Engine(error) => match error.as_db_error() {
                Some(said) => said.message().to_owned(),
                None => chain(error),
            },
            other => other.to_string(),
        }
    }
}

/// Appendix A of PostgreSQL's documentation lists them.
fn of_code(code: &SqlState) -> Meaning {
    match code.code() {
        // Shut down, starting, no connection left, only reading, killed amid a transaction, a session that lost what
        // was prepared in it.
        "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "25006" | "25P03" | "26000" => {
            Meaning::Away
        }
        "40001" | "40P01" | "40003" | "55P03" | "57014" => Meaning::Again,
        "53100" => Meaning::Full,
        "3D000" | "42501" => Meaning::Refused,
        other if other.starts_with("08") => Meaning::Away,
        other if other.starts_with("28") => Meaning::Refused,
        _ => Meaning::Other,
    }
}

/// Whether the connection broke or was not made, rather than that one side did not like the other.
fn is_transport(error: &tokio_postgres::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let Some(inner) = error.get_ref() else {
                return true;
            };
            return !inner.is::<rustls::Error>();
        }
        cause = error.source();
    }
    false
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        if let Failure::Closed = failure {
            return Self::Closed;
        }
        let meaning = failure.meaning();
        let cause = Arc::new(failure);
        match (meaning, &*cause) {
            (_, Failure::Damaged(_)) => Self::Damaged(cause),
            // What is refused now was not at the start, and may be allowed again.
            (Meaning::Away | Meaning::Again | Meaning::Refused, _) => Self::Unreachable(cause),
            (Meaning::Full, _) => Self::Full(cause),
            (Meaning::Other, _) => Self::Engine(cause),
        }
    }
}
