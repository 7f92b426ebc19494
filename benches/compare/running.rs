//! Other programs that run beside.

use std::{
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to start.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// How long it may take to end.
const END_DEADLINE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(10);

/// A program that is ended when this goes out of scope.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// What asks it to end.
    signal: Signal,
}

impl Running {
    pub(crate) fn start(command: &mut Command, signal: Signal) -> anyhow::Result<Self> {
        let child = command.spawn();
        let child = child.with_context(|| format!("could not start {command:?}"))?;
        Ok(Self { child, signal })
    }

    /// Waits until `is_ready`.
    ///
    /// # Errors
    ///
    /// When it ends or the time is over before that.
    pub(crate) fn wait_until(&mut self, mut is_ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        while !is_ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended: {status}");
            }
            ensure!(Instant::now() < deadline, "it did not start in time");
            thread::sleep(RETRY);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), self.signal);
        let deadline = Instant::now() + END_DEADLINE;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(RETRY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `command` to its end; what it printed.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output();
    let output = output.with_context(|| format!("could not start {command:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?}: {}: {error}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
