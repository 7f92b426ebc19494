//! The likeliest cause in a sentence, and a command that helps.

use std::fmt::Write as _;

use super::{
    cause::{Cause, Facts, Network},
    table,
};
use crate::{
    cli::{DEFAULT_NAME, parse_name},
    client::{probe::Answer, survey::Surveyee},
    escape::escape_control,
    machine::{container::Container, firewall::Rules, links::Trouble},
};

/// What to tell people in the end.
#[derive(Debug)]
pub(super) struct Conclusion {
    /// The likeliest cause and what to do about it, in a sentence.
    pub(super) text: String,
    /// A command that can be pasted.
    pub(super) command: String,
}

/// What `cause` means.
pub(super) fn conclude(facts: &Facts, cause: &Cause) -> Conclusion {
    let (mut text, command) = sentence(facts, cause);
    let is_found = matches!(
        cause,
        Cause::Found(_) | Cause::LoopbackAlone(_) | Cause::AnotherName(_)
    );
    match facts.elsewhere.first().filter(|_| !is_found) {
        Some(place) => {
            let place = escape_control(place);
            let _ = write!(text, "; one that answers all the same is at {place}");
            Conclusion {
                command: format!("shippy list --server {place}"),
                text,
            }
        }
        None => Conclusion { text, command },
    }
}

fn sentence(facts: &Facts, cause: &Cause) -> (String, String) {
    let name = &facts.name;
    let by_address = || "shippy list --server HOST:PORT".to_owned();
    match cause {
        Cause::Found(number) => {
            let server = &facts.servers[*number];
            (
                format!(
                    "nothing is wrong: the server called {name} answers at {}",
                    at(server)
                ),
                list(facts, server),
            )
        }
        Cause::LoopbackAlone(number) => (
            format!(
                "the server called {name} at {} is on loopback alone: this machine finds it, and no other can; start it \
                 with --lan to open it to the network",
                at(&facts.servers[*number])
            ),
            format!("shippy serve --lan{}", name_flag(name)),
        ),
        Cause::AnotherName(number) => {
            let server = &facts.servers[*number];
            let other = table::name(server);
            (
                format!(
                    "no server is called {name}, but one at {} is called {other}",
                    at(server)
                ),
                list(facts, server),
            )
        }
        Cause::Unreached(number) => (unreached(&facts.servers[*number]), by_address()),
        Cause::RegistryFailed(error) => (
            format!("the registry cannot be asked: {}", escape_control(error)),
            by_address(),
        ),
        Cause::NoServer(heard_others) => (
            no_server(facts, *heard_others),
            format!("shippy serve --lan{}", name_flag(name)),
        ),
        cause => facts.network.as_ref().map_or_else(
            || (cause.word().to_owned(), by_address()),
            |network| of_network(network, cause),
        ),
    }
}

/// What keeps this machine from finding any.
fn of_network(network: &Network, cause: &Cause) -> (String, String) {
    let by_address = "shippy list --server HOST:PORT".to_owned();
    match cause {
        Cause::PortHeld(process) => {
            let holder = process.as_ref().map_or_else(
                || "a process that may not be looked at from here".to_owned(),
                |process| format!("{} (pid {})", escape_control(&process.name), process.pid),
            );
            let text = format!(
                "UDP port 5353, multicast DNS, is held by {holder}, which shares it with nobody, so that no server of this \
                 machine can announce itself and no answer to all is heard: end that, or have it share the port"
            );
            (text, by_address)
        }
        Cause::Firewall(links) => {
            let rule = match &network.rules {
                Rules::Read(rules) if !rules.is_empty() => {
                    format!(", likely by the rule `{}`", escape_control(&rules[0]))
                }
                _ => String::new(),
            };
            let text = format!(
                "a firewall on this machine drops multicast DNS on {}{rule}, as what is said there is not heard there: let \
                 UDP port 5353 in and out",
                links.join(", ")
            );
            (text, by_address)
        }
        Cause::Container(link) => {
            let text = format!(
                "this is a container on a bridge: its only way out, {link}, is a cable to its host, and multicast DNS does \
                 not go beyond that host's bridge; use --network host, the network of the server's container, or a registry"
            );
            (text, out_of_container(network.container))
        }
        Cause::InterfaceDown(link, trouble) => interface_down(link, *trouble),
        cause => (cause.word().to_owned(), by_address),
    }
}

fn out_of_container(container: Option<Container>) -> String {
    match container {
        Some(Container::Kubernetes) => {
            "shippy list --registry dns --registry-address SERVICE.NAMESPACE.svc.cluster.local"
                .into()
        }
        Some(Container::Podman) => "podman run --network host IMAGE list".into(),
        Some(Container::Docker) => "docker run --network host IMAGE list".into(),
        Some(Container::Other) | None => "shippy list --server HOST:PORT".into(),
    }
}

fn interface_down(link: &str, trouble: Trouble) -> (String, String) {
    let (state, command) = match trouble {
        Trouble::Down => ("is down", format!("ip link set {link} up")),
        Trouble::NoCarrier => (
            "has no link: nobody is at the other end of the cable",
            format!("ip link show {link}"),
        ),
        Trouble::NoAddress => ("has no address", format!("ip address show {link}")),
        Trouble::NoMulticast => (
            "does not take multicast",
            format!("ip link set {link} multicast on"),
        ),
    };
    let text = format!("the interface {link} {state}, and no other leads to another machine");
    (text, command)
}

fn no_server(facts: &Facts, heard_others: bool) -> String {
    let name = &facts.name;
    if facts.network.is_none() {
        return format!(
            "the registry answers, and has no server called {name}: start one that uses it"
        );
    }
    let heard = if heard_others {
        "multicast DNS works here, other machines are heard, and none of them has one"
    } else {
        "multicast DNS works on this machine, and no other machine was heard by it"
    };
    format!(
        "no server called {name} runs that can be found from here: {heard}; start one, or see with `shippy discover \
         --explain` on its own machine why it is not found"
    )
}

fn unreached(server: &Surveyee) -> String {
    let tried = server.probed.places.iter().map(|place| {
        let reason = match &place.answer {
            Answer::Nobody { reason } | Answer::Connected { reason } => reason,
            Answer::Server { .. } => "it answers",
        };
        escape_control(&format!("{} ({reason})", place.address)).into_owned()
    });
    let tried: Vec<String> = tried.collect();
    format!(
        "the server called {} is announced and takes no connections, at {}: it has ended without a word, or a firewall on \
         its machine or between drops them; let that TCP port through, or advertise another address",
        table::name(server),
        tried.join(", ")
    )
}

/// Where `server` answers, or says that it is.
fn at(server: &Surveyee) -> String {
    let place = server.best().map(|place| place.address.as_str());
    let place = place.or_else(|| server.instance.addresses.first().map(String::as_str));
    escape_control(place.unwrap_or_default()).into_owned()
}

/// How to list what `server` has.
fn list(facts: &Facts, server: &Surveyee) -> String {
    let name = &server.instance.name;
    let tls = if server.instance.tls {
        " --tls-ca FILE"
    } else {
        ""
    };
    // Its name may be one that no flag takes, and another registry would have to be named as well.
    if facts.network.is_none() || parse_name(name).is_err() {
        return format!("shippy list --server {}{tls}", at(server));
    }
    let namesakes = facts
        .servers
        .iter()
        .filter(|other| other.instance.name == *name);
    let registers: Vec<&str> = namesakes.map(Surveyee::register).collect();
    let register = if registers.iter().all(|other| *other == server.register()) {
        String::new()
    } else {
        format!(
            " --register {}",
            table::prefix(server.register(), &registers)
        )
    };
    format!("shippy list{}{register}{tls}", name_flag(name))
}

fn name_flag(name: &str) -> String {
    if name == DEFAULT_NAME {
        String::new()
    } else {
        format!(" --name {name}")
    }
}
