//! Peers that mean harm, beside honest ones: what each of them can take is bounded, and the honest ones are answered.

use std::time::Duration;

use crate::support::{Server, run};

mod attacker;
mod calm;
mod descriptors;
mod figures;
mod floods;
mod honest;
mod idle;
mod limits;
mod posts;
mod strangers;
mod together;
mod unread;
mod way;

/// What the server may take at most, whatever is done to it.
const MEMORY_KIB: u64 = 256 * 1024;

/// How long each attack goes on: long enough to do harm where nothing is done about it.
const ATTACK: Duration = Duration::from_secs(2);

/// Fails the test unless the server lives, has kept its bound, and does what it is asked.
#[track_caller]
fn is_normal(server: &Server, home: &std::path::Path, args: &[&str]) {
    let most = server.memory_kib("VmHWM:");
    assert!(most < MEMORY_KIB, "it took {most} KiB");
    let log = server.logged();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    let mut create = server.ask(home, &["create", "consignment.json", "--timeout", "60s"]);
    run(create.args(args)).exits(0);
}
