//! Networks that carry no multicast DNS, or only some of it.

use super::plugged;
use crate::support::{
    Server, eventually,
    host::Host,
    namespace::{Bridge, Namespace},
};

/// What a desktop's firewall lets in: what was asked for, and multicast DNS on its port. Replies to the one-shot query
/// are neither.
const DESKTOP: &str = "
table inet desktop {
  counter unasked { }
  chain input {
    type filter hook input priority 0; policy drop
    iifname lo accept
    ct state established,related accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    udp dport 5353 accept
    udp sport 5353 counter name unasked
  }
}
";

/// Counts what a server says by itself, which is longer than a question. Nobody listens, so it gets no further than here.
const ANNOUNCEMENTS: &str = "
table ip announcements {
  counter seen { }
  chain prerouting {
    type filter hook prerouting priority 0
    ip saddr 10.77.0.1 udp dport 5353 udp length > 100 counter name seen
  }
}
";

/// Loses the next that it says over IPv4: one answer is longer than half of this and shorter than the whole.
const FIRST_ANSWER_LOST: &str = "
table ip lossy {
  counter lost { }
  chain input {
    type filter hook input priority -1
    ip saddr 10.77.0.1 udp dport 5353 quota until 450 bytes counter name lost drop
  }
}
";

impl Host {
    /// How many packets the nftables counter `counter` of `table` has seen here.
    fn counted(&self, table: &str, counter: &str) -> u64 {
        let listed = (self.network.command("nft"))
            .args(["list", "counters"])
            .output()
            .unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let packets = (listed.split_once(&format!(" {table} {{")))
            .and_then(|(_, rest)| rest.split_once(&format!("counter {counter} {{")))
            .and_then(|(_, rest)| rest.split_whitespace().nth(1));
        packets
            .and_then(|packets| packets.parse().ok())
            .unwrap_or_else(|| panic!("no counter {counter} of {table} in {listed:?}"))
    }
}

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
    office.network.filter(DESKTOP);
    let _server = depot.serve(&["--lan"]);
    office.list().exits(0);
    assert!(
        office.counted("desktop", "unasked") > 0,
        "no unicast reply was dropped"
    );
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_behind_a_desktop_firewall_a_lost_answer_is_made_up_for() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    office.network.filter(&format!("{DESKTOP}{ANNOUNCEMENTS}"));
    let _server = depot.serve(&["--lan"]);
    // RFC 6762 §8.3: two, a second apart. What comes after them is an answer.
    eventually("both announcements", || {
        let counted = office.counted("announcements", "seen");
        (counted >= 2).then_some(())
    });
    office.network.filter(FIRST_ANSWER_LOST);
    office.list().exits(0);
    assert!(office.counted("lossy", "lost") > 0, "no answer was lost");
}
