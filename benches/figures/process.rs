//! What Linux tells of a process.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// A size from the process's status, in bytes: `VmRSS:` is its resident memory, `VmHWM:` the most that it has been.
pub(crate) fn memory(id: u32, key: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = kib.context("no such size in /proc")?.parse()?;
    Ok(kib * 1024)
}

/// Memory that stays as it is for so long has settled.
const SETTLED: Duration = Duration::from_secs(1);
const SETTLE_DEADLINE: Duration = Duration::from_secs(10);

/// The process's resident memory in bytes, once that no longer changes.
pub(crate) fn settled_memory(id: u32) -> anyhow::Result<u64> {
    settled(SETTLED, SETTLE_DEADLINE, || memory(id, "VmRSS:"))
}

/// What `look` sees once it has seen the same for as long as `still`, or after `deadline` at the latest.
pub(crate) fn settled<T: PartialEq>(
    still: Duration,
    deadline: Duration,
    look: impl Fn() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + deadline;
    let mut last = (look()?, Instant::now());
    while last.1.elapsed() < still && Instant::now() < deadline {
        thread::sleep(still / 10);
        let now = look()?;
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    Ok(last.0)
}
