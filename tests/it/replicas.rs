//! Servers of one register are as good as each other: a client spreads over them, and goes on with another one within one
//! call when the one it asks dies, hangs or is cut off.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use shippy::{
    backend::{self, RegistryKind, RegistrySettings},
    client::{Client, Options},
    consignment::new_id,
    proto::Consignment,
    registry::{Registry, access::Tenure},
};

use crate::cli::file;

mod cut;
mod database;
mod doors;
mod faults;
mod proxy;
mod witnesses;

/// How long a client has for one answer, or in a stream for the next sign of progress: what the pause over a silent
/// server may be (2.5 s), and what a busy machine may add.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The same as an argument.
const TIMEOUT_ARGS: [&str; 2] = ["--timeout", "20s"];

/// A client of the servers at `addresses`.
fn client(addresses: Vec<String>) -> Client {
    client_of(backend::fixed(addresses), "any", TIMEOUT)
}

/// A client of the servers of the service `name` in `registry`.
fn client_of(registry: Arc<dyn Registry>, name: &str, timeout: Duration) -> Client {
    let options = Options {
        name: name.into(),
        register: None,
        timeout,
        tls: None,
        token: None,
        is_named: true,
    };
    Client::new(registry, options)
}

/// The registry that the etcd at `addresses` keeps.
fn etcd(addresses: &str) -> Arc<dyn Registry> {
    let settings = RegistrySettings {
        kind: RegistryKind::Etcd,
        addresses: addresses.split(',').map(str::to_owned).collect(),
        authority: None,
        tenure: Tenure::default(),
    };
    settings.open().unwrap()
}

/// A consignment that nobody has sent.
fn fresh() -> Consignment {
    Consignment {
        id: new_id(),
        vessel_id: "vessel".into(),
        ..Consignment::default()
    }
}

/// A file of `count` consignments in `folder`; its path.
fn many(folder: &Path, name: &str, count: usize) -> String {
    let line = |number| format!("{{\"id\":\"{name}-{number}\"}}\n");
    let lines: String = (1..=count).map(line).collect();
    file(folder, &format!("{name}.ndjson"), lines)
}

/// How long `work` takes, which is said.
async fn timed<T>(what: &str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let result = work.await;
    eprintln!("{what}: {} ms", begun.elapsed().as_millis());
    result
}
