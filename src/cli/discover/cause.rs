//! Why a server is not found: the likeliest cause, by what is known.

use std::net::SocketAddr;

use crate::{
    client::survey::Surveyee,
    machine::{
        container::Container,
        firewall::Rules,
        links::{Link, LinkKind, Trouble},
        sockets::{Holder, Process},
    },
    registry::mdns::diagnosis::{Diagnosis, Echo, Port, Sent},
};

/// What is known.
#[derive(Debug)]
pub(super) struct Facts {
    /// The name that commands look for.
    pub(super) name: String,
    /// Who was found, whatever their names.
    pub(super) servers: Vec<Surveyee>,
    /// What the registry failed in.
    pub(super) error: Option<String>,
    /// How the network is, where servers are found by multicast DNS.
    pub(super) network: Option<Network>,
    /// Where servers answer that were not found: in places where one may well be.
    pub(super) elsewhere: Vec<String>,
}

/// How this machine and its network are.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) links: Vec<Link>,
    pub(super) diagnosis: Diagnosis,
    /// Who holds the UDP port of multicast DNS, apart from ourselves.
    pub(super) holders: Vec<Holder>,
    /// Who takes TCP connections.
    pub(super) listeners: Vec<Holder>,
    pub(super) container: Option<Container>,
    pub(super) rules: Rules,
}

/// Why a server is not found, or not by others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// It is: the number of one that answers.
    Found(usize),
    /// It is, and others do not find it, as it is on loopback alone.
    LoopbackAlone(usize),
    /// There is one, under another name.
    AnotherName(usize),
    /// It is announced, and takes no connections.
    Unreached(usize),
    /// The registry cannot be asked.
    RegistryFailed(String),
    /// Somebody has taken the port of multicast DNS for himself.
    PortHeld(Option<Process>),
    /// What is said on these interfaces is not heard on them.
    Firewall(Vec<String>),
    /// The only way out is a cable to a bridge, beyond which multicast does not go.
    Container(String),
    /// No interface leads to other machines: this one would.
    InterfaceDown(String, Trouble),
    /// None runs, as far as one can tell from here; whether other machines were heard to say anything.
    NoServer(bool),
}

impl Cause {
    /// A word for it, for programs.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Found(_) => "found",
            Self::LoopbackAlone(_) => "loopback_alone",
            Self::AnotherName(_) => "another_name",
            Self::Unreached(_) => "unreached",
            Self::RegistryFailed(_) => "registry_failed",
            Self::PortHeld(_) => "port_held",
            Self::Firewall(_) => "firewall",
            Self::Container(_) => "container",
            Self::InterfaceDown(..) => "interface_down",
            Self::NoServer(_) => "no_server",
        }
    }
}

/// The likeliest cause. What was found says most; then what certainly keeps anything from being found; then what usually
/// does.
pub(super) fn cause(facts: &Facts) -> Cause {
    let place = |is_it: &dyn Fn(&Surveyee) -> bool| facts.servers.iter().position(is_it);
    let is_wanted = |server: &Surveyee| server.instance.name == facts.name;
    if let Some(found) = place(&|server| is_wanted(server) && server.is_reached()) {
        return of_found(facts, found);
    }
    if let Some(unreached) = place(&is_wanted) {
        return Cause::Unreached(unreached);
    }
    if let Some(other) = place(&Surveyee::is_reached) {
        return Cause::AnotherName(other);
    }
    match (&facts.network, &facts.error) {
        (Some(network), _) => of_network(network),
        (None, Some(error)) => Cause::RegistryFailed(error.clone()),
        (None, None) => Cause::NoServer(false),
    }
}

/// Where a server is found here, whether it is by others.
fn of_found(facts: &Facts, found: usize) -> Cause {
    let Some(network) = &facts.network else {
        return Cause::Found(found);
    };
    let mut places = (facts.servers.iter())
        .filter(|server| server.instance.name == facts.name)
        .flat_map(|server| &server.instance.addresses);
    let leads_out = network.links.iter().any(Link::leads_out);
    if !leads_out || !places.all(|place| is_loopback(place)) {
        return Cause::Found(found);
    }
    let places = &facts.servers[found].instance.addresses;
    let ports: Vec<u16> = places.iter().filter_map(|place| port(place)).collect();
    let is_open = network.listeners.iter().any(|holder| {
        ports.contains(&holder.address.port()) && !holder.address.ip().to_canonical().is_loopback()
    });
    let deaf = deaf(network);
    if !is_open {
        Cause::LoopbackAlone(found)
    } else if deaf.is_empty() {
        Cause::Found(found)
    } else {
        Cause::Firewall(deaf)
    }
}

fn is_loopback(place: &str) -> bool {
    (place.parse::<SocketAddr>()).is_ok_and(|place| place.ip().to_canonical().is_loopback())
}

fn port(place: &str) -> Option<u16> {
    place.rsplit_once(':')?.1.parse().ok()
}

/// Where nothing is found.
fn of_network(network: &Network) -> Cause {
    if network.diagnosis.port == Port::Held {
        let process = (network.holders.iter()).find_map(|holder| holder.process.clone());
        return Cause::PortHeld(process);
    }
    let deaf = deaf(network);
    if !deaf.is_empty() {
        return Cause::Firewall(deaf);
    }
    let mut ways_out = network
        .links
        .iter()
        .filter(|link| link.leads_out())
        .peekable();
    if ways_out.peek().is_none()
        && let Some((name, trouble)) = broken(&network.links)
    {
        return Cause::InterfaceDown(name, trouble);
    }
    let first = ways_out.peek().map(|link| link.name.clone());
    let is_container = network.container.is_some();
    let is_cable =
        |link: &Link| link.kind == LinkKind::Cable && (is_container || link.gateway.is_some());
    if let Some(name) = first
        && ways_out.all(is_cable)
    {
        return Cause::Container(name);
    }
    let mut echoes = network.diagnosis.echoes.iter();
    Cause::NoServer(echoes.any(|echo| !echo.others.is_empty()))
}

/// The interface that would lead to other machines if it were well, or loopback where not even that is.
fn broken(links: &[Link]) -> Option<(String, Trouble)> {
    let is_it = |link: &&Link| link.is_meant_to_lead_out() || link.kind == LinkKind::Loopback;
    let mut broken: Vec<&Link> = links.iter().filter(is_it).collect();
    broken.sort_by_key(|link| match link.kind {
        LinkKind::Card => 0,
        LinkKind::Loopback => 2,
        _ => 1,
    });
    (broken.into_iter()).find_map(|link| Some((link.name.clone(), link.trouble()?)))
}

/// The interfaces on which our own question was not heard, as if it had not been asked, or was not let out.
///
/// IPv4 decides where there is any: nearly everybody is found by it, and a firewall may well let IPv6 through.
fn deaf(network: &Network) -> Vec<String> {
    let echoes = &network.diagnosis.echoes;
    let is_told = |echo: &&Echo| !matches!(echo.sent, Sent::Failed(_));
    let of = |name: &str, is_ipv4: bool| {
        let echo = |echo: &&Echo| echo.link == name && echo.from.is_ipv4() == is_ipv4;
        echoes.iter().filter(is_told).find(echo)
    };
    let mut deaf = Vec::new();
    for Echo { link, .. } in echoes {
        let telling = of(link, true).or_else(|| of(link, false));
        let is_deaf =
            telling.is_some_and(|echo| echo.sent == Sent::Forbidden || echo.heard == Some(false));
        if is_deaf && !deaf.contains(link) {
            deaf.push(link.clone());
        }
    }
    deaf
}

#[cfg(test)]
mod tests;
