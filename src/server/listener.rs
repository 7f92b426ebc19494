//! Where the server listens.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::{Context as _, anyhow};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, lookup_host};

use super::limits::BACKLOG;
use crate::address::Address;

/// Listens on `address`; without a host on every interface.
///
/// # Errors
///
/// When no address that the host stands for can be listened on; the text says which and why, and what to do.
pub async fn bind(address: &Address) -> anyhow::Result<TcpListener> {
    if address.host.is_empty() {
        return bind_everywhere(address.port);
    }
    let resolved = lookup_host((address.host.as_str(), address.port)).await;
    let resolved = resolved.with_context(|| format!("could not look up the host of {address}"))?;
    let mut failure = anyhow!("could not listen on {address}: the host has no address");
    for address in resolved {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = explain(address, error),
        }
    }
    Err(failure)
}

/// On one socket for both families, and on IPv4 alone where there is no IPv6.
fn bind_everywhere(port: u16) -> anyhow::Result<TcpListener> {
    let six = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    let four = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    match listen(six) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(explain(six, error)),
        Err(_) => listen(four).map_err(|error| explain(four, error)),
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
