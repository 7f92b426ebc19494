//! Which addresses to announce, and where.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{net::lookup_host, time::timeout};

use super::{
    interfaces::{Link, Reach},
    txt::SPELLED_OUT_MAX,
};
use crate::registry::RegistryError;

/// How long the name of an advertised host may take to resolve.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(2);

/// What an announcement offers to connect to.
///
/// | the server's addresses | announced |
/// |---|---|
/// | loopback alone | on loopback alone, as they are; `[::1]` by itself spelled out in the TXT record |
/// | `0.0.0.0`, `[::]` | on every interface, that interface's own addresses; IPv6 ones for `[::]` alone |
/// | an address of this machine | on the interface that holds it |
/// | any other (behind a NAT, or a published container port) | on every interface, spelled out in the TXT record |
/// | several with different ports | the same |
///
/// The last but one is spelled out because address records are only announced in the subnet that they belong to, the
/// last because an announcement has one port, and `[::1]` because address records are only announced over their own
/// version of IP, and Linux routes no IPv6 multicast on loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    /// The port of the SRV record.
    pub(super) port: u16,
    /// Where to announce.
    pub(super) reach: Reach,
    /// For the TXT record: where to connect instead of the address records. Empty: where they say.
    pub(super) spelled_out: Vec<SocketAddr>,
    addresses: Vec<IpAddr>,
}

impl Offer {
    /// What to announce of a server at `addresses`, on a machine with `links`. A host name is resolved, once.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Mdns`] when there is no address, an address is unsound, a name does not resolve in time, or an
    /// unspecified address stands beside one with another port.
    pub(super) async fn new(addresses: &[String], links: &[Link]) -> Result<Self, RegistryError> {
        let mut resolved = Vec::new();
        for address in addresses {
            resolved.extend(resolve(address).await?);
        }
        Self::of(&resolved, links)
    }

    fn of(addresses: &[SocketAddr], links: &[Link]) -> Result<Self, RegistryError> {
        let Some(first) = addresses.first() else {
            return Err(RegistryError::Mdns(
                "there is no address to announce".to_owned(),
            ));
        };
        let port = first.port();
        let is_unspecified = |address: &SocketAddr| address.ip().to_canonical().is_unspecified();
        let differs = |address: &&SocketAddr| address.port() != port;
        let other = addresses.iter().find(differs);
        if let Some(other) = other
            && addresses.iter().any(is_unspecified)
        {
            let text = format!(
                "could not announce {first} and {other} together: what stands for every interface has one port"
            );
            return Err(RegistryError::Mdns(text));
        }
        if let Some(portless) = addresses.iter().find(|address| address.port() == 0) {
            return Err(RegistryError::Mdns(format!(
                "could not announce {portless}: port 0 is none"
            )));
        }
        let ips: Vec<IpAddr> = addresses
            .iter()
            .map(|address| address.ip().to_canonical())
            .collect();
        let reach = if ips.iter().all(IpAddr::is_loopback) {
            Reach::Loopback
        } else {
            Reach::Everywhere
        };
        let here = |ip: IpAddr| ip.is_loopback() || links.iter().any(|link| link.holds(ip));
        let records_do = match reach {
            _ if other.is_some() => false,
            Reach::Loopback => ips.iter().any(IpAddr::is_ipv4),
            Reach::Everywhere => {
                ips.iter().any(IpAddr::is_unspecified) || ips.iter().all(|&ip| here(ip))
            }
        };
        let spelled_out = if records_do {
            Vec::new()
        } else {
            spelled_out(addresses)
        };
        Ok(Self {
            port,
            reach,
            spelled_out,
            addresses: ips,
        })
    }

    /// The addresses to announce on `link`: those of its own that are offered, and on loopback those that it does not list,
    /// all of 127.0.0.0/8 being local while only 127.0.0.1 is listed.
    pub(super) fn addresses_on(&self, link: &Link) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = link.ips().filter(|&ip| self.covers(ip)).collect();
        if link.loopback {
            let unlisted =
                (self.addresses.iter()).filter(|ip| ip.is_loopback() && !link.holds(**ip));
            addresses.extend(unlisted);
        }
        addresses
    }

    /// Whether to announce `ip`, an interface's address, on that interface, now or when it appears.
    fn covers(&self, ip: IpAddr) -> bool {
        if !self.spelled_out.is_empty() {
            return true;
        }
        self.addresses.iter().any(|address| match address {
            IpAddr::V4(v4) if v4.is_unspecified() => ip.is_ipv4(),
            IpAddr::V6(v6) if v6.is_unspecified() => true,
            address => *address == ip,
        })
    }
}

/// As many of `addresses` as are spelled out.
fn spelled_out(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    if addresses.len() > SPELLED_OUT_MAX {
        tracing::warn!("of the addresses to advertise, mDNS announces the first {SPELLED_OUT_MAX}");
    }
    let plain = |address: &SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    addresses.iter().take(SPELLED_OUT_MAX).map(plain).collect()
}

/// The addresses that `HOST:PORT` stands for.
async fn resolve(address: &str) -> Result<Vec<SocketAddr>, RegistryError> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let failed = |reason: String| {
        RegistryError::Mdns(format!(
            "could not resolve the address {address:?}: {reason}"
        ))
    };
    match timeout(RESOLVE_DEADLINE, lookup_host(address)).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("no answer within {RESOLVE_DEADLINE:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{super::interfaces::link, *};

    fn links() -> [Link; 2] {
        [
            link(1, true, &[(Ipv4Addr::LOCALHOST, 8)]),
            link(2, false, &[(Ipv4Addr::new(10, 0, 0, 5), 24)]),
        ]
    }

    fn offer(addresses: &[&str]) -> Result<Offer, RegistryError> {
        let addresses: Vec<SocketAddr> = addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        Offer::of(&addresses, &links())
    }

    fn covers(offer: &Offer, ip: &str) -> bool {
        offer.covers(ip.parse().unwrap())
    }

    #[test]
    fn a_server_on_loopback_is_announced_there_alone() {
        let offer = offer(&["127.0.0.5:7", "[::1]:7"]).unwrap();
        assert_eq!(offer.reach, Reach::Loopback);
        let addresses = ["127.0.0.5", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let [loopback, lan] = links();
        assert_eq!(offer.addresses_on(&loopback), addresses);
        assert_eq!(offer.addresses_on(&lan), [] as [IpAddr; 0]);
    }

    #[test]
    fn ipv6_loopback_alone_is_spelled_out_since_linux_carries_no_multicast_there() {
        let offer = offer(&["[::1]:7"]).unwrap();
        assert_eq!(offer.reach, Reach::Loopback);
        assert_eq!(offer.spelled_out, ["[::1]:7".parse().unwrap()]);
        assert!(covers(&offer, "127.0.0.1"));
    }

    #[test]
    fn an_unspecified_address_stands_for_all_of_its_family() {
        let v4 = offer(&["0.0.0.0:7"]).unwrap();
        assert_eq!(v4.reach, Reach::Everywhere);
        assert!(covers(&v4, "10.0.0.5") && covers(&v4, "127.0.0.1") && !covers(&v4, "2001:db8::5"));
        let both = offer(&["[::]:7"]).unwrap();
        assert!(covers(&both, "10.0.0.5") && covers(&both, "2001:db8::5"));
        assert_eq!((v4.spelled_out, both.spelled_out), (vec![], vec![]));
    }

    #[test]
    fn an_address_of_this_machine_is_announced_where_it_is_held() {
        let offer = offer(&["10.0.0.5:7"]).unwrap();
        assert_eq!(offer.reach, Reach::Everywhere);
        assert!(
            covers(&offer, "10.0.0.5")
                && !covers(&offer, "172.17.0.1")
                && !covers(&offer, "127.0.0.1")
        );
        assert_eq!(offer.spelled_out, []);
    }

    #[test]
    fn an_address_of_another_machine_is_spelled_out_on_every_interface() {
        let offer = offer(&["203.0.113.9:7"]).unwrap();
        assert_eq!(offer.spelled_out, ["203.0.113.9:7".parse().unwrap()]);
        assert!(covers(&offer, "10.0.0.5") && covers(&offer, "127.0.0.1"));
    }

    #[test]
    fn what_cannot_be_announced_is_refused() {
        assert!(offer(&[]).is_err());
        assert!(offer(&["127.0.0.1:0"]).is_err());
        assert!(offer(&["127.0.0.1:7", "127.0.0.1:0"]).is_err());
        let two_ports = offer(&["0.0.0.0:7", "10.0.0.5:8"]).unwrap_err().to_string();
        assert!(two_ports.contains("one port"), "{two_ports}");
    }

    #[test]
    fn addresses_with_different_ports_are_spelled_out_up_to_a_number() {
        let two = offer(&["10.0.0.5:7", "[2001:db8::5]:8"]).unwrap();
        assert_eq!(two.reach, Reach::Everywhere);
        let expected = ["10.0.0.5:7", "[2001:db8::5]:8"].map(|address| address.parse().unwrap());
        assert_eq!(two.spelled_out, expected);
        assert!(covers(&two, "10.0.0.5") && covers(&two, "127.0.0.1"));
        let local = offer(&["127.0.0.1:7", "127.0.0.1:8"]).unwrap();
        assert_eq!((local.reach, local.spelled_out.len()), (Reach::Loopback, 2));
        let many = ["203.0.113.9:7"; SPELLED_OUT_MAX + 1];
        assert_eq!(offer(&many).unwrap().spelled_out.len(), SPELLED_OUT_MAX);
    }

    #[tokio::test]
    async fn a_name_is_resolved_and_an_unsound_address_named() {
        let offer = Offer::new(&["localhost:7".to_owned()], &[]).await.unwrap();
        assert_eq!(offer.reach, Reach::Loopback);
        let error = Offer::new(&["no port".to_owned()], &[])
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("\"no port\""), "{error}");
    }
}
