//! Commands that a test does something to while they run.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Ran, eventually, eventually_after};

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
    #[track_caller]
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

/// A command under way and what it has printed.
pub(crate) struct Printing {
    running: Running,
    printed: JoinHandle<String>,
    lines: Arc<AtomicUsize>,
}

impl Printing {
    /// Starts `command`.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut running = Running::start(command);
        let stdout = BufReader::new(running.child.stdout.take().unwrap());
        let lines = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&lines);
        let printed = thread::spawn(move || {
            let mut printed = String::new();
            for line in stdout.lines() {
                printed.push_str(&line.unwrap());
                printed.push('\n');
                count.fetch_add(1, Ordering::Relaxed);
            }
            printed
        });
        Self {
            running,
            printed,
            lines,
        }
    }

    /// How many lines it has printed.
    pub(crate) fn lines(&self) -> usize {
        self.lines.load(Ordering::Relaxed)
    }

    /// Waits until there are as many, as long as more come.
    #[track_caller]
    pub(crate) fn await_lines(&self, lines: usize) {
        eventually_after(
            "more lines",
            || self.lines(),
            || (self.lines() >= lines).then_some(()),
        );
    }

    /// How it ended by itself, which is waited for as long as more lines come, and what it had printed.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Ran, String) {
        eventually_after(
            "the command's end",
            || self.lines.load(Ordering::Relaxed),
            || self.running.child.try_wait().unwrap(),
        );
        (self.running.end(), self.printed.join().unwrap())
    }

    /// Whether it has not ended.
    pub(crate) fn is_under_way(&mut self) -> bool {
        self.running.child.try_wait().unwrap().is_none()
    }

    /// Ends it by Ctrl-C, which is how it is to end; what it had printed.
    pub(crate) fn interrupt(self) -> String {
        self.running.signal(Signal::INT);
        let (ran, printed) = self.end();
        ran.exits(0);
        printed
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
