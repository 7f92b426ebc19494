//! How an attempt fails, which decides whether there is another.

use super::{ClientError, Failure};

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
