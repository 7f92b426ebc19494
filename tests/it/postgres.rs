//! Servers whose register is in PostgreSQL: several of them, and a database that refuses, goes and comes back.

use std::{path::Path, process::Command};

use shippy::proto::Consignment;

use crate::support::{Server, own_name, postgres::Cluster, run, shippy};

mod away;
mod full;
mod preflight;
mod promoted;
mod proxy;
mod secrets;
mod shared;
mod start;
mod tls;
mod upgrade;
mod writers;

/// A `shippy serve` of the service `name` on the database at `url`, which is set and not typed.
fn command(home: &Path, url: &str, name: &str) -> Command {
    let mut command = shippy(home);
    command
        .args(["serve", "--name", name])
        .env("SHIPPY_STORE", url);
    command
}

/// The same, ready.
fn serve(home: &Path, url: &str, name: &str) -> Server {
    Server::spawn(command(home, url, name), home)
}

/// A server on a database of its own in `cluster`, which keeps what is logged in `home`; the database's name.
fn on_own_database(home: &Path, cluster: &Cluster) -> (Server, String) {
    let database = cluster.database();
    let server = serve(home, &cluster.url(&database), &own_name());
    (server, database)
}

/// All that the server has, by sequence number.
fn listed(server: &Server, home: &Path) -> Vec<(u64, String)> {
    let listed = run(&mut server.ask(home, &["list", "-o", "ndjson"])).exits(0);
    let parse = |line: &str| {
        let consignment: Consignment = serde_json::from_str(line).unwrap();
        (consignment.sequence, consignment.id)
    };
    listed.stdout.lines().map(parse).collect()
}
