//! A network that is cut in silence: packets are dropped, and no connection is closed. A server that is reached over two
//! networks stands for two servers of one register.
//!
//! Run as root with `cargo test --test it -- --ignored replicas::cut`.

use std::time::Instant;

use super::{TIMEOUT_ARGS, many};
use crate::{
    running::Printing,
    support::{
        Server, folder,
        host::Host,
        namespace::{Bridge, Port},
    },
};

const RECORDS: usize = 100_000;

/// A server on two networks, and a machine on both of them.
struct Two<'b> {
    depot: Host,
    office: Host,
    ports: [Port<'b>; 2],
}

impl<'b> Two<'b> {
    fn on([left, right]: &'b [Bridge; 2]) -> Self {
        let (depot, office) = (Host::new(), Host::new());
        let ports = [
            left.plug(&depot.network, "left", &["10.77.1.1/24"]),
            right.plug(&depot.network, "right", &["10.77.2.1/24"]),
        ];
        left.plug(&office.network, "left", &["10.77.1.2/24"]);
        right.plug(&office.network, "right", &["10.77.2.2/24"]);
        Self {
            depot,
            office,
            ports,
        }
    }

    fn serve(&self) -> Server {
        self.depot.serve(&["--lan"])
    }
}

fn both(server: &Server) -> String {
    let port = server.address.port();
    format!("10.77.1.1:{port},10.77.2.1:{port}")
}

#[test]
#[ignore = "needs root and network namespaces"]
fn cut_a_command_passes_over_a_server_that_is_cut_off() {
    let bridges = [Bridge::new(), Bridge::new()];
    let two = Two::on(&bridges);
    let server = two.serve();
    let servers = both(&server);
    for port in &two.ports {
        port.mute();
        for args in [&["create", "consignment.json"][..], &["list"], &["health"]] {
            let begun = Instant::now();
            let asking = [args, &["--server", &servers], &TIMEOUT_ARGS].concat();
            two.office.run(&asking).exits(0);
            let took = begun.elapsed().as_millis();
            eprintln!("{args:?} beside a server that is cut off: {took} ms");
        }
        port.unmute();
    }
}

#[test]
#[ignore = "needs root and network namespaces"]
fn cut_commands_under_way_go_on_over_another_network() {
    let bridges = [Bridge::new(), Bridge::new()];
    let two = Two::on(&bridges);
    let server = two.serve();
    let servers = both(&server);
    let asking = |args: &[&str]| {
        let args = [args, &["--server", &servers], &TIMEOUT_ARGS].concat();
        Printing::start(&mut two.office.shippy(&args))
    };
    let home = folder();
    let follow = asking(&["list", "--follow", "-o", "ndjson"]);
    // Twice, so that what is mended is used again. A load of its own for each cut: how fast it goes changes nothing.
    for (before, port) in two.ports.iter().chain(&two.ports).enumerate() {
        let path = many(home.path(), &format!("cut-{before}"), RECORDS);
        let create = asking(&["create", &path]);
        create.await_lines(2_000);
        let begun = Instant::now();
        port.mute();
        let (created, ids) = create.end();
        let took = begun.elapsed().as_millis();
        created.exits(0);
        assert_eq!(ids.lines().count(), RECORDS);
        follow.await_lines((before + 1) * RECORDS);
        let followed = begun.elapsed().as_millis();
        eprintln!(
            "the rest of {RECORDS} over a cut: created in {took} ms, followed in {followed} ms"
        );
        port.unmute();
    }
    let listed = two.depot.run(&["list", "-o", "ndjson"]).exits(0);
    assert_eq!(listed.stdout.lines().count(), 4 * RECORDS);
    assert!(
        follow.interrupt() == listed.stdout,
        "without a gap or a repeat"
    );
}
