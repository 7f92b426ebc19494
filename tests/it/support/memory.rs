//! What memory processes take.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Pid;

use super::{Ran, SOON};
use crate::running::Running;

/// The most that the process has had resident, in KiB; `None` once it has ended.
pub(crate) fn peak(process: Pid) -> Option<u64> {
    let status = format!("/proc/{}/status", process.as_raw_pid());
    let status = std::fs::read_to_string(status).ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().trim_end_matches(" kB").parse().ok()
}

/// Runs `command` to its end; the most that it was seen to have resident, in KiB.
#[track_caller]
pub(crate) fn run_measured(command: &mut Command) -> (Ran, u64) {
    let mut running = Running::start(command);
    let process = Pid::from_child(&running.child);
    let deadline = Instant::now() + SOON;
    let mut most = 0;
    while running.child.try_wait().unwrap().is_none() {
        most = peak(process).unwrap_or(most).max(most);
        assert!(
            Instant::now() < deadline,
            "not within {SOON:?}: {command:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    (running.end(), most)
}
