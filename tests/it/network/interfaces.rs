//! Which address a client is offered, by what interfaces both sides have.

use std::net::SocketAddr;

use super::plugged;
use crate::support::{
    host::Host,
    namespace::{Bridge, Namespace},
};

#[test]
#[ignore = "needs root and network namespaces"]
fn network_each_client_is_offered_the_address_on_its_own_network() {
    let (left, right) = (Bridge::new(), Bridge::new());
    let depot = Host::new();
    left.plug(&depot.network, "left", &["10.77.1.1/24"]);
    right.plug(&depot.network, "right", &["10.77.2.1/24"]);
    let (near_left, _) = plugged(&left, &["10.77.1.2/24"]);
    let (near_right, _) = plugged(&right, &["10.77.2.2/24"]);
    let server = depot.serve(&["--lan"]);
    let port = server.address.port();
    for (host, expected) in [
        (&near_left, "10.77.1.1"),
        (&near_right, "10.77.2.1"),
        (&depot, "127.0.0.1"),
    ] {
        host.create().exits(0);
        assert_eq!(host.reaches_at_once(), format!("{expected}:{port}"));
    }
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_a_client_on_a_network_without_servers_finds_the_one_on_its_other_network() {
    let (empty, busy) = (Bridge::new(), Bridge::new());
    let office = Host::new();
    empty.plug(&office.network, "empty", &["10.77.1.2/24"]);
    busy.plug(&office.network, "busy", &["10.77.2.2/24"]);
    let (depot, _) = plugged(&busy, &["10.77.2.1/24"]);
    let server = depot.serve(&["--lan"]);
    let expected = format!("10.77.2.1:{}", server.address.port());
    assert_eq!(office.reaches_at_once(), expected);
}

/// A machine on which IPv6 is disabled: no interface has an IPv6 address, loopback neither.
fn without_ipv6() -> Host {
    let network = Namespace::new();
    network.disable_ipv6();
    network.ip(&["link", "set", "lo", "up"]);
    Host::on(network)
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_without_ipv6_all_works() {
    let bridge = Bridge::new();
    let (depot, office) = (without_ipv6(), without_ipv6());
    bridge.plug(&depot.network, "lan", &["10.77.0.1/24"]);
    bridge.plug(&office.network, "lan", &["10.77.0.2/24"]);
    for args in [&["--lan"][..], &["--address", ":0"]] {
        let server = depot.serve(args);
        let created = office.create().exits(0);
        for host in [&office, &depot] {
            let listed = host.list().exits(0);
            assert!(listed.stdout.contains(created.stdout.trim()), "{listed:#?}");
        }
        assert!(server.stop().success());
        office.finds_none();
    }
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_without_ipv4_all_works() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["fd77::1/64"]);
    let (office, _) = plugged(&bridge, &["fd77::2/64"]);
    let server = depot.serve(&["--lan"]);
    let created = office.create().exits(0);
    for host in [&office, &depot] {
        let listed = host.list().exits(0);
        assert!(listed.stdout.contains(created.stdout.trim()), "{listed:#?}");
    }
    let expected = format!("[fd77::1]:{}", server.address.port());
    assert_eq!(office.reaches_at_once(), expected);
    assert!(server.stop().success());
    office.finds_none();
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_the_address_to_advertise_is_the_one_that_clients_use() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    // A port that is published elsewhere, as a container's or one behind NAT.
    depot.network.filter(
        "table ip published {
           chain prerouting {
             type nat hook prerouting priority dstnat
             ip daddr 203.0.113.9 tcp dport 8080 dnat to 10.77.0.1:50051
           }
         }
        ",
    );
    office
        .network
        .ip(&["route", "add", "203.0.113.9", "via", "10.77.0.1"]);
    let _server = depot.serve(&["--address", ":50051", "--advertise", "203.0.113.9:8080"]);
    assert_eq!(office.reaches(), "203.0.113.9:8080");
    let created = office.create().exits(0);
    let listed = office.list().exits(0);
    assert!(listed.stdout.contains(created.stdout.trim()), "{listed:#?}");
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_of_several_advertised_addresses_the_one_that_is_reached_is_used() {
    let (left, right) = (Bridge::new(), Bridge::new());
    let (depot, office) = (Host::new(), Host::new());
    for (bridge, interface, number) in [(&left, "left", 1), (&right, "right", 2)] {
        for (host, place) in [(&depot, 1), (&office, 2)] {
            let ipv6 = format!("fd77:{number}::{place}/64");
            let ipv4 = format!("10.77.{number}.{place}/24");
            bridge.plug(&host.network, interface, &[&ipv4, &ipv6]);
        }
    }
    let addresses = ["10.77.1.1:50051", "10.77.2.1:50051", "[fd77:2::1]:50051"];
    let _server = depot.serve(&["--address", ":50051", "--advertise", &addresses.join(",")]);
    let mut reached = Vec::new();
    for number in 0..addresses.len() {
        let address = office.reaches();
        office.create().exits(0);
        // It is silent from now on.
        let host = address.parse::<SocketAddr>().unwrap().ip();
        let family = if host.is_ipv4() { "ip" } else { "ip6" };
        office.network.filter(&format!(
            "table inet closed{number} {{
               chain output {{
                 type filter hook output priority 0
                 {family} daddr {host} tcp dport 50051 drop
               }}
             }}
            "
        ));
        reached.push(address);
    }
    // Over IPv6 last.
    assert_eq!(reached[2], addresses[2]);
    reached.sort();
    assert_eq!(reached, addresses);
    office.misses(&["list"]);
}
