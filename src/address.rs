//! Where servers listen and are reached, as people write it.

use std::{fmt, net::Ipv6Addr, str::FromStr};

/// `HOST:PORT`, in the notation of the Go services: without a host it is every interface of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets; empty for every interface, over IPv6 and IPv4.
    pub host: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text
            .rsplit_once(':')
            .ok_or("it has no port: write HOST:PORT, like 127.0.0.1:50051")?;
        let host = match host.strip_prefix('[') {
            Some(rest) => (rest.strip_suffix(']'))
                .filter(|inner| inner.parse::<Ipv6Addr>().is_ok())
                .ok_or("the brackets hold no IPv6 address")?,
            None if host.contains("//") => {
                return Err("write HOST:PORT alone, without http:// or a path".into());
            }
            None if host.contains(':') => {
                return Err("an IPv6 address stands in brackets, like [::1]:50051".into());
            }
            None => host,
        };
        if let Some(char) = host.chars().find(|&char| !is_of_hosts(char)) {
            return Err(format!("{char:?} is in no host's name or address"));
        }
        let port = port
            .parse()
            .map_err(|_| format!("the port {port:?} is not a number from 0 to 65535"))?;
        Ok(Self {
            host: host.into(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(formatter, "[{host}]:{port}")
        } else {
            write!(formatter, "{host}:{port}")
        }
    }
}

/// What names, IPv4 addresses and IPv6 addresses without their brackets are made of; `_` is in the names of containers.
fn is_of_hosts(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '.' | '-' | '_' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, u16), String> {
        text.parse().map(|Address { host, port }| (host, port))
    }

    #[test]
    fn the_notations_of_the_go_services_are_understood() {
        assert_eq!(parse(":50051"), Ok((String::new(), 50051)));
        assert_eq!(parse("127.0.0.1:0"), Ok(("127.0.0.1".into(), 0)));
        assert_eq!(parse("[::1]:50051"), Ok(("::1".into(), 50051)));
        assert_eq!(parse("depot.example:80"), Ok(("depot.example".into(), 80)));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "50051",
            "localhost",
            "::1:50051",
            "[::1:50051",
            "[no]:1",
            "a:65536",
            "a:",
            "a@b/c:80",
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
    }
}
