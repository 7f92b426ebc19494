//! Where to say that a server is, in a registry that knows nothing of interfaces.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

/// An address that nobody has (RFC 5737): the way there is the way to everywhere.
const ELSEWHERE: &str = "192.0.2.1:9";

/// `addresses` with each unspecified host (`0.0.0.0`, `[::]`) replaced by this machine's own addresses: first the one
/// that it has on the way to the rest of the network, then the others; those of loopback only when there are no others,
/// since whoever reads them is likely to be on another machine.
///
/// # Errors
///
/// When the system does not say which those are, as when no more files may be opened.
pub(super) fn spelled_out(addresses: &[String]) -> io::Result<Vec<String>> {
    let mut spelled = Vec::new();
    for address in addresses {
        match address.parse::<SocketAddr>() {
            Ok(open) if open.ip().is_unspecified() => {
                let own = own(open.ip().is_ipv6(), &local_ips()?, outward());
                let own = own.into_iter().map(|ip| SocketAddr::new(ip, open.port()));
                spelled.extend(own.map(|address| address.to_string()));
            }
            _ => spelled.push(address.clone()),
        }
    }
    Ok(spelled)
}

fn local_ips() -> io::Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs()?;
    Ok(interfaces.iter().map(if_addrs::Interface::ip).collect())
}

/// The address that this machine has on the way to the rest of the network. Nothing is sent: to connect a datagram
/// socket only asks the routing table.
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect(ELSEWHERE).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The addresses among `local` to be reached at, the best first.
fn own(with_ipv6: bool, local: &[IpAddr], outward: Option<IpAddr>) -> Vec<IpAddr> {
    let is_usable = |ip: &&IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        // A link-local address goes with an interface of its reader, whom it does not name.
        IpAddr::V6(ip) => with_ipv6 && !ip.is_unicast_link_local(),
    };
    let usable: BTreeSet<IpAddr> = local.iter().filter(is_usable).copied().collect();
    let (loopback, mut reachable): (Vec<IpAddr>, Vec<IpAddr>) =
        usable.into_iter().partition(IpAddr::is_loopback);
    if reachable.is_empty() {
        return loopback;
    }
    // IPv4 sorts before IPv6 already.
    reachable.sort_by_key(|&ip| Some(ip) != outward);
    reachable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_way_outward_comes_first_and_loopback_not_at_all() {
        let local = ips(&[
            "127.0.0.1",
            "::1",
            "172.17.0.1",
            "10.0.0.5",
            "fe80::1",
            "2001:db8::5",
        ]);
        let outward = Some("172.17.0.1".parse().unwrap());
        let expected = ips(&["172.17.0.1", "10.0.0.5", "2001:db8::5"]);
        assert_eq!(own(true, &local, outward), expected);
        assert_eq!(own(false, &local, None), ips(&["10.0.0.5", "172.17.0.1"]));
    }

    #[test]
    fn a_machine_with_loopback_alone_has_that() {
        let local = ips(&["127.0.0.1", "::1", "fe80::1"]);
        assert_eq!(own(true, &local, None), ips(&["127.0.0.1", "::1"]));
    }

    #[test]
    fn what_is_an_address_already_is_kept() {
        let given = ["depot.example:80".to_owned(), "127.0.0.1:7".to_owned()];
        assert_eq!(spelled_out(&given).unwrap(), given);
        let all = spelled_out(&["[::]:7".to_owned()]).unwrap();
        assert!(
            !all.is_empty() && all.iter().all(|address| address.ends_with(":7")),
            "{all:?}"
        );
    }
}
