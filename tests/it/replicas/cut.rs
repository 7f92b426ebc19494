//! A network that is cut in silence: packets are dropped, and no connection is closed. A server that is reached over two
//! networks stands for two servers of one register.
//!
//! Run as root with `cargo test --test it -- --ignored replicas::cut`.

use std::time::Instant;

use super::many;
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
            let asking = [args, &["--server", &servers]].concat();
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
        let args = [args, &["--server", &servers]].concat();
        Printing::start(&mut two.office.shippy(&args))
    };
    let home = folder();
    let path = many(home.path(), RECORDS);
    let follow = asking(&["list", "--follow", "-o", "ndjson"]);
    let mut create = asking(&["create", &path]);
    // Twice, so that what is mended is used again.
    for port in [&two.ports[0], &two.ports[1], &two.ports[0], &two.ports[1]] {
        create.await_lines(create.lines() + 2_000);
        assert!(create.is_under_way());
        let reached = (create.lines(), follow.lines());
        let begun = Instant::now();
        port.mute();
        // More than had been answered and was on its way to be printed.
        create.await_lines((reached.0 + 8_000).min(RECORDS));
        let created = begun.elapsed().as_millis();
        follow.await_lines((reached.1 + 8_000).min(RECORDS));
        let followed = begun.elapsed().as_millis();
        eprintln!("8,000 more over a cut: created in {created} ms, followed in {followed} ms");
        port.unmute();
    }
    let (created, ids) = create.end();
    created.exits(0);
    assert_eq!(ids.lines().count(), RECORDS);
    follow.await_lines(RECORDS);
    let listed = two.depot.run(&["list", "-o", "ndjson"]).exits(0);
    assert_eq!(listed.stdout.lines().count(), RECORDS);
    assert!(
        follow.interrupt() == listed.stdout,
        "without a gap or a repeat"
    );
}
