//! A file that is loaded by `shippy create`.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::{
    Subject, client, creates, index,
    plan::Plan,
    process, record, register,
    report::{Report, TARGETED},
    running::Running,
    server::Server,
    text,
};

/// Consignments a second, from the start of the command to its end.
const RATE_TARGET: f64 = 100_000.0;
/// How much more memory a load or a list may take than an idle process has, in bytes.
pub(crate) const MEMORY_TARGET: u64 = 64 * 1024 * 1024;
/// How often a process is asked how much memory it takes.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub(crate) fn measure(subject: &Subject, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let count = plan.bulk;
    let number = text::count(text::as_f64(count));
    report.section(&format!("Bulk load of {number}"), &TARGETED);
    alone(subject, count, report)?;

    let file = write_file(subject, count)?;
    let register = subject.folder.path().join("bulk.db");
    let (server, _) = Server::start(subject, &register)?;
    let idle = server.settled_memory()?;
    let mut command = subject.command();
    command
        .arg("create")
        .arg(&file)
        .args(["--server", &server.address]);
    eprintln!("shippy create of {number} …");
    let ran = run(&mut command)?;
    let lag = index::watch(&register);
    let rate = text::as_f64(count) / ran.time.as_secs_f64();
    report.target(
        "shippy create, NDJSON, end to end",
        text::rate(rate),
        format!(">= {}", text::rate(RATE_TARGET)),
        rate >= RATE_TARGET,
    );
    let lags: Vec<_> = lag.into_iter().collect();
    creates::index_row(&lags, report);
    memory_row(
        "server's peak memory above idle",
        peak(server.id())?,
        idle,
        report,
    );
    let client_idle = idle_client(subject, &server)?;
    memory_row(
        "client's peak memory above idle",
        ran.peak,
        client_idle,
        report,
    );
    let stored = register::size(&register)?;
    report.figure("the register's size", text::mib(stored));
    server.stop()?;
    fs::remove_file(file)?;
    register::remove(&register)
}

/// The rpc without the command: what there is to be gained.
fn alone(subject: &Subject, count: u64, report: &mut Report) -> anyhow::Result<()> {
    let register = subject.folder.path().join("alone.db");
    let (server, _) = Server::start(subject, &register)?;
    let begun = Instant::now();
    client::load(&server.address, count)?;
    let rate = text::as_f64(count) / begun.elapsed().as_secs_f64();
    report.figure("CreateConsignments alone", text::rate(rate));
    server.stop()?;
    register::remove(&register)
}

fn write_file(subject: &Subject, count: u64) -> anyhow::Result<PathBuf> {
    let path = subject.folder.path().join("bulk.ndjson");
    let mut file = BufWriter::new(File::create(&path)?);
    for number in 0..count {
        let consignment = record::consignment(number, String::new());
        serde_json::to_writer(&mut file, &consignment)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(path)
}

/// How a command went.
pub(crate) struct Ran {
    pub(crate) time: Duration,
    /// The most memory that it took, in bytes.
    pub(crate) peak: u64,
}

/// Runs `command` to its end; what it prints goes nowhere.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<Ran> {
    let errors = tempfile::NamedTempFile::new()?;
    command.stdout(Stdio::null()).stderr(errors.reopen()?);
    let begun = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    let watched = watch(&child);
    let status = child.wait()?;
    let time = begun.elapsed();
    let text = fs::read_to_string(errors.path())?;
    ensure!(status.success(), "{command:?}: {status}: {text}");
    let peak = watched.join().unwrap_or_default();
    Ok(Ran { time, peak })
}

/// Looks at the memory of `child` until it ends; the most that was seen.
fn watch(child: &Child) -> thread::JoinHandle<u64> {
    let id = child.id();
    thread::spawn(move || {
        let mut most = 0;
        // A process that has ended has no size any more.
        while let Ok(now) = peak(id) {
            most = now.max(most);
            thread::sleep(LOOK_AGAIN);
        }
        most
    })
}

/// The most memory that a process has taken, in bytes.
pub(crate) fn peak(id: u32) -> anyhow::Result<u64> {
    process::memory(id, "VmHWM:")
}

/// Lets the most memory that a process has taken begin anew.
pub(crate) fn forget_peak(id: u32) -> anyhow::Result<()> {
    Ok(fs::write(format!("/proc/{id}/clear_refs"), "5")?)
}

/// What a client takes that waits for what comes.
pub(crate) fn idle_client(subject: &Subject, server: &Server) -> anyhow::Result<u64> {
    let last = client::last_sequence(&server.address)?;
    let mut command = subject.command();
    command.args([
        "list",
        "--follow",
        "-o",
        "ndjson",
        "--after",
        &last.to_string(),
    ]);
    command
        .args(["--server", &server.address])
        .stdout(Stdio::null());
    let waiting = Running::start(&mut command, rustix::process::Signal::TERM)?;
    process::settled_memory(waiting.child.id())
}

pub(crate) fn memory_row(what: &str, peak: u64, idle: u64, report: &mut Report) {
    let above = peak.saturating_sub(idle);
    report.target(
        what,
        format!("{} ({} idle)", text::mib(above), text::mib(idle)),
        format!("<= {}", text::mib(MEMORY_TARGET)),
        above <= MEMORY_TARGET,
    );
}
