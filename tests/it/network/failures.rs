//! What goes wrong while a server is up: links, firewalls and the server itself.

use super::plugged;
use crate::support::namespace::Bridge;

/// What is said to have been asked, by whether the machine has a link.
const ON_LAN: &str = "asked mDNS (_shippy._tcp.local.) on lo, lan for \"go.micro.srv.consignment\"";
const ON_LOOPBACK: &str = "asked mDNS (_shippy._tcp.local.) on lo for \"go.micro.srv.consignment\"";

#[test]
#[ignore = "needs root and network namespaces"]
fn network_a_cut_link_is_said_and_a_mended_one_used() {
    let bridge = Bridge::new();
    let (depot, depot_port) = plugged(&bridge, &["10.77.0.1/24"]);
    let (office, office_port) = plugged(&bridge, &["10.77.0.2/24"]);
    let _server = depot.serve(&["--lan"]);
    office.list().exits(0);
    for (port, asked) in [(&depot_port, ON_LAN), (&office_port, ON_LOOPBACK)] {
        port.cut();
        office.finds_none().says(&[asked]);
        port.mend();
        office.finds_again();
    }
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_lost_packets_are_said_and_a_mended_network_used() {
    let bridge = Bridge::new();
    let (depot, port) = plugged(&bridge, &["10.77.0.1/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    let server = depot.serve(&["--lan"]);
    office.list().exits(0);
    port.mute();
    office.finds_none().says(&[ON_LAN]);
    let address = format!("10.77.0.1:{}", server.address.port());
    office
        .misses(&["list", "--server", &address])
        .says(&["no server answered", &address]);
    port.unmute();
    office.finds_again();
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_a_server_that_is_found_but_not_reached_is_named() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    let server = depot.serve(&["--lan"]);
    depot.network.filter(
        "table inet closed {
           chain input {
             type filter hook input priority 0
             iifname lan meta l4proto tcp drop
           }
         }
        ",
    );
    let address = format!("10.77.0.1:{}", server.address.port());
    office
        .misses(&["list"])
        .says(&["no server answered", &address]);
    depot.list().exits(0);
    depot.network.unfilter();
    office.list().exits(0);
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_a_server_that_was_killed_is_not_found_until_it_is_back() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    let server = depot.serve(&["--lan"]);
    let register = server.register.clone();
    office.create().exits(0);
    server.kill();
    for host in [&office, &depot] {
        host.finds_none();
    }
    let server = depot.serve(&["--lan"]);
    assert_eq!(server.register, register);
    for host in [&office, &depot] {
        let listed = host.list().exits(0);
        assert!(listed.stdout.contains("vessel001"), "{listed:#?}");
    }
}
