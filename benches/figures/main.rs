//! What shippy costs: its size, its memory and the time until it answers, measured side by side in one run.
//!
//! `cargo bench --bench figures` prints a table. With `-- --check` it fails when a figure that does not depend on how
//! busy the machine is has passed its limit. `SHIPPY_BENCH_BINARY` names another executable to measure, like the one
//! in the image.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use self::{
    server::Server,
    table::{Row, Table},
};

mod network;
mod process;
mod register;
mod server;
mod table;

/// How much an established register holds.
const CONSIGNMENTS: u64 = 100_000;
/// How often a start is repeated for its median.
const STARTS: usize = 20;
/// How often a command is repeated, back to back.
const COMMANDS: usize = 50;
/// How often the disk is asked for durability.
const SYNCS: usize = 200;
/// A call that takes longer than this has waited for a second multicast answer, of which there is one a second
/// (RFC 6762 §6).
const RATE_LIMITED: Duration = Duration::from_millis(900);
/// How many of all commands may: the rate limit would hold up nearly all that find their server by name, and a machine
/// that stands still for a moment a few.
const RATE_LIMITED_MOST: usize = 5;

const MIB: u64 = 1024 * 1024;
/// It was 8 MiB for the embedded store and multicast alone; the database, the registries, DNS and TLS on both sides took 5
/// of the static executable, and HTTP with the board, what is measured, `discover`, backups and manual pages 2.
const SIZE_LIMIT: u64 = 16 * MIB;
const MEMORY_LIMIT: u64 = 20 * MIB;
const START_LIMIT: Duration = Duration::from_millis(50);
const COMMAND_LIMIT: Duration = Duration::from_millis(30);

/// What is measured, and where it keeps its things.
struct Subject {
    binary: PathBuf,
    /// On the disk that the build is on: a temporary folder may be in memory.
    folder: tempfile::TempDir,
}

impl Subject {
    /// `shippy` with no settings but those that are given to it.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().env("HOME", self.folder.path());
        command.stdin(Stdio::null());
        command
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let is_given = |wanted: &str| env::args().any(|argument| argument == wanted);
    // `cargo test --all-targets` starts benchmarks too, without the word that `cargo bench` gives them.
    if !is_given("--bench") {
        println!("nothing is measured but by `cargo bench --bench figures`");
        return Ok(ExitCode::SUCCESS);
    }
    let own_network = network::move_into_one_of_our_own();
    let binary = env::var_os("SHIPPY_BENCH_BINARY");
    let subject = Subject {
        binary: binary.map_or_else(|| env!("CARGO_BIN_EXE_shippy").into(), Into::into),
        folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?,
    };
    let mut table = Table::default();
    table.push(
        Row::size("executable", size(&subject.binary)?)
            .within(SIZE_LIMIT)
            .steady(),
    );
    table.push(Row::times(
        "fdatasync of 4 KiB",
        &sync_times(subject.folder.path())?,
    ));
    established(&subject, &mut table)?;
    commands(&subject, &mut table)?;
    let place = if own_network {
        "in a network namespace"
    } else {
        "on this machine's network"
    };
    println!("{}, {place}\n\n{table}", subject.binary.display());
    Ok(if is_given("--check") && !table.holds() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn size(binary: &Path) -> anyhow::Result<u64> {
    let metadata = fs::metadata(binary).with_context(|| binary.display().to_string())?;
    Ok(metadata.len())
}

/// A register that holds much: how soon it answers after a start, and what it takes to keep.
fn established(subject: &Subject, table: &mut Table) -> anyhow::Result<()> {
    let path = subject.folder.path().join("established.db");
    let begun = Instant::now();
    register::fill(&path, CONSIGNMENTS)?;
    table.push(Row::times(
        "100,000 consignments: filled",
        &[begun.elapsed()],
    ));

    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let (server, answered) = Server::start(subject, &path)?;
        starts.push(answered);
        server.stop()?;
    }
    table.push(
        Row::times("100,000 consignments: start to first rpc", &starts).median_within(START_LIMIT),
    );

    let (server, _) = Server::start(subject, &path)?;
    let idle = server.settled_memory()?;
    table.push(
        Row::size("100,000 consignments: idle memory", idle)
            .within(MEMORY_LIMIT)
            .steady(),
    );
    let begun = Instant::now();
    run(
        subject,
        &["list", "-o", "ndjson", "--server", &server.address],
    )?;
    table.push(Row::times(
        "100,000 consignments: listed as NDJSON",
        &[begun.elapsed()],
    ));
    table.push(Row::size(
        "100,000 consignments: memory after that",
        server.settled_memory()?,
    ));
    server.stop()
}

/// Commands on a young register, one after the other without a pause.
fn commands(subject: &Subject, table: &mut Table) -> anyhow::Result<()> {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/consignment.json");
    let (server, _) = Server::start(subject, &subject.folder.path().join("young.db"))?;
    let named = ["--name", server.name.as_str()];
    let addressed = ["--server", server.address.as_str()];
    let cases: [(&str, &[&str], [&str; 2]); 4] = [
        ("list, found by name", &["list"], named),
        ("create, found by name", &["create", sample], named),
        ("list, --server", &["list"], addressed),
        ("create, --server", &["create", sample], addressed),
    ];
    let mut slow = 0;
    for (what, command, place) in cases {
        let times = repeated(subject, &[command, &place].concat())?;
        slow += times.iter().filter(|time| **time > RATE_LIMITED).count();
        table.push(Row::times(what, &times).median_within(COMMAND_LIMIT));
    }
    table.push(
        Row::count("commands over 900 ms", slow)
            .at_most(RATE_LIMITED_MOST)
            .steady(),
    );
    server.stop()
}

fn repeated(subject: &Subject, arguments: &[&str]) -> anyhow::Result<Vec<Duration>> {
    (0..COMMANDS)
        .map(|_| {
            let begun = Instant::now();
            run(subject, arguments)?;
            Ok(begun.elapsed())
        })
        .collect()
}

fn run(subject: &Subject, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = subject.command();
    let output = command.args(arguments).stdout(Stdio::null()).output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// What one durable write costs on this disk, for comparison.
fn sync_times(folder: &Path) -> anyhow::Result<Vec<Duration>> {
    let mut file = tempfile::tempfile_in(folder)?;
    (0..SYNCS)
        .map(|_| {
            let begun = Instant::now();
            std::io::Write::write_all(&mut file, &[7; 4096])?;
            file.sync_data()?;
            Ok(begun.elapsed())
        })
        .collect()
}
