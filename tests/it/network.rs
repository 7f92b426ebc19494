//! shippy as people meet it on a network: the built binary on machines of the tests' own, which are network namespaces.
//!
//! Run as root with `cargo test --test it -- --ignored network`.

use std::time::Duration;

use crate::support::{
    Ran, Server, eventually,
    host::Host,
    namespace::{Bridge, Port},
    within,
};

mod attack;
mod avahi;
mod explained;
mod failures;
mod filtered;
mod interfaces;
mod open;
mod unconfigured;

/// The whole of a short `--timeout`, and how long a command with it may take.
const SHORT: &str = "1s";
const SHORT_AT_MOST: Duration = Duration::from_millis(2_500);

/// Above this a command has waited for an answer that is multicast, of which a responder sends one a second
/// (RFC 6762 §6).
const WITHOUT_RATE_LIMIT: Duration = Duration::from_millis(900);

/// A machine that is plugged into `bridge` with its interface `lan`.
fn plugged<'b>(bridge: &'b Bridge, addresses: &[&str]) -> (Host, Port<'b>) {
    let host = Host::new();
    let port = bridge.plug(&host.network, "lan", addresses);
    (host, port)
}

impl Host {
    /// `shippy list`, which has to find a server by itself.
    fn list(&self) -> Ran {
        self.run(&["list"])
    }

    /// `shippy create` of one consignment, which has to find a server by itself.
    fn create(&self) -> Ran {
        self.run(&["create", "consignment.json"])
    }

    /// Fails the test unless `shippy list` says that it found no server, before a short time is up.
    #[track_caller]
    fn finds_none(&self) -> Ran {
        self.misses(&["list"])
            .says(&["no server found", "--server"])
    }

    /// Fails the test unless `shippy` with `args` ends without a server, before a short time is up.
    #[track_caller]
    fn misses(&self, args: &[&str]) -> Ran {
        let args = [args, &["--timeout", SHORT]].concat();
        within(SHORT_AT_MOST, || self.run(&args).exits(3))
    }

    /// Waits until `shippy list` finds a server again, each time before a short time is up.
    #[track_caller]
    fn finds_again(&self) {
        eventually("found again", || {
            let ran = self.run(&["list", "--timeout", SHORT]);
            (ran.code == Some(0)).then_some(())
        });
    }

    /// Where the server is that `shippy` finds.
    #[track_caller]
    fn reaches(&self) -> String {
        let health = self.run(&["health"]).exits(0);
        let address = (health.stdout.split_once(" at "))
            .and_then(|(_, rest)| rest.split_once(','))
            .map(|(address, _)| address.to_owned());
        address.expect("health tells the address")
    }

    /// The same, without a wait for the rate limit, which would hold up each command after another.
    #[track_caller]
    fn reaches_at_once(&self) -> String {
        within(WITHOUT_RATE_LIMIT, || self.reaches())
    }
}

impl Server {
    /// The warnings that it has logged.
    fn warnings(&self) -> Vec<String> {
        let logged = self.logged();
        let lines = logged.lines().filter(|line| line.contains("WARN"));
        lines.map(str::to_owned).collect()
    }
}
