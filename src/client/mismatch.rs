//! Why two ends do not get to speak to each other, said so that one knows which of them to change, and what.

use std::{io, sync::OnceLock};

use rustls::{AlertDescription, CertificateError, Error};

use super::{Attempt, ClientError, tls::Tls};
use crate::tls::distance;

/// What another attempt would find again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// We do not go on with such a server.
    Ours(String),
    /// The server does not go on with us.
    Theirs(String),
}

/// What was found out about one server, at most once.
pub(super) type Found = OnceLock<Mismatch>;

/// What a connection says first, by the first byte that is read of it.
pub(super) fn speaks_tls(first: u8) -> bool {
    // An alert or a handshake (RFC 8446 §5.1). HTTP/2 begins with the length of a frame, and no server's first frame is
    // longer than a megabyte.
    matches!(first, 21 | 22)
}

impl Mismatch {
    pub(super) fn into_attempt(self, address: &str) -> Attempt {
        Attempt::never(
            address,
            match self {
                Self::Ours(reason) => ClientError::Mismatch {
                    address: address.to_owned(),
                    reason,
                },
                Self::Theirs(reason) => ClientError::TurnedAway {
                    address: address.to_owned(),
                    reason,
                },
            },
        )
    }

    /// A server that speaks TLS, to a client that does not.
    pub(super) fn needs_tls() -> Self {
        Self::Ours(
            "it speaks TLS: name the authority of its certificate with --tls-ca FILE (SHIPPY_TLS_CA)".into(),
        )
    }

    /// A token, and nobody knows who reads it on its way or at its end.
    pub(super) fn token_in_clear(reason: &str) -> Self {
        Self::Ours(format!(
            "the token was not sent, as {reason}: name the authority of the server's certificate with --tls-ca FILE \
             (SHIPPY_TLS_CA), for a server that speaks TLS"
        ))
    }

    /// What `error`, of a connection by `tls`, means; `None` when another attempt may do better.
    pub(super) fn of_tls(error: &io::Error, tls: &Tls) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        Some(match error {
            Error::InvalidMessage(_) => Self::Ours(
                "it does not speak TLS: leave --tls-ca (SHIPPY_TLS_CA) out, or start the server with --tls-cert and \
                 --tls-key"
                    .into(),
            ),
            Error::InvalidCertificate(error) => Self::Ours(of_certificate(error, tls)),
            Error::AlertReceived(alert) => Self::Theirs(of_alert(*alert)),
            error => Self::Ours(format!("the two do not agree on TLS: {error}")),
        })
    }
}

fn of_certificate(error: &CertificateError, tls: &Tls) -> String {
    match error {
        // An authority that was made anew under its old name vouches for none of its old certificates.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "its certificate does not come from the authority in {}: name the one that it comes from with --tls-ca, or give \
             the server a certificate from this one",
            tls.authority.display()
        ),
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "its certificate is for {}, and not for {}: give the name that it is to have with --tls-server-name, or the \
             server another certificate",
            names(presented),
            tls.name.to_str(),
        ),
        CertificateError::ExpiredContext { not_after, .. } => format!(
            "its certificate expired {}: renew it, or set this machine's clock, if that is wrong",
            distance(not_after.as_secs())
        ),
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "its certificate is valid only {}: set this machine's clock, or the one of the machine that made it",
            distance(not_before.as_secs())
        ),
        error => format!("its certificate is not good: {error}"),
    }
}

/// The names in a certificate, as rustls has them, for people.
fn names(presented: &[String]) -> String {
    let plain = |name: &String| {
        // `DnsName("a")`, `IpAddress(127.0.0.1)`
        let inner = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest);
        inner.trim_end_matches(')').trim_matches('"').to_owned()
    };
    let names: Vec<_> = presented.iter().map(plain).collect();
    if names.is_empty() {
        "no name at all".into()
    } else {
        names.join(", ")
    }
}

/// What a server means by ending a connection with `alert`. It has seen nothing of us but how we speak TLS and, where it
/// asks for one, our certificate.
fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "it asks for a client certificate: give one with --tls-cert FILE and --tls-key FILE".into()
        }
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "it does not take this client's certificate, whose authority is none of those in its --tls-client-ca: give \
             another with --tls-cert and --tls-key"
                .into()
        }
        AlertDescription::CertificateExpired => {
            "it does not take this client's certificate, which has expired or is not valid yet: renew it, or set that \
             machine's clock, if it is wrong"
                .into()
        }
        AlertDescription::UnsupportedCertificate => {
            "it does not take this client's certificate, which is not one for clients: give another with --tls-cert and \
             --tls-key"
                .into()
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => format!(
            "it does not take this client's certificate ({alert:?}): give another with --tls-cert and --tls-key"
        ),
        AlertDescription::NoApplicationProtocol => {
            "what listens there speaks TLS, but not HTTP/2 in it, so it is not shippy".into()
        }
        alert => format!("it does not agree on TLS: {alert:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_without_their_wrapping() {
        let presented = ["DnsName(\"depot.example\")", "IpAddress(127.0.0.1)"];
        let presented = presented.map(str::to_owned);
        assert_eq!(names(&presented), "depot.example, 127.0.0.1");
        assert_eq!(names(&[]), "no name at all");
    }
}
