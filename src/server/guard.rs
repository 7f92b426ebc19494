//! Who may call what, where the server asks for it.

use std::{fmt, net::SocketAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use tonic::Status;

use super::{current::Current, refusals::Refusals, room::HEALTH};
use crate::{
    proto::SERVICE,
    service::{Caller, no_scope, no_token, read_only, unknown_token},
    tokens::{Holder, Scope, Tokens, bearer, parse_name},
    web::{self, Visitor},
};

/// Those that show the contract, under the names of both versions of their protocol.
pub(super) const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
pub(super) const OLD_REFLECTION: &str = "grpc.reflection.v1alpha.ServerReflection";

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
    /// Whether its connection is by TLS.
    pub(super) is_by_tls: bool,
    /// The names in the certificate that it has shown and proven to be its own, if it has.
    pub(super) names: Vec<String>,
}

impl Peer {
    /// Who it is where no token says so: the first name in its certificate that a line could hold.
    pub(super) fn caller(&self) -> Option<Caller> {
        let name = self.names.iter().find_map(|name| parse_name(name).ok());
        name.map(|name| Caller(name.into()))
    }
}

impl Guard {
    pub(super) fn new(tokens: Arc<Current<Tokens>>, refusals: Arc<Refusals>) -> Self {
        Self { tokens, refusals }
    }

    /// Who calls what is at `path`, if `peer` may, and for how long, where that may take long. A token that is sent counts
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
    ) -> Result<Admitted, Status> {
        let Some(needed) = needed(path) else {
            return Ok(Admitted::default());
        };
        let tokens = self.tokens.get();
        let sent = headers.get(AUTHORIZATION);
        let caller = self.decide(&tokens, peer, path, needed, sent)?;
        let pass = is_stream(path).then(|| Pass {
            guard: self.clone(),
            peer: Arc::clone(peer),
            path: path.to_owned(),
            needed,
            sent: sent.cloned(),
            tokens,
        });
        let caller = Some(caller);
        Ok(Admitted { caller, pass })
    }

    /// Who `peer` is, by what it sends along.
    pub(super) fn visitor(&self, peer: &Peer, headers: &HeaderMap) -> Visitor {
        let tokens = self.tokens.get();
        let holder = holder(&tokens, peer, headers.get(AUTHORIZATION)).ok();
        Visitor {
            name: holder.as_ref().map(|holder| holder.name.to_string()),
            scope: holder.map(|holder| holder.scope),
        }
    }

    fn decide(
        &self,
        tokens: &Tokens,
        peer: &Peer,
        path: &str,
        needed: Scope,
        sent: Option<&HeaderValue>,
    ) -> Result<Caller, Status> {
        let (refusal, reason) = match holder(tokens, peer, sent) {
            Ok(holder) if holder.scope >= needed => return Ok(Caller(Arc::clone(holder.name))),
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

/// A call that is let through.
#[derive(Default)]
pub(super) struct Admitted {
    /// Who calls, where that is asked for.
    pub(super) caller: Option<Caller>,
    /// Where the call may take long.
    pub(super) pass: Option<Pass>,
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
        let decided = (self.guard).decide(&self.tokens, peer, &self.path, self.needed, sent);
        decided.map(|_| ())
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

/// What it takes to call what is at `path`; `None` where everybody may. Of what is not known here it takes the most.
fn needed(path: &str) -> Option<Scope> {
    match path.strip_prefix('/').and_then(|path| path.split_once('/')) {
        Some((HEALTH, _) | (web::OWN, "Board" | "Session")) => None,
        Some(
            (SERVICE, "ListConsignments" | "GetConsignments")
            | (REFLECTION | OLD_REFLECTION | web::OWN, _),
        ) => Some(Scope::Read),
        _ => Some(Scope::Write),
    }
}

/// Whether everybody may call what is at `path`.
pub(super) fn is_open(path: &str) -> bool {
    needed(path).is_none()
}

/// Whether what is at `path` goes on for as long as its caller likes. Other calls are done once they have begun, and are
/// to be told so.
fn is_stream(path: &str) -> bool {
    let method = path.rsplit('/').next();
    matches!(
        method,
        Some("ListConsignments" | "CreateConsignments" | "ServerReflectionInfo")
    )
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
            is_by_tls: !names.is_empty(),
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
        for version in ["v1", "v1alpha"] {
            let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
            assert_eq!(needed(&path), Some(Scope::Read), "{path}");
        }
    }
}
