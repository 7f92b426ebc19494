//! Network interfaces, those that are down as well.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

/// Where the kernel shows its interfaces, and the routes over them.
const INTERFACES: &str = "/sys/class/net";
const ROUTES: &str = "/proc/net/route";

/// Bits of an interface's flags (`linux/if.h`).
const UP: u32 = 1;
const POINT_TO_POINT: u32 = 1 << 4;
const MULTICAST: u32 = 1 << 12;

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether there is somebody at the other end, as far as that can be known.
    pub carrier: bool,
    /// Whether it takes multicast; loopback does without saying so.
    pub multicast: bool,
    /// The bridge that it is a port of: what is said there is said on the bridge.
    pub bridge: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Who carries on what goes over it to the rest of the world.
    pub gateway: Option<Ipv4Addr>,
}

/// What an interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// The machine itself.
    Loopback,
    /// A network card, or what a virtual machine has for one.
    Card,
    /// A switch within this machine, as Docker makes for containers.
    Bridge,
    /// One end of a cable between two network namespaces, as a container has.
    Cable,
    /// A tunnel from here to one other place, as a VPN is.
    Tunnel,
    /// What exists in this machine alone.
    Virtual,
    /// Not known.
    Unknown,
}

impl Link {
    /// Whether what is sent there may reach other machines.
    #[must_use]
    pub fn leads_out(&self) -> bool {
        !matches!(self.kind, LinkKind::Loopback | LinkKind::Tunnel)
            && self.trouble().is_none()
            && self.bridge.is_none()
    }

    /// Why nothing can be found over it, if so.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        let is_address = |ip: &IpAddr| match ip {
            IpAddr::V4(_) => true,
            IpAddr::V6(ip) => !ip.is_unicast_link_local(),
        };
        if !self.up {
            Some(Trouble::Down)
        } else if !self.carrier {
            Some(Trouble::NoCarrier)
        } else if !self.addresses.iter().any(is_address) {
            Some(Trouble::NoAddress)
        } else if !self.multicast && self.kind != LinkKind::Loopback {
            Some(Trouble::NoMulticast)
        } else {
            None
        }
    }

    /// Whether it would lead to other machines, were it not in trouble: none that the kernel makes by itself does.
    #[must_use]
    pub fn is_meant_to_lead_out(&self) -> bool {
        let may = match self.kind {
            LinkKind::Card | LinkKind::Cable | LinkKind::Unknown => true,
            LinkKind::Virtual => self.multicast,
            LinkKind::Loopback | LinkKind::Bridge | LinkKind::Tunnel => false,
        };
        may && self.bridge.is_none()
    }
}

/// Why an interface is of no use to multicast DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is switched off.
    Down,
    /// It is switched on, and nobody is at the other end.
    NoCarrier,
    /// It has no address that reaches beyond the link.
    NoAddress,
    /// It does not take multicast.
    NoMulticast,
}

/// All interfaces, loopback first, and then by their names.
#[must_use]
pub fn links() -> Vec<Link> {
    let known = if_addrs::get_if_addrs().unwrap_or_default();
    let mut names: Vec<String> = (fs::read_dir(INTERFACES).into_iter().flatten())
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        // `bonding_masters` is none.
        .filter(|name| Path::new(INTERFACES).join(name).is_dir())
        .chain(known.iter().map(|interface| interface.name.clone()))
        .collect();
    names.sort_unstable();
    names.dedup();
    let routes = fs::read_to_string(ROUTES).unwrap_or_default();
    let mut links: Vec<Link> = (names.into_iter())
        .map(|name| {
            let own = known.iter().filter(|interface| interface.name == name);
            let own: Vec<&if_addrs::Interface> = own.collect();
            link(name, &own, &routes)
        })
        .collect();
    links.sort_by_key(|link| link.kind != LinkKind::Loopback);
    links
}

fn link(name: String, known: &[&if_addrs::Interface], routes: &str) -> Link {
    let folder = Path::new(INTERFACES).join(&name);
    let text = |file: &str| {
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        text.trim().to_owned()
    };
    let flags = text("flags");
    let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok();
    let is_up = || known.iter().any(|interface| interface.is_oper_up());
    let has = |bit: u32| flags.map(|flags| flags & bit != 0);
    let bridge = fs::read_link(folder.join("master")).ok();
    let bridge = bridge.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    Link {
        kind: kind(&folder, flags, known),
        up: has(UP).unwrap_or_else(is_up),
        // It cannot be read of one that is down.
        carrier: text("carrier") == "1" || flags.is_none() && is_up(),
        multicast: has(MULTICAST).unwrap_or(true),
        bridge: bridge.filter(|bridge| Path::new(INTERFACES).join(bridge).join("bridge").is_dir()),
        addresses: known.iter().map(|interface| interface.ip()).collect(),
        gateway: gateway(routes, &name),
        name,
    }
}

fn kind(folder: &Path, flags: Option<u32>, known: &[&if_addrs::Interface]) -> LinkKind {
    /// The type of a loopback interface (`linux/if_arp.h`).
    const LOOPBACK: &str = "772";
    let text = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
    let (index, peer) = (text("ifindex"), text("iflink"));
    let Some(flags) = flags else {
        let is_loopback = known.iter().any(|interface| interface.is_loopback());
        return if is_loopback {
            LinkKind::Loopback
        } else {
            LinkKind::Unknown
        };
    };
    let has = |file: &str| folder.join(file).exists();
    if text("type").trim() == LOOPBACK {
        LinkKind::Loopback
    } else if has("bridge") {
        LinkKind::Bridge
    } else if has("device") {
        LinkKind::Card
    } else if flags & POINT_TO_POINT != 0 || has("tun_flags") || peer.trim() == "0" {
        // The kernel makes tunnels to nowhere by itself, whose other end is 0.
        LinkKind::Tunnel
    } else if peer != index && !text("uevent").contains("DEVTYPE=") {
        // Of those that stand on another one, which have a type, only this has not.
        LinkKind::Cable
    } else {
        LinkKind::Virtual
    }
}

/// Who carries on what has no other route, over the interface `name`.
fn gateway(routes: &str, name: &str) -> Option<Ipv4Addr> {
    routes.lines().find_map(|line| {
        let mut columns = line.split_whitespace();
        let (interface, target, gateway) = (columns.next()?, columns.next()?, columns.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        (interface == name && target == "00000000" && gateway != 0)
            .then(|| Ipv4Addr::from(gateway.to_ne_bytes()))
    })
}

#[cfg(test)]
impl Link {
    /// An interface that tests change: a card that is well.
    pub(crate) fn card(name: &str, ip: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: LinkKind::Card,
            up: true,
            carrier: true,
            multicast: true,
            bridge: None,
            addresses: vec![ip.parse().unwrap()],
            gateway: None,
        }
    }

    /// Loopback, which is well.
    pub(crate) fn loopback() -> Self {
        Self {
            kind: LinkKind::Loopback,
            multicast: false,
            ..Self::card("lo", "127.0.0.1")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_there_and_well() {
        let links = links();
        assert_eq!(links[0].kind, LinkKind::Loopback, "{links:?}");
        assert_eq!(links[0].trouble(), None, "{links:?}");
        assert!(!links[0].leads_out());
    }

    #[test]
    fn a_gateway_is_that_of_the_default_route() {
        let address = u32::from_ne_bytes([10, 0, 0, 1]);
        let routes = format!(
            "Iface Destination Gateway Flags\nlan 000011AC 01010101 1\nlan 00000000 {address:08X} 3\n"
        );
        assert_eq!(gateway(&routes, "lan"), Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(gateway(&routes, "wan"), None);
    }

    #[test]
    fn what_is_amiss_with_an_interface_is_said() {
        let well = Link::card("lan", "10.0.0.5");
        assert_eq!((well.trouble(), well.leads_out()), (None, true));
        let down = Link {
            up: false,
            ..well.clone()
        };
        assert_eq!(down.trouble(), Some(Trouble::Down));
        assert!(down.is_meant_to_lead_out());
        let port = Link {
            bridge: Some("br0".into()),
            ..down
        };
        assert!(!port.is_meant_to_lead_out());
        let mute = Link {
            multicast: false,
            ..well.clone()
        };
        assert_eq!(mute.trouble(), Some(Trouble::NoMulticast));
        let addresses = vec!["fe80::1".parse().unwrap()];
        let nowhere = Link { addresses, ..well };
        assert_eq!(nowhere.trouble(), Some(Trouble::NoAddress));
    }
}
