//! SIGINT and SIGTERM. Both are always handled: in a container shippy is the first process, which the kernel lets
//! ignore whatever it does not handle.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;

/// The signals that ask to end.
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Takes the signals over; from now on they do not end the process.
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next; its name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// `command`, unless a signal ends it first.
pub(super) async fn or_interrupted(
    command: impl Future<Output = anyhow::Result<Exit>>,
) -> anyhow::Result<Exit> {
    let mut interrupts = Interrupts::new()?;
    tokio::select! {
        result = command => result,
        _ = interrupts.next() => Ok(Exit::Interrupted),
    }
}
