//! Which of the addresses that were heard can be connected to, and in what order to try them.

use std::net::{IpAddr, SocketAddr};

use super::interfaces::Link;

/// How soon to try an address: the smaller, the sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// This machine's loopback, heard there.
    Loopback,
    /// IPv4, in a subnet of the interface on which it was heard.
    SameSubnet,
    /// IPv4 beyond that.
    OtherIpv4,
    /// IPv6 that reaches beyond the link.
    GlobalIpv6,
}

/// The rank of `ip`, heard on `link` (`None`: an interface that is no longer there); `None` when it is of no use.
///
/// A loopback address counts only when it was heard on loopback: from the network it would name this machine instead
/// of the one that said it. A link-local IPv6 address needs a scope, which a URI cannot carry.
pub(super) fn rank(ip: IpAddr, link: Option<&Link>) -> Option<Rank> {
    if ip.is_unspecified() || ip.is_multicast() {
        return None;
    }
    if ip.is_loopback() {
        return link
            .is_some_and(|link| link.loopback)
            .then_some(Rank::Loopback);
    }
    match ip {
        IpAddr::V4(v4) if v4.is_broadcast() => None,
        IpAddr::V4(v4) if link.is_some_and(|link| link.shares_subnet(v4)) => Some(Rank::SameSubnet),
        IpAddr::V4(_) => Some(Rank::OtherIpv4),
        IpAddr::V6(v6) if v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some() => None,
        IpAddr::V6(_) => Some(Rank::GlobalIpv6),
    }
}

/// The addresses of one instance, the best first.
#[derive(Debug, Clone, Default)]
pub(super) struct Candidates(Vec<(Rank, SocketAddr)>);

impl Candidates {
    /// Most addresses kept of one instance: far more than a machine has, far fewer than a liar may send.
    const MAX: usize = 16;

    /// Adds `address`; true when it was not known. Equal ranks keep IPv4 before IPv6 and the order of arrival.
    pub(super) fn add(&mut self, rank: Rank, address: SocketAddr) -> bool {
        let known = self.0.iter().position(|(_, known)| *known == address);
        let grew = known.is_none() && self.0.len() < Self::MAX;
        if let Some(index) = known {
            self.0[index].0 = rank.min(self.0[index].0);
        } else if grew {
            self.0.push((rank, address));
        }
        self.0
            .sort_by_key(|(rank, address)| (*rank, address.is_ipv6()));
        grew
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As `HOST:PORT`, the best first, IPv6 in brackets.
    pub(super) fn to_strings(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|(_, address)| address.to_string())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{super::interfaces::link, *};

    fn loopback() -> Link {
        link(1, true, &[(Ipv4Addr::LOCALHOST, 8)])
    }

    fn lan() -> Link {
        link(2, false, &[(Ipv4Addr::new(10, 0, 0, 9), 24)])
    }

    #[test]
    fn a_loopback_address_counts_only_when_heard_on_loopback() {
        for ip in ["127.0.0.1", "127.9.9.9", "::1"] {
            let ip = ip.parse().unwrap();
            assert_eq!(rank(ip, Some(&loopback())), Some(Rank::Loopback));
            assert_eq!(rank(ip, Some(&lan())), None, "{ip} from the network");
            assert_eq!(rank(ip, None), None);
        }
    }

    #[test]
    fn an_address_that_no_uri_reaches_is_of_no_use() {
        for ip in [
            "fe80::1",
            "::",
            "0.0.0.0",
            "224.0.0.251",
            "ff02::fb",
            "255.255.255.255",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(rank(ip.parse().unwrap(), Some(&lan())), None, "{ip}");
        }
    }

    #[test]
    fn the_nearest_address_comes_first_and_ipv6_last() {
        let mut candidates = Candidates::default();
        for (ip, link) in [
            ("2001:db8::5", &lan()),
            ("172.17.0.1", &lan()),
            ("10.0.0.5", &lan()),
            ("::1", &loopback()),
            ("127.0.0.1", &loopback()),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            assert!(candidates.add(rank(ip, Some(link)).unwrap(), SocketAddr::new(ip, 7)));
        }
        assert_eq!(
            candidates.to_strings(),
            [
                "127.0.0.1:7",
                "[::1]:7",
                "10.0.0.5:7",
                "172.17.0.1:7",
                "[2001:db8::5]:7"
            ]
        );
    }

    #[test]
    fn an_address_heard_again_is_not_new_but_may_rank_better() {
        let far = SocketAddr::from(([10, 0, 0, 5], 7));
        let other = SocketAddr::from(([172, 17, 0, 1], 7));
        let mut candidates = Candidates::default();
        assert!(candidates.add(Rank::OtherIpv4, other));
        assert!(candidates.add(Rank::OtherIpv4, far));
        assert!(!candidates.add(Rank::SameSubnet, far));
        assert_eq!(candidates.to_strings(), ["10.0.0.5:7", "172.17.0.1:7"]);
    }

    #[test]
    fn a_liar_cannot_fill_the_memory_with_addresses() {
        let mut candidates = Candidates::default();
        for host in 0..=u8::MAX {
            candidates.add(Rank::OtherIpv4, SocketAddr::from(([192, 0, 2, host], 7)));
        }
        assert_eq!(candidates.to_strings().len(), Candidates::MAX);
    }
}
