//! `shippy discover --explain` on networks on which one thing is amiss: it names that, and what it advises works.

use std::net::UdpSocket;

use super::plugged;
use crate::support::{
    Ran,
    host::Host,
    namespace::{Bridge, Namespace},
};

impl Host {
    fn explain(&self) -> Ran {
        self.run(&["discover", "--explain"])
    }

    /// Fails the test unless what is concluded here contains each of `texts`, and it ends with `code`. The command that is
    /// advised.
    #[track_caller]
    fn concludes(&self, code: i32, texts: &[&str]) -> Vec<String> {
        let ran = self.explain().exits(code);
        let line = |begin: &str| {
            let line = ran.stdout.lines().find_map(|line| line.strip_prefix(begin));
            line.unwrap_or_else(|| panic!("no {begin:?} in {ran:#?}"))
        };
        let conclusion = line("Conclusion: ");
        for text in texts {
            assert!(
                conclusion.contains(text),
                "no {text:?} in {conclusion:?} of {}",
                ran.stdout
            );
        }
        line("Try: ").split(' ').map(str::to_owned).collect()
    }

    /// Runs what is advised, which is a command of shippy's; it does what it should.
    #[track_caller]
    fn follows(&self, advice: &[String]) {
        assert_eq!(advice[0], "shippy", "{advice:?}");
        let args: Vec<&str> = advice[1..].iter().map(String::as_str).collect();
        self.run(&args).exits(0);
    }
}

/// The port of multicast DNS, dropped in the direction `hook`.
fn dropped(hook: &str) -> String {
    format!(
        "table inet dropped {{\n chain {hook} {{\n  type filter hook {hook} priority 0\n  udp dport 5353 drop\n }}\n}}\n"
    )
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_explained_where_nothing_is_wrong() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    let server = depot.serve(&["--lan"]);
    let place = format!("10.77.0.1:{}", server.address.port());
    let advice = office.concludes(0, &["nothing is wrong", &place]);
    office.follows(&advice);
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_explained_where_no_server_runs() {
    let alone = Host::new();
    let none = [
        "no server called go.micro.srv.consignment runs",
        "multicast DNS works",
    ];
    assert_eq!(alone.concludes(3, &none)[..3], ["shippy", "serve", "--lan"]);
    // With a switch of its own, as machines have that run others: a cable would be a container's.
    let bridge = Bridge::new();
    let office = Host::new();
    bridge.plug(&office.network, "cable", &[]);
    office.network.ip(&["link", "add", "lan", "type", "bridge"]);
    office
        .network
        .ip(&["link", "set", "cable", "master", "lan"]);
    office.network.add_address("lan", "10.77.0.2/24");
    office.network.ip(&["link", "set", "lan", "up"]);
    office.network.await_carrier("lan");
    office.concludes(3, &none);
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_explained_where_the_server_has_another_name() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    let server = depot.serve(&["--lan", "--name", "north"]);
    let place = format!("10.77.0.1:{}", server.address.port());
    let said = [
        "no server is called go.micro.srv.consignment",
        &*place,
        "is called north",
    ];
    let advice = office.concludes(0, &said);
    assert_eq!(advice, ["shippy", "list", "--name", "north"]);
    office.follows(&advice);
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_explained_in_a_container_on_a_bridge() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (host, _) = plugged(&bridge, &["10.77.0.2/24"]);
    let container = Host::new();
    host.network
        .connect("inside", "10.78.0.1/24", &container.network, "10.78.0.2/24");
    container
        .network
        .ip(&["route", "add", "default", "via", "10.78.0.1"]);
    depot
        .network
        .ip(&["route", "add", "10.78.0.0/24", "via", "10.77.0.2"]);
    let mut forward = host.network.command("sh");
    forward.args(["-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]);
    assert!(forward.status().unwrap().success());
    let server = depot.serve(&["--lan"]);
    host.concludes(0, &["nothing is wrong"]);
    container.concludes(3, &["a container on a bridge", "inside", "--network host"]);
    // All else gets through.
    let place = format!("10.77.0.1:{}", server.address.port());
    container.run(&["list", "--server", &place]).exits(0);
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_explained_behind_a_firewall_that_drops_multicast() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let server = depot.serve(&["--lan"]);
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    // What the server says by itself in its first seconds would be heard.
    for hook in ["output", "input"] {
        office.network.filter(&dropped(hook));
    }
    let firewall = [
        "a firewall on this machine drops multicast DNS on",
        "lan",
        "udp dport 5353 drop",
    ];
    office.concludes(3, &firewall);
    let place = format!("10.77.0.1:{}", server.address.port());
    office.run(&["list", "--server", &place]).exits(0);
    // The server's own machine finds it by loopback, and knows why others do not.
    depot
        .network
        .filter(&dropped("input").replace("udp dport", "iifname lan udp dport"));
    depot.concludes(
        0,
        &["a firewall on this machine drops multicast DNS on lan,"],
    );
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_explained_behind_a_firewall_with_a_server_of_ones_own() {
    for hook in ["input", "output"] {
        let host = Host::new();
        host.network.filter(&dropped(hook));
        let server = host.serve(&[]);
        let place = server.address.to_string();
        let said = [
            "a firewall on this machine drops multicast DNS on lo",
            &*place,
        ];
        let advice = host.concludes(3, &said);
        assert_eq!(advice, ["shippy", "list", "--server", &place]);
        host.follows(&advice);
    }
    // Rules of the older kind.
    let host = Host::new();
    let mut iptables = host.network.command("iptables");
    iptables.args("-A INPUT -d 224.0.0.251 -p udp -j DROP".split(' '));
    assert!(iptables.status().unwrap().success());
    let _server = host.serve(&[]);
    host.concludes(
        3,
        &[
            "a firewall on this machine drops multicast DNS on lo",
            "224.0.0.251",
        ],
    );
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_explained_where_the_interface_is_down() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (office, port) = plugged(&bridge, &["10.77.0.2/24"]);
    let _server = depot.serve(&["--lan"]);
    port.cut();
    office.concludes(3, &["the interface lan has no link"]);
    port.mend();
    office.network.ip(&["link", "set", "lan", "down"]);
    let advice = office.concludes(3, &["the interface lan is down"]);
    assert_eq!(advice, ["ip", "link", "set", "lan", "up"]);
    let args: Vec<&str> = advice[1..].iter().map(String::as_str).collect();
    office.network.ip(&args);
    office.network.await_carrier("lan");
    office.finds_again();
    let bare = Host::on(Namespace::new());
    bare.concludes(3, &["the interface lo is down"]);
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_explained_where_somebody_holds_the_port() {
    let host = Host::new();
    let held = host
        .network
        .inside(|| UdpSocket::bind("0.0.0.0:5353").unwrap());
    let server = host.serve(&[]);
    let (pid, place) = (
        format!("(pid {})", std::process::id()),
        server.address.to_string(),
    );
    let advice = host.concludes(
        3,
        &["UDP port 5353, multicast DNS, is held by", &pid, &place],
    );
    assert_eq!(advice, ["shippy", "list", "--server", &place]);
    host.follows(&advice);
    drop(held);
    // A server that was there before somebody took it is found.
    assert!(server.stop().success());
    let _server = host.serve(&[]);
    host.concludes(0, &["nothing is wrong"]);
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_explained_where_the_server_is_on_loopback_alone() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let server = depot.serve(&[]);
    let place = server.address.to_string();
    let advice = depot.concludes(0, &[&place, "is on loopback alone", "--lan"]);
    assert_eq!(advice, ["shippy", "serve", "--lan"]);
    assert!(server.stop().success());
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    let _server = depot.serve(&["--lan"]);
    office.concludes(0, &["nothing is wrong"]);
    depot.concludes(0, &["nothing is wrong"]);
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_explained_where_a_server_is_announced_and_not_reached() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    let server = depot.serve(&["--lan"]);
    depot.network.filter(
        "table inet closed {\n chain input {\n  type filter hook input priority 0\n  iifname lan meta l4proto tcp drop\n }\n}\n",
    );
    let place = format!(
        "10.77.0.1:{} (no connection in time)",
        server.address.port()
    );
    office.concludes(3, &["is announced and takes no connections", &place]);
}
