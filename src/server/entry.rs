//! What the log says of a request when its reply is over. It is put together only where it is logged.

use std::{net::SocketAddr, time::Duration};

use http::{Request, StatusCode};
use tonic::Code;
use tracing::Level;

use crate::{
    codes,
    service::{Caller, RequestId},
};

/// What `--log-level` names these lines by.
const TARGET: &str = "shippy::requests";
/// Longest path or method in a line, in characters: they are the caller's to choose.
const MAX_CHARS: usize = 256;

/// A request under way that is logged.
pub(super) struct Entry {
    id: RequestId,
    peer: SocketAddr,
    caller: Option<Caller>,
    /// Of gRPC there is but one.
    method: Option<String>,
    path: String,
    /// Of gRPC it says nothing.
    status: Option<StatusCode>,
    /// How much of the reply's body was handed over.
    bytes: u64,
}

/// Whether requests are logged at the moment.
pub(super) fn is_logged() -> bool {
    tracing::enabled!(target: TARGET, Level::DEBUG)
}

impl Entry {
    /// Of `request`, with the path that its sender gave.
    pub(super) fn new<B>(
        id: RequestId,
        request: &Request<B>,
        is_grpc: bool,
        peer: SocketAddr,
    ) -> Self {
        Self {
            id,
            peer,
            caller: None,
            method: (!is_grpc).then(|| bounded(request.method().as_str())),
            path: bounded(request.uri().path()),
            status: None,
            bytes: 0,
        }
    }

    /// It is known who calls.
    pub(super) fn is_by(&mut self, caller: &Caller) {
        self.caller = Some(caller.clone());
    }

    /// A reply begins, with a status where it is one of plain HTTP.
    pub(super) fn is_answered(&mut self, status: StatusCode) {
        self.status = self.method.is_some().then_some(status);
    }

    /// So many bytes of its body are handed over.
    pub(super) fn sends(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Its reply is over, or its caller has gone.
    pub(super) fn write(&self, rpc: &str, code: Code, took: Duration) {
        tracing::debug!(
            target: TARGET,
            id = &*self.id.0,
            rpc,
            method = self.method.as_deref(),
            path = self.path,
            peer = %self.peer,
            caller = self.caller.as_ref().map(|Caller(name)| &**name),
            code = codes::name(code),
            status = self.status.map(|status| status.as_u16()),
            bytes = self.bytes,
            seconds = took.as_secs_f64(),
            "request"
        );
    }
}

/// `text`, or its beginning where it is long.
pub(super) fn bounded(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_its_sender_chooses_is_bounded() {
        let path = format!("/{}", "x".repeat(MAX_CHARS - 1));
        assert_eq!(bounded(&path), path);
        let cut = bounded(&format!("{path}y"));
        assert_eq!(cut, format!("{path}…"));
        assert_eq!(bounded(&"é".repeat(1_000)).chars().count(), MAX_CHARS + 1);
    }
}
