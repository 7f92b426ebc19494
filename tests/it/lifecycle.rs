//! A server's life as its operators and clients meet it, and what clients do when a server dies.

use std::{
    io::{BufRead as _, BufReader, Lines},
    path::Path,
    process::ChildStdout,
    time::Duration,
};

use crate::{
    cli::file,
    running::Running,
    support::{Server, run},
};

mod chaos;
mod failover;
mod listening;
mod peers;
mod stopping;
mod unread;

/// How long a server may take to end at most, whatever its clients do.
const GRACE: Duration = Duration::from_secs(8);
/// When Docker kills what it has asked to stop.
const KILLED_AFTER: Duration = Duration::from_secs(10);
/// What a busy machine may add to a time that is promised.
const MARGIN: Duration = Duration::from_secs(20);

/// `count` consignments as NDJSON, `tea-1` and so on, each with `containers` containers of 4 KB.
pub(crate) fn many(count: usize, containers: usize) -> String {
    let container = format!("{{\"origin\":\"{}\"}}", "x".repeat(4_000));
    let containers = vec![container; containers].join(",");
    let line = |number| format!("{{\"id\":\"tea-{number}\",\"containers\":[{containers}]}}\n");
    (1..=count).map(line).collect()
}

/// Fills the server with far more than the windows and buffers of a connection take.
pub(crate) fn fill(server: &Server, home: &Path) {
    let path = file(home, "fill.ndjson", many(60, 60));
    run(&mut server.ask(home, &["create", &path])).exits(0);
}

/// Starts `args` and returns when it has printed a line; the rest of what it prints.
fn begun(
    server: &Server,
    home: &Path,
    args: &[&str],
) -> (Running, String, Lines<BufReader<ChildStdout>>) {
    let mut running = Running::start(&mut server.ask(home, args));
    let mut lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    (running, first, lines)
}
