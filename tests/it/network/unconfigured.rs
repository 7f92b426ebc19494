//! A machine on which nothing is configured, not even a network.

use std::time::{Duration, Instant};

use super::WITHOUT_RATE_LIMIT;
use crate::support::{Server, host::Host};

#[test]
#[ignore = "needs root and network namespaces"]
fn network_with_nothing_configured_every_command_finds_the_server() {
    let host = Host::new();
    let _server = Server::without_warnings(|| host.serve(&[]));
    let created = host.create().exits(0);
    let listed = host.list().exits(0);
    assert!(listed.stdout.contains(created.stdout.trim()), "{listed:#?}");
    assert_eq!(
        (created.stderr, listed.stderr),
        ("shippy: 1 created\n".to_owned(), String::new())
    );
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_no_command_waits_for_the_rate_limit_of_multicast_answers() {
    let host = Host::new();
    let _server = host.serve(&[]);
    for args in [&["create", "consignment.json"][..], &["list"]] {
        let mut times: Vec<Duration> = (0..50).map(|_| time(&host, args)).collect();
        times.sort();
        // The limit would hold up each of them, and a busy machine only a few.
        let (p50, p90) = (times[25], times[45]);
        println!("{}: p50 {p50:.1?}, p90 {p90:.1?}", args.join(" "));
        assert!(p90 < WITHOUT_RATE_LIMIT, "{args:?}: {times:.1?}");
    }
}

fn time(host: &Host, args: &[&str]) -> Duration {
    let mut command = host.shippy(args);
    let begun = Instant::now();
    let output = command.output().unwrap();
    let took = begun.elapsed();
    assert!(output.status.success(), "{command:?}: {output:?}");
    took
}
