use std::collections::BTreeSet;

use super::*;
use crate::{
    client::probe::{Answer, Place, Probed},
    registry::Instance,
};

const NAME: &str = "depot";

fn server(name: &str, address: &str, is_reached: bool) -> Surveyee {
    let reason = "no".to_owned();
    let answer = if is_reached {
        Answer::Connected { reason }
    } else {
        Answer::Nobody { reason }
    };
    let place = Place {
        address: address.to_owned(),
        answer,
    };
    Surveyee {
        instance: Instance {
            name: name.to_owned(),
            addresses: vec![address.to_owned()],
            ..Instance::depot()
        },
        probed: Probed {
            places: vec![place],
            size: Ok(0),
        },
    }
}

fn echo(link: &str, from: &str) -> Echo {
    Echo {
        link: link.to_owned(),
        from: from.parse().unwrap(),
        sent: Sent::Yes,
        heard: Some(true),
        answered: BTreeSet::new(),
        others: BTreeSet::new(),
    }
}

/// A machine on a network on which all is well.
fn network() -> Network {
    Network {
        links: vec![Link::loopback(), Link::card("lan", "10.0.0.5")],
        diagnosis: Diagnosis {
            port: Port::Shared,
            echoes: vec![
                echo("lo", "127.0.0.1"),
                echo("lan", "10.0.0.5"),
                echo("lan", "fe80::5"),
            ],
        },
        holders: Vec::new(),
        listeners: Vec::new(),
        container: None,
        rules: Rules::Unreadable,
    }
}

fn found(servers: Vec<Surveyee>, network: Network) -> Cause {
    cause(&Facts {
        name: NAME.to_owned(),
        servers,
        error: None,
        network: Some(network),
        elsewhere: Vec::new(),
    })
}

fn none(change: impl FnOnce(&mut Network)) -> Cause {
    let mut network = network();
    change(&mut network);
    found(Vec::new(), network)
}

/// Cables in the place of cards, as a container has.
fn cabled(network: &mut Network) {
    network.links[1].kind = LinkKind::Cable;
}

#[test]
fn where_all_is_well_none_runs() {
    assert_eq!(none(|_| {}), Cause::NoServer(false));
    let heard = none(|network| {
        network.diagnosis.echoes[1]
            .others
            .insert("10.0.0.9".parse().unwrap());
    });
    assert_eq!(heard, Cause::NoServer(true));
    let alone = none(|network| {
        network.links.truncate(1);
        network.diagnosis.echoes.truncate(1);
    });
    assert_eq!(alone, Cause::NoServer(false));
}

#[test]
fn a_server_of_the_name_is_found_whatever_else_is_there() {
    let servers = vec![
        server("other", "10.0.0.6:7", true),
        server(NAME, "10.0.0.7:7", true),
    ];
    assert_eq!(found(servers, network()), Cause::Found(1));
}

#[test]
fn a_server_of_another_name_is_one_only_where_it_answers() {
    let other = |is_reached| vec![server("other", "10.0.0.6:7", is_reached)];
    assert_eq!(found(other(true), network()), Cause::AnotherName(0));
    assert_eq!(found(other(false), network()), Cause::NoServer(false));
}

#[test]
fn what_is_announced_and_takes_no_connections_is_unreached() {
    let servers = vec![
        server("other", "10.0.0.6:7", true),
        server(NAME, "10.0.0.7:7", false),
    ];
    assert_eq!(found(servers, network()), Cause::Unreached(1));
}

#[test]
fn a_server_on_loopback_alone_is_told_from_one_that_is_open() {
    let here = || vec![server(NAME, "127.0.0.1:7", true)];
    assert_eq!(found(here(), network()), Cause::LoopbackAlone(0));
    let open = |change: fn(&mut Network)| {
        let mut network = network();
        network.listeners = vec![Holder {
            address: "[::]:7".parse().unwrap(),
            process: None,
        }];
        change(&mut network);
        found(here(), network)
    };
    assert_eq!(open(|_| {}), Cause::Found(0));
    let deaf = open(|network| network.diagnosis.echoes[1].heard = Some(false));
    assert_eq!(deaf, Cause::Firewall(vec!["lan".to_owned()]));
    // Where there is nobody else, nobody is kept out.
    let mut alone = network();
    alone.links.truncate(1);
    assert_eq!(found(here(), alone), Cause::Found(0));
}

#[test]
fn a_port_that_is_held_is_the_cause_whatever_else_is() {
    let process = Some(Process {
        pid: 7,
        name: "holder".to_owned(),
    });
    let held = none(|network| {
        cabled(network);
        network.diagnosis.port = Port::Held;
        network
            .diagnosis
            .echoes
            .iter_mut()
            .for_each(|echo| echo.heard = None);
        network.holders = vec![Holder {
            address: "0.0.0.0:5353".parse().unwrap(),
            process: process.clone(),
        }];
    });
    assert_eq!(held, Cause::PortHeld(process));
}

#[test]
fn what_is_said_and_not_heard_is_dropped_by_a_firewall() {
    let lan = || Cause::Firewall(vec!["lan".to_owned()]);
    let unheard = none(|network| network.diagnosis.echoes[1].heard = Some(false));
    assert_eq!(unheard, lan());
    let forbidden = none(|network| {
        network.diagnosis.echoes[1].sent = Sent::Forbidden;
        network.diagnosis.echoes[1].heard = None;
    });
    assert_eq!(forbidden, lan());
    let ipv6_alone = none(|network| network.diagnosis.echoes[2].heard = Some(false));
    assert_eq!(ipv6_alone, Cause::NoServer(false));
    // Where nobody could listen, or nothing could be sent for another reason, nothing is known.
    let unknown = none(|network| {
        network.diagnosis.echoes[1].heard = None;
        network.diagnosis.echoes[0].sent = Sent::Failed("no route".to_owned());
        network.diagnosis.echoes[0].heard = Some(false);
    });
    assert_eq!(unknown, Cause::NoServer(false));
}

#[test]
fn a_cable_with_a_way_out_or_in_a_container_ends_at_a_bridge() {
    let lan = || Cause::Container("lan".to_owned());
    assert_eq!(none(cabled), Cause::NoServer(false));
    let in_container = none(|network| {
        cabled(network);
        network.container = Some(Container::Docker);
    });
    assert_eq!(in_container, lan());
    let with_gateway = none(|network| {
        cabled(network);
        network.links[1].gateway = Some([10, 0, 0, 1].into());
    });
    assert_eq!(with_gateway, lan());
    // A container on its host's network, and one with another way out.
    let on_host = none(|network| network.container = Some(Container::Docker));
    assert_eq!(on_host, Cause::NoServer(false));
    let with_both = none(|network| {
        cabled(network);
        network.container = Some(Container::Docker);
        network.links.push(Link::card("wan", "10.1.0.5"));
    });
    assert_eq!(with_both, Cause::NoServer(false));
}

#[test]
fn an_interface_is_down_only_where_no_other_leads_out() {
    let down = |network: &mut Network| network.links[1].up = false;
    assert_eq!(
        none(down),
        Cause::InterfaceDown("lan".to_owned(), Trouble::Down)
    );
    let other = none(|network| {
        down(network);
        network.links.push(Link::card("wan", "10.1.0.5"));
    });
    assert_eq!(other, Cause::NoServer(false));
    let bridge = none(|network| {
        down(network);
        network.links[1].kind = LinkKind::Bridge;
    });
    assert_eq!(
        bridge,
        Cause::NoServer(false),
        "one that leads nowhere anyway"
    );
    let all = none(|network| {
        network.links.truncate(1);
        network.links[0].up = false;
        network.diagnosis.echoes.clear();
    });
    assert_eq!(all, Cause::InterfaceDown("lo".to_owned(), Trouble::Down));
    let address = none(|network| network.links[1].addresses.clear());
    assert_eq!(
        address,
        Cause::InterfaceDown("lan".to_owned(), Trouble::NoAddress)
    );
}

#[test]
fn another_registry_fails_or_has_none() {
    let facts = |error: Option<&str>| Facts {
        name: NAME.to_owned(),
        servers: Vec::new(),
        error: error.map(str::to_owned),
        network: None,
        elsewhere: Vec::new(),
    };
    let failed = cause(&facts(Some("away")));
    assert_eq!(failed, Cause::RegistryFailed("away".to_owned()));
    assert_eq!(cause(&facts(None)), Cause::NoServer(false));
}
