//! The network interfaces that take part in multicast DNS.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use if_addrs::{IfAddr, Interface};

/// Where this registry may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// On every interface, bridges and loopback included.
    Everywhere,
    /// On the loopback interface alone.
    Loopback,
}

impl Reach {
    /// Whether `interface` is within reach.
    pub(super) fn admits(self, interface: &Interface) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Loopback => interface.is_loopback(),
        }
    }
}

/// One interface that is up, with its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) loopback: bool,
    addresses: Vec<IfAddr>,
}

impl Link {
    /// Its IPv4 addresses.
    pub(super) fn ipv4(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.addresses.iter().filter_map(|address| match address {
            IfAddr::V4(v4) => Some(v4.ip),
            IfAddr::V6(_) => None,
        })
    }

    /// The IPv6 address to ask from: the link-local one where there is one, since the group `ff02::fb` is link-local.
    pub(super) fn ipv6(&self) -> Option<Ipv6Addr> {
        let mut candidates: Vec<Ipv6Addr> = self
            .addresses
            .iter()
            .filter_map(|address| match address {
                IfAddr::V4(_) => None,
                IfAddr::V6(v6) => Some(v6.ip),
            })
            .collect();
        candidates.sort_by_key(|ip| !ip.is_unicast_link_local());
        candidates.first().copied()
    }

    /// All of its addresses.
    pub(super) fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().map(IfAddr::ip)
    }

    /// Whether `ip` is one of its addresses.
    pub(super) fn holds(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|address| address.ip() == ip)
    }

    /// Whether one at `ip` speaks on it and not from beyond a router (RFC 6762 §11): another on this machine, or one whose
    /// address is link-local or in a subnet of one of its addresses.
    pub(super) fn is_near(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || self.shares_subnet(v4),
            IpAddr::V6(v6) => {
                let is_on = |address: &IfAddr| match address {
                    IfAddr::V4(_) => false,
                    IfAddr::V6(own) => {
                        let mask = own.netmask.to_bits();
                        own.ip.to_bits() & mask == v6.to_bits() & mask
                    }
                };
                v6.is_loopback() || v6.is_unicast_link_local() || self.addresses.iter().any(is_on)
            }
        }
    }

    /// Whether `ip` lies in the subnet of one of its IPv4 addresses.
    pub(super) fn shares_subnet(&self, ip: Ipv4Addr) -> bool {
        self.addresses.iter().any(|address| match address {
            IfAddr::V4(v4) => {
                v4.ip.to_bits() & v4.netmask.to_bits() == ip.to_bits() & v4.netmask.to_bits()
            }
            IfAddr::V6(_) => false,
        })
    }
}

/// The interfaces within `reach`, loopback first: what runs on this machine is likeliest and answers soonest.
///
/// An interface that is down has no part; a point-to-point one (a VPN's) neither.
///
/// # Errors
///
/// When the system does not say, as when no more files may be opened: it is not known then that any is gone.
pub(super) fn links(reach: Reach) -> io::Result<Vec<Link>> {
    let interfaces = if_addrs::get_if_addrs()
        .inspect_err(|error| tracing::debug!(%error, "could not list the network interfaces"))?;
    let mut links: Vec<Link> = Vec::new();
    for interface in interfaces {
        if !interface.is_oper_up() || interface.is_p2p() || !reach.admits(&interface) {
            continue;
        }
        let loopback = interface.is_loopback();
        let Some(index) = interface.index else {
            continue;
        };
        if let Some(link) = links.iter_mut().find(|link| link.index == index) {
            link.loopback |= loopback;
            link.addresses.push(interface.addr);
        } else {
            links.push(Link {
                name: interface.name,
                index,
                loopback,
                addresses: vec![interface.addr],
            });
        }
    }
    links.sort_by_key(|link| !link.loopback);
    Ok(links)
}

#[cfg(any(test, fuzzing))]
pub(super) fn link(index: u32, loopback: bool, networks: &[(Ipv4Addr, u8)]) -> Link {
    let addresses = networks.iter().map(|&(ip, prefixlen)| {
        let netmask = u32::MAX.checked_shl(u32::from(32 - prefixlen)).unwrap_or(0);
        IfAddr::V4(if_addrs::Ifv4Addr {
            ip,
            netmask: Ipv4Addr::from_bits(netmask),
            prefixlen,
            broadcast: None,
        })
    });
    Link {
        name: format!("test{index}"),
        index,
        loopback,
        addresses: addresses.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_who_shares_the_link() {
        let ipv6 = |ip: &str, prefixlen| {
            IfAddr::V6(if_addrs::Ifv6Addr {
                ip: ip.parse().unwrap(),
                netmask: Ipv6Addr::from_bits(u128::MAX << (128 - prefixlen)),
                prefixlen,
                broadcast: None,
            })
        };
        let mut lan = link(2, false, &[(Ipv4Addr::new(10, 0, 0, 9), 24)]);
        lan.addresses.push(ipv6("2001:db8::9", 64));
        for (ip, is_near) in [
            ("10.0.0.9", true),
            ("10.0.0.5", true),
            ("169.254.7.7", true),
            ("127.0.0.1", true),
            ("10.0.1.5", false),
            ("203.0.113.9", false),
            ("fe80::1", true),
            ("2001:db8::5", true),
            ("::1", true),
            ("2001:db8:0:1::5", false),
        ] {
            assert_eq!(lan.is_near(ip.parse().unwrap()), is_near, "{ip}");
        }
    }
}
