//! Networks that carry no multicast DNS, or only some of it.

use super::plugged;
use crate::support::{
    Server,
    host::Host,
    namespace::{Bridge, Namespace},
};

/// Rules that keep multicast DNS from going in the direction `hook`.
fn no_multicast_dns(hook: &str) -> String {
    format!(
        "table inet no_mdns_{hook} {{\n chain {hook} {{\n  type filter hook {hook} priority 0\n  \
         udp dport 5353 drop\n }}\n}}\n"
    )
}

/// Fails the test unless `server` warned, once, that it is not announced and what clients can do.
#[track_caller]
fn warned_once(server: &Server, host: &str) {
    let warnings = server.warnings();
    let advice = format!(
        "not announced, so clients need --server {host}:{}",
        server.address.port()
    );
    let said = warnings.iter().filter(|line| line.contains(&advice));
    assert_eq!(said.count(), 1, "{warnings:#?}");
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_without_multicast_dns_a_server_serves_those_who_name_it() {
    for hooks in [&["input", "output"][..], &["input"], &["output"]] {
        let host = Host::new();
        for hook in hooks {
            host.network.filter(&no_multicast_dns(hook));
        }
        let server = host.serve(&[]);
        warned_once(&server, "127.0.0.1");
        host.finds_none();
        let created = host
            .run(&[
                "create",
                "consignment.json",
                "--server",
                &server.address.to_string(),
            ])
            .exits(0);
        let listed = host
            .run(&["list", "--server", &server.address.to_string()])
            .exits(0);
        assert!(listed.stdout.contains(created.stdout.trim()), "{listed:#?}");
        assert!(server.stop().success());
    }
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_a_server_on_loopback_is_announced_once_that_is_up() {
    let host = Host::on(Namespace::new());
    let server = host.serve(&[]);
    warned_once(&server, "127.0.0.1");
    host.finds_none()
        .says(&["no network interface", "none is up"]);
    host.network.ip(&["link", "set", "lo", "up"]);
    host.finds_again();
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_an_open_server_is_announced_on_each_interface_that_comes_up() {
    let host = Host::on(Namespace::new());
    let server = host.serve(&["--lan"]);
    warned_once(&server, "HOST");
    host.finds_none()
        .says(&["no network interface", "none is up"]);
    host.network.ip(&["link", "set", "lo", "up"]);
    host.finds_again();
    let bridge = Bridge::new();
    bridge.plug(&host.network, "lan", &["10.77.0.1/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    office.finds_again();
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_behind_a_desktop_firewall_a_server_is_found() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    office.network.filter(
        "table inet desktop {
           counter unasked { }
           chain input {
             type filter hook input priority 0; policy drop
             iifname lo accept
             ct state established,related accept
             udp dport 5353 accept
             udp sport 5353 counter name unasked
           }
         }
        ",
    );
    let _server = depot.serve(&["--lan"]);
    office.list().exits(0);
    let dropped = office
        .network
        .command("nft")
        .args(["list", "counter", "inet", "desktop", "unasked"])
        .output()
        .unwrap();
    let dropped = String::from_utf8_lossy(&dropped.stdout).into_owned();
    assert!(
        dropped.contains("packets") && !dropped.contains("packets 0"),
        "no unicast reply was dropped: {dropped}"
    );
}
