//! What callers are told when something is wrong. The one place where errors become statuses.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::{
    causes::chain,
    consignment::Violation,
    store::{Receipt, StoreError},
};

/// Most violations named in one reply: they travel in the trailers, whose size peers limit, often to 16 KiB.
pub(super) const MAX_VIOLATIONS: usize = 10;
/// Most names of a certificate in one reply.
const MAX_NAMES: usize = 3;
/// When to try again after the server had too much to do: long enough for some commits.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The request is for another register.
#[must_use]
pub fn wrong_register(wanted: &str, ours: &str) -> Status {
    Status::failed_precondition(format!(
        "the request is for the register {wanted}, but this server keeps {ours}"
    ))
}

/// The server has too much to do; the same request may be sent again, as the status says when.
#[must_use]
pub fn overloaded() -> Status {
    Status::with_error_details(
        Code::ResourceExhausted,
        "the server has too much to do at the moment: try again shortly",
        ErrorDetails::with_retry_info(Some(RETRY_AFTER)),
    )
}

/// The request took longer than the server gives any request; what it asked for may have happened all the same.
#[must_use]
pub fn timed_out(limit: Duration) -> Status {
    Status::deadline_exceeded(format!("the request was not done within {limit:?}"))
}

/// The request's message is larger than one may be.
#[must_use]
pub fn too_large(limit: usize) -> Status {
    Status::resource_exhausted(format!(
        "the message is too large: this server takes up to {limit} bytes"
    ))
}

/// The caller does not say who it is, to a server that asks for it.
#[must_use]
pub fn no_token() -> Status {
    Status::unauthenticated(
        "this server asks for a token: set SHIPPY_TOKEN, or give --token-file FILE",
    )
}

/// The caller's token is nobody's.
#[must_use]
pub fn unknown_token() -> Status {
    Status::unauthenticated(
        "this server does not know the token: it needs the line that `shippy token` printed for it",
    )
}

/// The caller may do nothing: none of the `names` in its certificate is known.
#[must_use]
pub fn no_scope(names: &[String]) -> Status {
    // A certificate may have hundreds, and this travels in a header.
    let names = &names[..names.len().min(MAX_NAMES)];
    Status::permission_denied(format!(
        "the certificate is that of {}, whom this server's --tokens file does not name: send a token, or have a line \
         added there",
        names.join(", ")
    ))
}

/// The caller, who is `name`, may list and not create.
#[must_use]
pub fn read_only(name: &str) -> Status {
    Status::permission_denied(format!(
        "{name} may list and not create: that takes the scope write"
    ))
}

/// What is wrong with `subject`, in the message for people and in the details for programs.
pub(super) fn invalid(subject: &str, mut violations: Vec<Violation>) -> Status {
    violations.truncate(MAX_VIOLATIONS);
    let summary: Vec<_> = (violations.iter())
        .map(|Violation { field, description }| format!("{field} {description}").trim().to_owned())
        .collect();
    let fields: Vec<_> = (violations.into_iter())
        .map(|Violation { field, description }| FieldViolation::new(field, description))
        .collect();
    Status::with_error_details(
        Code::InvalidArgument,
        format!("{subject}: {}", summary.join("; ")),
        ErrorDetails::with_bad_request(fields),
    )
}

/// `position`, of a list, is not in this register.
pub(super) fn elsewhere(position: &str, description: &str) -> Status {
    let violation = FieldViolation::new(position, description);
    Status::with_error_details(
        Code::OutOfRange,
        format!("{position} {description}"),
        ErrorDetails::with_bad_request(vec![violation]),
    )
}

pub(super) fn conflict(id: &str, known: &Receipt) -> Status {
    Status::already_exists(format!(
        "another consignment has the id {id}, with sequence number {}: give this one an id of its own",
        known.sequence
    ))
}

/// What a caller is told of `error`; the log is told the whole of it, where it is the server's fault.
pub(super) fn status(error: &StoreError) -> Status {
    match error {
        StoreError::Busy => return overloaded(),
        StoreError::Closed => {
            return Status::unavailable("the server is stopping: try another, or again shortly");
        }
        // The store has said so once, and says when that is over.
        StoreError::Unreachable(_) => {
            return Status::unavailable(
                "the server does not reach its database at the moment: try another, or again shortly",
            );
        }
        _ => tracing::error!("{}", chain(error)),
    }
    match error {
        StoreError::Full(_) => Status::resource_exhausted(
            "the server's disk is full, so this was not stored: free space there, then try again",
        ),
        StoreError::WritesStopped(_) => Status::unavailable(
            "the server could not write to its disk and has stopped writing: see its log, and start it again",
        ),
        StoreError::Damaged(_) => {
            Status::data_loss("the register is damaged: see the server's log")
        }
        _ => Status::internal("the store failed: see the server's log"),
    }
}
