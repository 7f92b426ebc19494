//! Who may call what, where the server asks for it.

use std::{fmt, net::SocketAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use tonic::Status;

use super::{current::Current, refusals::Refusals};
use crate::{
    proto::SERVICE,
    service::{no_scope, no_token, read_only, unknown_token},
    tokens::{Holder, Scope, Tokens},
};

/// The service that anybody may ask.
const HEALTH: &str = "grpc.health.v1.Health";

/// Lets through who may.
#[derive(Clone)]
pub(super) struct Guard {
    tokens: Arc<Current<Tokens>>,
    refusals: Arc<Refusals>,
}

/// Who calls.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// The names in the certificate that it has shown and proven to be its own, if it has.
    pub(super) names: Vec<String>,
}

impl Guard {
    pub(super) fn new(tokens: Arc<Current<Tokens>>, refusals: Arc<Refusals>) -> Self {
        Self { tokens, refusals }
    }

    /// Whether `peer` may call what is at `path`, and for how long, where that may take long. A token that is sent counts
    /// before a certificate.
    ///
    /// # Errors
    ///
    /// What to tell it, where it may not. That has been logged.
    pub(super) fn check(
        &self,
        peer: &Arc<Peer>,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Option<Pass>, Status> {
        let Some(needed) = needed(path) else {
            return Ok(None);
        };
        let tokens = self.tokens.get();
        let sent = headers.get(AUTHORIZATION);
        self.decide(&tokens, peer, path, needed, sent)?;
        Ok(is_stream(path).then(|| Pass {
            guard: self.clone(),
            peer: Arc::clone(peer),
            path: path.to_owned(),
            needed,
            sent: sent.cloned(),
            tokens,
        }))
    }

    fn decide(
        &self,
        tokens: &Tokens,
        peer: &Peer,
        path: &str,
        needed: Scope,
        sent: Option<&HeaderValue>,
    ) -> Result<(), Status> {
        let (refusal, reason) = match holder(tokens, peer, sent) {
            Ok(holder) if holder.scope >= needed => return Ok(()),
            Ok(Holder { name, .. }) => (
                read_only(name),
                format!("{name} may not write, and called {path}"),
            ),
            Err(stranger) => (stranger.status(), format!("{stranger}, and called {path}")),
        };
        self.refusals.note(peer.address, &reason);
        Err(refusal)
    }
}

/// What a call was let through with that goes on: what it may do can be taken back meanwhile.
pub(super) struct Pass {
    guard: Guard,
    peer: Arc<Peer>,
    path: String,
    needed: Scope,
    sent: Option<HeaderValue>,
    /// Those that it was decided by last.
    tokens: Arc<Tokens>,
}

impl Pass {
    /// Whether the call may still go on.
    ///
    /// # Errors
    ///
    /// As [`Guard::check`].
    pub(super) fn holds(&mut self) -> Result<(), Status> {
        let tokens = self.guard.tokens.get();
        if Arc::ptr_eq(&tokens, &self.tokens) {
            return Ok(());
        }
        self.tokens = tokens;
        let (peer, sent) = (&self.peer, self.sent.as_ref());
        (self.guard).decide(&self.tokens, peer, &self.path, self.needed, sent)
    }
}

/// Somebody whom nothing says that they may do anything.
#[derive(Debug)]
enum Stranger<'p> {
    NoToken,
    UnknownToken,
    /// Their certificate is for these.
    UnknownNames(&'p [String]),
}

impl Stranger<'_> {
    /// What to tell them.
    fn status(&self) -> Status {
        match self {
            Self::NoToken => no_token(),
            Self::UnknownToken => unknown_token(),
            Self::UnknownNames(names) => no_scope(names),
        }
    }
}

/// What to tell the log, after who it is.
impl fmt::Display for Stranger<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken => formatter.write_str("it sent no token"),
            Self::UnknownToken => formatter.write_str("it sent a token that is nobody's"),
            Self::UnknownNames(names) => {
                write!(formatter, "there is no line for {}", names.join(" or "))
            }
        }
    }
}

/// Who it is that calls.
fn holder<'t, 'p>(
    tokens: &'t Tokens,
    peer: &'p Peer,
    sent: Option<&HeaderValue>,
) -> Result<Holder<'t>, Stranger<'p>> {
    if let Some(sent) = sent {
        let token = bearer(sent.as_bytes()).ok_or(Stranger::NoToken)?;
        return tokens.holder(token).ok_or(Stranger::UnknownToken);
    }
    let known = peer.names.iter().find_map(|name| tokens.named(name));
    known.ok_or(match &peer.names[..] {
        [] => Stranger::NoToken,
        names => Stranger::UnknownNames(names),
    })
}

/// The token in a header (RFC 6750 §2.1); how the scheme is spelled does not matter (RFC 9110 §11.1).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = header.split_at_checked(SCHEME.len())?;
    (scheme.eq_ignore_ascii_case(SCHEME)).then(|| token.trim_ascii())
}

/// What it takes to call what is at `path`; `None` where everybody may. Of what is not known here it takes the most.
fn needed(path: &str) -> Option<Scope> {
    match path.strip_prefix('/').and_then(|path| path.split_once('/')) {
        Some((HEALTH, _)) => None,
        Some((SERVICE, "ListConsignments" | "GetConsignments")) => Some(Scope::Read),
        _ => Some(Scope::Write),
    }
}

/// Whether what is at `path` goes on for as long as its caller likes. Other calls are done once they have begun, and are
/// to be told so.
fn is_stream(path: &str) -> bool {
    let method = path.rsplit('/').next();
    matches!(method, Some("ListConsignments" | "CreateConsignments"))
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    const LIST: &str = "/go.micro.srv.consignment.ShippingService/ListConsignments";
    const CREATE: &str = "/go.micro.srv.consignment.ShippingService/CreateConsignment";

    fn guard() -> Guard {
        let lines = [
            crate::tokens::line("crane", Scope::Write, "w"),
            crate::tokens::line("desk", Scope::Read, "r"),
        ];
        let text = lines.join("\n");
        let load = move || Ok(text.parse()?);
        let tokens = Current::load("tokens", Vec::new(), load).unwrap();
        Guard::new(Arc::new(tokens), Arc::new(Refusals::new()))
    }

    fn code(names: &[&str], path: &str, header: Option<&str>) -> Code {
        let peer = Arc::new(Peer {
            address: ([127, 0, 0, 1], 1).into(),
            names: names.iter().map(ToString::to_string).collect(),
        });
        let mut headers = HeaderMap::new();
        headers.extend(header.map(|header| (AUTHORIZATION, header.parse().unwrap())));
        let checked = guard().check(&peer, path, &headers);
        checked.map_or_else(|status| status.code(), |_| Code::Ok)
    }

    #[test]
    fn a_token_lets_through_to_what_it_is_for() {
        for (token, list, create) in [
            (Some("Bearer w"), Code::Ok, Code::Ok),
            (Some("bearer  r "), Code::Ok, Code::PermissionDenied),
            (
                Some("Bearer x"),
                Code::Unauthenticated,
                Code::Unauthenticated,
            ),
            (
                Some("Bearer "),
                Code::Unauthenticated,
                Code::Unauthenticated,
            ),
            (
                Some("Basic w"),
                Code::Unauthenticated,
                Code::Unauthenticated,
            ),
            (Some("w"), Code::Unauthenticated, Code::Unauthenticated),
            (None, Code::Unauthenticated, Code::Unauthenticated),
        ] {
            assert_eq!(code(&[], LIST, token), list, "{token:?}");
            assert_eq!(code(&[], CREATE, token), create, "{token:?}");
            assert_eq!(code(&[], "/grpc.health.v1.Health/Check", token), Code::Ok);
        }
    }

    #[test]
    fn a_certificate_is_looked_up_by_its_names() {
        for (names, list, create) in [
            (&["crane"][..], Code::Ok, Code::Ok),
            (&["else", "desk"], Code::Ok, Code::PermissionDenied),
            (&["else"], Code::PermissionDenied, Code::PermissionDenied),
        ] {
            assert_eq!(code(names, LIST, None), list, "{names:?}");
            assert_eq!(code(names, CREATE, None), create, "{names:?}");
        }
        // What is said with a token is meant.
        assert_eq!(
            code(&["crane"], LIST, Some("Bearer x")),
            Code::Unauthenticated
        );
        assert_eq!(
            code(&["crane"], CREATE, Some("Bearer r")),
            Code::PermissionDenied
        );
    }

    #[test]
    fn what_is_not_known_takes_the_most() {
        for path in ["", "/", "/x", "/x/ListConsignments", "//", CREATE] {
            assert_eq!(needed(path), Some(Scope::Write), "{path}");
        }
        assert_eq!(needed(LIST), Some(Scope::Read));
    }
}
