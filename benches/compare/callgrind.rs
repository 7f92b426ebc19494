//! Instructions of a server's process, counted by callgrind: the one figure that other programs on the machine do not
//! touch.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use crate::{Subject, client, process, running::output, server::Server};

/// A process that has done nothing for so long has settled.
const SETTLED: Duration = Duration::from_millis(300);
const SETTLE_DEADLINE: Duration = Duration::from_secs(20);

/// The counter's version; `None` where it is not installed.
pub(crate) fn version() -> Option<String> {
    let version = output(Command::new("valgrind").arg("--version")).ok()?;
    Some(version.trim().to_owned())
}

/// The instructions that one create takes, over the wire and one at a time, so that each is a commit of its own. Each
/// run is on the register at the path that `register` says.
pub(crate) fn create(
    register: impl Fn() -> PathBuf,
    count: u64,
    runs: usize,
) -> anyhow::Result<u64> {
    per_call(count, runs, |count| {
        let creates = |server: &Server| client::create_in_turn(&server.address, count);
        counted(&register(), creates)
    })
}

/// The instructions that one consignment of a list takes on the register at `path`, which holds `count` or more.
pub(crate) fn listed(path: &Path, count: u64, runs: usize) -> anyhow::Result<u64> {
    per_call(count, runs, |count| {
        let list = |server: &Server| client::list_some(&server.address, count);
        counted(path, list)
    })
}

/// What each of `count` calls adds to a server that gets one, by the least of `runs` each: threads that wake one another
/// oftener than they need to, as on a busy machine, only add to it.
fn per_call(
    count: u64,
    runs: usize,
    counted: impl Fn(u64) -> anyhow::Result<u64>,
) -> anyhow::Result<u64> {
    let total = |count| -> anyhow::Result<u64> {
        let totals: anyhow::Result<Vec<u64>> = (0..runs).map(|_| counted(count)).collect();
        totals?.into_iter().min().context("nothing was counted")
    };
    let one = total(1)?;
    Ok(total(count + 1)?.saturating_sub(one) / count)
}

/// The instructions from the start of a server on the register at `path`, over `calls`, to its end.
fn counted(path: &Path, calls: impl FnOnce(&Server) -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let log = tempfile::NamedTempFile::new()?;
    let subject = Subject::new(vec![
        "valgrind".into(),
        "--tool=callgrind".into(),
        "--callgrind-out-file=/dev/null".into(),
        format!("--log-file={}", log.path().display()),
    ])?;
    on_one_core(|| {
        let (server, _) = Server::start(&subject, path)?;
        settle(server.id())?;
        calls(&server)?;
        settle(server.id())?;
        server.stop()
    })?;
    let log = fs::read_to_string(log.path())?;
    let total = log.lines().find_map(|line| line.split_once("Collected : "));
    let (_, total) = total.with_context(|| format!("callgrind counted nothing: {log}"))?;
    Ok(total.trim().parse()?)
}

/// Waits until a process does nothing any more, so that what it does by the way is counted in each run or in none.
fn settle(id: u32) -> anyhow::Result<()> {
    process::settled(SETTLED, SETTLE_DEADLINE, || processor_time(id)).map(drop)
}

/// The time that a process has been at work, in the system's own units.
fn processor_time(id: u32) -> anyhow::Result<[u64; 2]> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // Behind the name, which may hold anything, the 12th and the 13th.
    let (_, fields) = stat.rsplit_once(')').context("a process has a name")?;
    let mut times = fields.split_whitespace().skip(11);
    let mut next = || anyhow::Ok(times.next().context("/proc/stat is too short")?.parse()?);
    Ok([next()?, next()?])
}

/// Keeps this thread and the processes that it starts on one core while `act` runs. Callgrind runs one thread at a time
/// anyway, and so the caller does not run beside it in this way and that way.
fn on_one_core<T>(act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let all = sched_getaffinity(None)?;
    let mut one = CpuSet::new();
    one.set(sched_getcpu());
    sched_setaffinity(None, &one)?;
    let result = act();
    sched_setaffinity(None, &all)?;
    result
}
