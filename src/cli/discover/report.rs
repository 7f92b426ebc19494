//! What is known, for people and for programs.

use std::{collections::BTreeSet, fmt::Write as _, net::IpAddr, time::Duration};

use serde::Serialize;

use super::{
    cause::{Cause, Facts, Network},
    conclusion::Conclusion,
    json, table,
};
use crate::{
    escape::escape_control,
    machine::{
        container::Container,
        firewall::Rules,
        links::{Link, LinkKind, Trouble},
        sockets::Holder,
    },
    registry::mdns::diagnosis::{Echo, Port, Sent},
};

/// Most addresses that are shown in a row: on a busy network there are dozens.
const SHOWN_MAX: usize = 8;

/// The report for people; `asked` is what was asked and where, `time` for how long.
pub(super) fn text(facts: &Facts, asked: &str, time: Duration, conclusion: &Conclusion) -> String {
    let mut text = format!("Asked: {asked}, for {time:.1?}\n");
    if let Some(error) = &facts.error {
        let _ = writeln!(text, "Failed: {}", escape_control(error));
    }
    if let Some(network) = &facts.network {
        text.push_str("Interfaces:\n");
        for link in &network.links {
            let _ = writeln!(
                text,
                "  {}: {}",
                escape_control(&link.name),
                of_link(link, network)
            );
        }
        let _ = writeln!(text, "UDP port 5353: {}", of_port(network));
        let _ = writeln!(text, "Container: {}", of_container(network.container));
        let _ = writeln!(text, "Firewall: {}", of_rules(&network.rules));
    }
    if facts.servers.is_empty() {
        text.push_str("Servers: none\n");
    } else {
        text.push_str("Servers:\n");
        for line in table::table(&facts.servers).lines() {
            let _ = writeln!(text, "  {line}");
        }
        for note in table::notes(&facts.servers) {
            let _ = writeln!(text, "  {note}");
        }
    }
    let Conclusion { text: why, command } = conclusion;
    let _ = writeln!(text, "\nConclusion: {why}\nTry: {command}");
    text
}

fn of_link(link: &Link, network: &Network) -> String {
    let mut parts = vec![kind(link.kind).to_owned()];
    parts.extend(
        link.trouble()
            .map(|trouble| trouble_word(trouble).to_owned()),
    );
    parts.extend(
        link.bridge
            .as_ref()
            .map(|bridge| format!("a port of {bridge}")),
    );
    parts.extend((!link.addresses.is_empty()).then(|| row(link.addresses.iter())));
    parts.extend(
        link.gateway
            .map(|gateway| format!("the way out, by {gateway}")),
    );
    let echoes = network.diagnosis.echoes.iter();
    parts.extend(echoes.filter(|echo| echo.link == link.name).map(of_echo));
    parts.join("; ")
}

const fn kind(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Loopback => "loopback",
        LinkKind::Card => "a network card",
        LinkKind::Bridge => "a bridge",
        LinkKind::Cable => "a cable to another network namespace",
        LinkKind::Tunnel => "a tunnel, which takes no part",
        LinkKind::Virtual => "virtual",
        LinkKind::Unknown => "an interface",
    }
}

const fn trouble_word(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Down => "down",
        Trouble::NoCarrier => "no link",
        Trouble::NoAddress => "no address",
        Trouble::NoMulticast => "no multicast",
    }
}

fn of_echo(echo: &Echo) -> String {
    let version = if echo.from.is_ipv4() { "IPv4" } else { "IPv6" };
    let asked = match (&echo.sent, echo.heard) {
        (Sent::Forbidden, _) => "could not ask: not let out".to_owned(),
        (Sent::Failed(reason), _) => format!("could not ask: {reason}"),
        (Sent::Yes, None) => "asked".to_owned(),
        (Sent::Yes, Some(true)) => "asked and heard itself".to_owned(),
        (Sent::Yes, Some(false)) => "asked and did not hear itself".to_owned(),
    };
    let told = |what: &str, who: &BTreeSet<IpAddr>| {
        (!who.is_empty()).then(|| format!(", {what} {}", row(who.iter())))
    };
    let answered = told("was answered by", &echo.answered).unwrap_or_default();
    let others = told("heard", &echo.others).unwrap_or_default();
    format!("{version}: {asked}{answered}{others}")
}

fn row<'a>(addresses: impl Iterator<Item = &'a IpAddr>) -> String {
    let all: Vec<String> = addresses.map(ToString::to_string).collect();
    let mut text = all[..all.len().min(SHOWN_MAX)].join(", ");
    if all.len() > SHOWN_MAX {
        let _ = write!(text, " and {} more", all.len() - SHOWN_MAX);
    }
    text
}

fn of_port(network: &Network) -> String {
    let holders = holders(&network.holders);
    match (&network.diagnosis.port, holders.is_empty()) {
        (Port::Shared, true) => "free".into(),
        (Port::Shared, false) => format!("shared with {holders}"),
        (Port::Held, true) => "held by somebody who shares it with nobody".into(),
        (Port::Held, false) => format!("held, and not shared: {holders}"),
        (Port::Failed(reason), _) => format!("cannot be listened on: {reason}"),
    }
}

/// Whose sockets they are, each process once.
fn holders(holders: &[Holder]) -> String {
    let names: BTreeSet<String> = (holders.iter())
        .map(|holder| match &holder.process {
            Some(process) => format!("{} (pid {})", escape_control(&process.name), process.pid),
            None => "a process of another user".to_owned(),
        })
        .collect();
    let all: Vec<String> = names.into_iter().take(SHOWN_MAX).collect();
    all.join(", ")
}

const fn of_container(container: Option<Container>) -> &'static str {
    match container {
        None => "no sign of one",
        Some(Container::Kubernetes) => "a pod of Kubernetes",
        Some(Container::Docker) => "Docker's",
        Some(Container::Podman) => "Podman's",
        Some(Container::Other) => "yes",
    }
}

fn of_rules(rules: &Rules) -> String {
    match rules {
        Rules::Unreadable => "its rules cannot be read from here, as root alone may".into(),
        Rules::Read(rules) if rules.is_empty() => {
            "no rule that names multicast DNS drops it".into()
        }
        Rules::Read(rules) => {
            let rules: Vec<_> = rules
                .iter()
                .map(|rule| format!("`{}`", escape_control(rule)))
                .collect();
            format!("may drop it: {}", rules.join(", "))
        }
    }
}

/// The report for programs.
#[derive(Debug, Serialize)]
pub(super) struct Report<'f> {
    cause: &'static str,
    conclusion: &'f str,
    command: &'f str,
    asked: &'f str,
    error: Option<&'f str>,
    servers: Vec<json::Server<'f>>,
    /// Where servers answer that were not found.
    elsewhere: &'f [String],
    /// `null` where servers are not looked for by multicast DNS.
    interfaces: Option<Vec<Interface<'f>>>,
    port_5353: Option<String>,
    container: Option<&'static str>,
    firewall: Option<String>,
}

/// One interface.
#[derive(Debug, Serialize)]
struct Interface<'f> {
    name: &'f str,
    kind: &'static str,
    trouble: Option<&'static str>,
    addresses: &'f [IpAddr],
    gateway: Option<std::net::Ipv4Addr>,
    multicast: Vec<Multicast<'f>>,
}

/// What came of asking there over one version of IP.
#[derive(Debug, Serialize)]
struct Multicast<'f> {
    from: IpAddr,
    sent: bool,
    heard_itself: Option<bool>,
    answered: &'f BTreeSet<IpAddr>,
    heard: &'f BTreeSet<IpAddr>,
}

impl<'f> Report<'f> {
    pub(super) fn new(
        facts: &'f Facts,
        asked: &'f str,
        cause: &Cause,
        conclusion: &'f Conclusion,
    ) -> Self {
        let network = facts.network.as_ref();
        Self {
            cause: cause.word(),
            conclusion: &conclusion.text,
            command: &conclusion.command,
            asked,
            error: facts.error.as_deref(),
            servers: facts.servers.iter().map(json::Server::new).collect(),
            elsewhere: &facts.elsewhere,
            interfaces: network.map(interfaces),
            port_5353: network.map(of_port),
            container: network.map(|network| of_container(network.container)),
            firewall: network.map(|network| of_rules(&network.rules)),
        }
    }
}

fn interfaces(network: &Network) -> Vec<Interface<'_>> {
    let links = network.links.iter();
    links
        .map(|link| interface(link, &network.diagnosis.echoes))
        .collect()
}

fn interface<'f>(link: &'f Link, echoes: &'f [Echo]) -> Interface<'f> {
    let own = echoes.iter().filter(|echo| echo.link == link.name);
    Interface {
        name: &link.name,
        kind: kind(link.kind),
        trouble: link.trouble().map(trouble_word),
        addresses: &link.addresses,
        gateway: link.gateway,
        multicast: own.map(multicast).collect(),
    }
}

fn multicast(echo: &Echo) -> Multicast<'_> {
    Multicast {
        from: echo.from,
        sent: echo.sent == Sent::Yes,
        heard_itself: echo.heard,
        answered: &echo.answered,
        heard: &echo.others,
    }
}
