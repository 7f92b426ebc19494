//! What else a record could be kept in, each as its own project measures it, or by calls like ours.

use std::path::{Path, PathBuf};

use crate::{Subject, report::Report, system::System};

mod etcd;
mod postgres;
mod redis;

use etcd::Etcd;
pub(crate) use postgres::Postgres;
use redis::Redis;

/// A record as the others keep it: a key, and a value such that both take what a consignment takes encoded.
const KEY_BYTES: usize = 36;
const VALUE_BYTES: usize = 318;

pub(crate) const REDIS: &str = "Redis SET, appendfsync always";
pub(crate) const ETCD: &str = "etcd put";
pub(crate) const POSTGRES: &str = "PostgreSQL, a row a commit";
pub(crate) const POSTGRES_REGISTER: &str = "the same, gapless and indexed";

/// Starts those that are installed, each with an empty folder of its own. Of the others, `report` says why they are
/// left out.
pub(crate) fn start(subject: &Subject, report: &mut Report) -> Vec<Box<dyn System>> {
    type Start = fn(&Path) -> anyhow::Result<Box<dyn System>>;
    const PEERS: [(&str, &str, Start); 3] = [
        (REDIS, "redis-server redis-tools", |folder| {
            Ok(Box::new(Redis::start(folder)?))
        }),
        (ETCD, "etcd-server", |folder| {
            Ok(Box::new(Etcd::start(folder)?))
        }),
        (POSTGRES, "postgresql", |folder| {
            Ok(Box::new(Postgres::start(folder)?))
        }),
    ];
    let mut systems = Vec::new();
    for (name, packages, start) in PEERS {
        match start(subject.folder.path()) {
            Ok(system) => systems.push(system),
            Err(error) => report.note(format!(
                "{name}: left out ({error:#}); `apt-get install {packages}`"
            )),
        }
    }
    systems
}

/// PostgreSQL's own programs, where Debian has them.
pub(crate) fn postgres_program(name: &str) -> Option<PathBuf> {
    postgres::program(name)
}
