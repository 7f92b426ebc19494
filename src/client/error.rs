//! Why a call did not succeed, and whether to make it again.

use std::{error::Error as _, fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    causes::chain,
    escape::escape_control,
    registry::{Hints, Instance, RegistryError},
};

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody announced the service while the client looked.
    #[error("no server found: asked {asked} for {name:?}{}, for {waited:.1?}", of_register(register.as_deref(), others))]
    NoServer {
        /// What was asked and where.
        asked: String,
        /// The service's name.
        name: String,
        /// The wanted register, if one was named.
        register: Option<String>,
        /// The ids of the registers that were found in its place.
        others: Vec<String>,
        /// How long the client looked.
        waited: Duration,
        /// What people can try.
        hints: Hints,
    },
    /// The registry could not be asked; the source says why.
    #[error("no server found")]
    Registry {
        /// Why not.
        source: RegistryError,
        /// What people can try.
        hints: Hints,
    },
    /// Servers were found, but none answered. Whether the last of them did what it was asked is unknown.
    #[error("no server answered in {waited:.1?}: {}", joined(failures))]
    Unanswered {
        /// Each server's last failure.
        failures: Vec<Failure>,
        /// How long the client tried.
        waited: Duration,
    },
    /// Several registers answer to the name, and none was chosen.
    #[error("several registers are called that")]
    SeveralRegisters(Vec<Instance>),
    /// One register's file was copied, and both are served.
    #[error(
        "two servers keep one register, which happens when its file was copied and both copies are served"
    )]
    Copies(Vec<Instance>),
    /// The server refused; sending the same again is refused again.
    #[error("{}", escape_control(.0.message()))]
    Refused(Status),
    /// The server failed.
    #[error("the server failed: {}", describe(.0))]
    Failed(Status),
    /// The server is none that we go on with: one that does not speak TLS as it is to, whose certificate is not good, or
    /// to which a token would be sent in clear.
    #[error("could not use the server at {address}: {reason}")]
    Mismatch {
        /// Where it is, `HOST:PORT`.
        address: String,
        /// Why not, and what to change.
        reason: String,
    },
    /// The server does not go on with us, as it wants another certificate than ours, or one at all.
    #[error("the server at {address} turned this client away: {reason}")]
    TurnedAway {
        /// Where it is, `HOST:PORT`.
        address: String,
        /// Why, and what to change.
        reason: String,
    },
    /// That is no address.
    #[error("could not use the address {0}")]
    Address(String),
}

/// One server's failure to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where it was asked, `HOST:PORT`.
    pub address: String,
    /// What happened.
    pub reason: String,
    /// Whether a server answered there, for another register than the one asked for.
    pub is_another_register: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.address, self.reason)
    }
}

impl ClientError {
    /// The failures of one call, of each address the last.
    pub(super) fn unanswered(failures: Vec<Failure>, waited: Duration) -> Self {
        let mut last: Vec<Failure> = Vec::new();
        for failure in failures {
            match last
                .iter_mut()
                .find(|known| known.address == failure.address)
            {
                Some(known) => *known = failure,
                None => last.push(failure),
            }
        }
        Self::Unanswered {
            failures: last,
            waited,
        }
    }

    /// What an answer that is not worth repeating means.
    pub(super) fn from_status(status: Status) -> Self {
        match status.code() {
            Code::Internal | Code::Unknown | Code::DataLoss => Self::Failed(status),
            _ => Self::Refused(status),
        }
    }
}

/// Most servers or registers that a message names. Whoever floods the network with lies does not flood a terminal so.
pub const TOLD_MAX: usize = 16;

/// The text of `tonic::TimeoutExpired`.
const TIME_IS_UP: &str = "Timeout expired";

/// Whether the same call may succeed on another attempt.
pub(super) fn is_worth_repeating(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded => true,
        Code::ResourceExhausted if status.get_details_retry_info().is_some() => true,
        // What tonic makes of a time that was up, at the other end too.
        Code::Cancelled if status.message() == TIME_IS_UP => true,
        // A status with a source was made on this side of the wire: the peer went away in the middle, or closed the
        // connection as it had enough of us.
        _ => status.source().is_some(),
    }
}

/// The longest that a server may have itself be left alone for: one that errs, or means harm, is to keep nobody for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long to wait at least before the same call is made again there, where the server says so (`google.rpc.RetryInfo`).
pub(super) fn asked_wait(status: &Status) -> Option<Duration> {
    let wait = status.get_details_retry_info()?.retry_delay?;
    Some(wait.min(LONGEST_WAIT))
}

/// A status for people: what the server said, made safe to show, or what became of the connection.
pub(super) fn describe(status: &Status) -> String {
    match status.source() {
        Some(source) => chain(source),
        None => escape_control(status.message()).into_owned(),
    }
}

fn joined(failures: &[Failure]) -> String {
    let texts: Vec<_> = failures.iter().map(ToString::to_string).collect();
    some_of(&texts, "; ")
}

/// As many of `texts` as people read, and how many there are more.
fn some_of(texts: &[String], between: &str) -> String {
    let (told, more) = texts.split_at(texts.len().min(TOLD_MAX));
    let told = told.join(between);
    match more.len() {
        0 => told,
        more => format!("{told}{between}and {more} more"),
    }
}

fn of_register(register: Option<&str>, others: &[String]) -> String {
    match (register, others) {
        (None, _) => String::new(),
        (Some(wanted), []) => format!(", register {wanted}…"),
        (Some(wanted), others) => {
            let others = some_of(others, ", ");
            format!(", register {wanted}…, and found of that name only {others}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tonic_types::ErrorDetails;

    use super::*;

    fn broken(code: Code) -> Status {
        let mut status = Status::new(code, "h2 protocol error");
        let cause = io::Error::from(io::ErrorKind::BrokenPipe);
        status.set_source(std::sync::Arc::new(cause));
        status
    }

    #[test]
    fn what_another_attempt_may_mend_is_repeated() {
        let retry = ErrorDetails::with_retry_info(Some(Duration::from_millis(100)));
        for status in [
            Status::unavailable("stopping"),
            Status::deadline_exceeded("not done in time"),
            Status::cancelled("Timeout expired"),
            Status::with_error_details(Code::ResourceExhausted, "too much to do", retry),
            broken(Code::Unknown),
            broken(Code::Cancelled),
            // A GOAWAY with ENHANCE_YOUR_CALM is told so.
            broken(Code::ResourceExhausted),
            broken(Code::Internal),
        ] {
            assert!(is_worth_repeating(&status), "{status:?}");
        }
        let late = Status::from_error(Box::new(tonic::TimeoutExpired(())));
        assert_eq!((late.code(), late.message()), (Code::Cancelled, TIME_IS_UP));
    }

    #[test]
    fn a_server_says_how_long_to_wait_within_reason() {
        for (said, expected) in [(None, None), (Some(2), Some(2)), (Some(3_600), Some(30))] {
            let retry = ErrorDetails::with_retry_info(said.map(Duration::from_secs));
            let status = Status::with_error_details(Code::Unavailable, "too much to do", retry);
            assert_eq!(asked_wait(&status), expected.map(Duration::from_secs));
        }
        assert_eq!(asked_wait(&Status::unavailable("stopping")), None);
    }

    #[test]
    fn what_would_be_the_same_again_is_not() {
        for code in [
            Code::Cancelled,
            Code::Unknown,
            Code::InvalidArgument,
            Code::NotFound,
            Code::AlreadyExists,
            Code::PermissionDenied,
            // As a disk that is full.
            Code::ResourceExhausted,
            Code::FailedPrecondition,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unimplemented,
            Code::Internal,
            Code::DataLoss,
            Code::Unauthenticated,
        ] {
            assert!(!is_worth_repeating(&Status::new(code, "no")), "{code:?}");
        }
    }
}
