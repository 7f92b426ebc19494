//! What a server tells a collector of its requests.

use std::{path::Path, process::Command};

use crate::support::{Server, collector::Collector, folder};

mod away;
mod settings;
mod spans;

/// How a server's variables begin.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Has the traces of a server exported to `address`, soon after they end.
fn to(address: &str) -> impl FnOnce(&mut Command) {
    let endpoint = format!("http://{address}");
    move |command| {
        command.env(ENDPOINT, endpoint);
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
    }
}

/// A server in `home` that tells `collector`.
fn serve(home: &Path, collector: &Collector) -> Server {
    Server::start_with(home, to(&collector.address))
}

/// A collector on a port of its own.
fn collector() -> Collector {
    Collector::start("127.0.0.1:0")
}
