//! What is looked up, as people write it.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use super::SERVICE;
use crate::registry::access::AccessError;

/// Longest name, without the dot at its end, and longest label in it, in bytes (RFC 1035 §2.3.4).
const NAME_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;
/// Where a DNS server listens.
const DNS_PORT: u16 = 53;

/// A name by which servers are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The DNS server to ask; `None` for those that the system names.
    pub(super) authority: Option<SocketAddr>,
    /// A host's name or that of SRV records. It is completed by the system's search domains unless it ends in a dot.
    pub(super) name: String,
    /// Which of its records count.
    pub(super) records: Records,
}

/// Which records of a name say where servers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Records {
    /// Its SRV records: the name is one of a service, as `_shippy._tcp.depot.example`.
    Srv,
    /// The SRV records of [`SERVICE`] beneath it, else its addresses.
    Either,
    /// Its addresses, of servers on this port.
    Addresses(u16),
}

impl Target {
    /// Reads `NAME`, `NAME:PORT`, `dns:NAME`, `dns:///NAME` or `dns://SERVER:PORT/NAME` (gRPC's name syntax).
    ///
    /// # Errors
    ///
    /// [`AccessError::Address`].
    pub(super) fn parse(text: &str) -> Result<Self, AccessError> {
        Self::read(text).map_err(|reason| AccessError::Address {
            named: Some(text.to_owned()),
            reason,
        })
    }

    fn read(text: &str) -> Result<Self, String> {
        let (authority, place) = match text.split_once("://") {
            Some(("dns", rest)) => {
                let (server, place) = rest
                    .split_once('/')
                    .ok_or("write dns://SERVER/NAME, where SERVER is the DNS server to ask")?;
                let server = Some(server).filter(|server| !server.is_empty());
                (server.map(parse_server).transpose()?, place)
            }
            Some(_) => return Err("write NAME or dns://SERVER/NAME".into()),
            None => (None, text.strip_prefix("dns:").unwrap_or(text)),
        };
        let (name, port) = match place.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') => (name, Some(parse_port(port)?)),
            _ => (place, None),
        };
        check_name(name)?;
        let records = match (name.starts_with('_'), port) {
            (true, None) => Records::Srv,
            (true, Some(_)) => {
                return Err("leave the port out, as SRV records have their own".into());
            }
            (false, None) => Records::Either,
            (false, Some(port)) => Records::Addresses(port),
        };
        Ok(Self {
            authority,
            name: name.to_owned(),
            records,
        })
    }

    /// The name whose SRV records count, if they do.
    pub(super) fn service(&self) -> Option<String> {
        match self.records {
            Records::Srv => Some(self.name.clone()),
            Records::Either => Some(format!("{SERVICE}.{}", self.name)),
            Records::Addresses(_) => None,
        }
    }
}

impl fmt::Display for Target {
    /// What is asked for, and where that is not the system's to say.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, .. } = self;
        match self.records {
            Records::Srv => write!(formatter, "SRV {name}")?,
            Records::Either => write!(formatter, "SRV {SERVICE}.{name} and A, AAAA {name}")?,
            Records::Addresses(port) => write!(formatter, "A, AAAA {name} (port {port})")?,
        }
        match self.authority {
            Some(server) => write!(formatter, " at {server}"),
            None => Ok(()),
        }
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("the port {text:?} is not a number from 1 to 65535"))
}

/// A server that names are asked of cannot have its own name asked first.
fn parse_server(text: &str) -> Result<SocketAddr, String> {
    address_of(text)
        .map(|(ip, port)| SocketAddr::new(ip, port.unwrap_or(DNS_PORT)))
        .ok_or_else(|| format!("the DNS server {text:?} is not an IP address, or one with a port"))
}

/// The IP address that `text` is, in brackets or not, and the port after it.
fn address_of(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let whole = text
        .parse()
        .map(|address: SocketAddr| (address.ip(), Some(address.port())));
    let bare = text.trim_matches(['[', ']']).parse();
    whole.ok().or(bare.ok().map(|ip| (ip, None)))
}

fn check_name(name: &str) -> Result<(), String> {
    if address_of(name).is_some() {
        return Err("it is an address already: name the server with --server HOST:PORT".into());
    }
    if !name.is_ascii() {
        return Err("write the name in ASCII, as it is in DNS: xn--…".into());
    }
    let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    let is_label =
        |label: &str| (1..=LABEL_BYTES).contains(&label.len()) && label.chars().all(is_plain);
    let bare = name.strip_suffix('.').unwrap_or(name);
    if bare.len() > NAME_BYTES || !bare.split('.').all(is_label) {
        return Err("write a DNS name, like shippy.default.svc.cluster.local".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        (Target::parse(text))
            .map(|target| target.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_is_looked_up_by_its_service_or_its_addresses() {
        for (text, expected) in [
            ("depot", "SRV _shippy._tcp.depot and A, AAAA depot"),
            (
                "depot.example.",
                "SRV _shippy._tcp.depot.example. and A, AAAA depot.example.",
            ),
            ("depot:7", "A, AAAA depot (port 7)"),
            ("_grpc._tcp.depot", "SRV _grpc._tcp.depot"),
            ("dns:depot:7", "A, AAAA depot (port 7)"),
            ("dns:///_x._tcp.depot", "SRV _x._tcp.depot"),
            (
                "dns://192.0.2.53/depot:7",
                "A, AAAA depot (port 7) at 192.0.2.53:53",
            ),
            (
                "dns://192.0.2.53:5/_x._tcp.depot",
                "SRV _x._tcp.depot at 192.0.2.53:5",
            ),
            ("dns://[::1]/depot:7", "A, AAAA depot (port 7) at [::1]:53"),
            ("dns://[::1]:5/depot:7", "A, AAAA depot (port 7) at [::1]:5"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_what_to_write() {
        let long = "x".repeat(64);
        for (text, said) in [
            ("192.0.2.7", "--server"),
            ("192.0.2.7:50051", "--server"),
            ("[::1]:50051", "--server"),
            ("::1", "--server"),
            ("https://depot", "dns://SERVER/NAME"),
            ("dns://192.0.2.53", "dns://SERVER/NAME"),
            ("dns://ns.example/depot", "ns.example"),
            ("_shippy._tcp.depot:7", "leave the port out"),
            ("depot:0", "65535"),
            ("depot:", "65535"),
            ("dépôt", "xn--"),
            ("de pot", "a DNS name"),
            ("depot..example", "a DNS name"),
            (".", "a DNS name"),
            (&long, "a DNS name"),
        ] {
            let error = shown(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
