//! Where the server listens.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    str::FromStr,
};

use anyhow::{Context as _, anyhow};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::limits::BACKLOG;

/// An address to listen on, `HOST:PORT`, in the notation of the Go services: without a host it is every interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// A name or an IP address, without brackets; empty for every interface, over IPv6 and IPv4.
    pub host: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or(
            "it has no port: write HOST:PORT, or :PORT for every interface, like 127.0.0.1:50051",
        )?;
        let host = match host.strip_prefix('[') {
            Some(rest) => (rest.strip_suffix(']'))
                .filter(|inner| inner.parse::<Ipv6Addr>().is_ok())
                .ok_or("the brackets hold no IPv6 address")?,
            None if host.contains(':') => {
                return Err("an IPv6 address stands in brackets, like [::1]:50051".into());
            }
            None => host,
        };
        let port = port
            .parse()
            .map_err(|_| format!("the port {port:?} is not a number from 0 to 65535"))?;
        Ok(Self {
            host: host.into(),
            port,
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(formatter, "[{host}]:{port}")
        } else {
            write!(formatter, "{host}:{port}")
        }
    }
}

impl ListenAddress {
    /// Listens here.
    ///
    /// # Errors
    ///
    /// When no address that the host stands for can be listened on; the text says which and why.
    pub fn bind(&self) -> anyhow::Result<TcpListener> {
        if self.host.is_empty() {
            return self.bind_everywhere();
        }
        let addresses = (self.host.as_str(), self.port).to_socket_addrs();
        let addresses =
            addresses.with_context(|| format!("could not look up the host of {self}"))?;
        let mut failure = anyhow!("could not listen on {self}: the host has no address");
        for address in addresses {
            match listen(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => failure = explain(address, error),
            }
        }
        Err(failure)
    }

    /// On one socket for both families, and on IPv4 alone where there is no IPv6.
    fn bind_everywhere(&self) -> anyhow::Result<TcpListener> {
        let six = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), self.port);
        let four = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), self.port);
        match listen(six) {
            Ok(listener) => Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(explain(six, error)),
            Err(_) => listen(four).map_err(|error| explain(four, error)),
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // A port whose last connections are still being closed can be taken at once after a restart.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn explain(address: SocketAddr, error: io::Error) -> anyhow::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there: stop it, or choose another port with --address"
        }
        io::ErrorKind::PermissionDenied => {
            "choose a port from 1024 upwards with --address, or run as a user who may listen there"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: choose another with --address"
        }
        _ => "choose another with --address",
    };
    anyhow::Error::new(error).context(format!("could not listen on {address} ({advice})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, u16), String> {
        text.parse()
            .map(|ListenAddress { host, port }| (host, port))
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
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
    }
}
