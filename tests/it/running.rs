//! Commands that a test does something to while they run.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Ran, eventually};

/// A command under way. It is killed when it goes out of scope.
pub(crate) struct Running {
    text: String,
    pub(crate) child: Child,
}

impl Running {
    /// Starts `command`, its three streams being pipes.
    pub(crate) fn start(command: &mut Command) -> Self {
        let text = format!("{command:?}");
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        Self { text, child }
    }

    /// Sends `signal` once the command handles it by itself.
    pub(crate) fn signal(&self, signal: Signal) {
        let status = format!("/proc/{}/status", self.child.id());
        eventually("a handler of the signal", || {
            let status = std::fs::read_to_string(&status).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
            (caught & (1 << (signal.as_raw() - 1)) != 0).then_some(())
        });
        self.send(signal);
    }

    /// Sends `signal` at once.
    pub(crate) fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended. What it prints must fit into a pipe.
    pub(crate) fn end(mut self) -> Ran {
        eventually("the command's end", || self.child.try_wait().unwrap());
        let output = std::process::Output {
            status: self.child.wait().unwrap(),
            stdout: rest(self.child.stdout.take()),
            stderr: rest(self.child.stderr.take()),
        };
        Ran::new(std::mem::take(&mut self.text), output)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `command`, which is to end by itself, to its end: a server that starts instead fails the test.
pub(crate) fn run_to_end(command: &mut Command) -> Ran {
    Running::start(command).end()
}

/// What is left in a stream; nothing where it was taken or closed.
fn rest(stream: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes).unwrap();
    }
    bytes
}
