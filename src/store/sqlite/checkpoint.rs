//! Moves the write-ahead log into the database beside the writer, so that no create waits for it.
//!
//! A passive checkpoint takes no lock that a commit needs, but the log starts over only when everything in it has been
//! moved, which a writer that never pauses prevents; past a bound the writer itself moves the rest and waits for that
//! (<https://www.sqlite.org/wal.html#ckpt>). Another thread could not: between two commits the lock is free for too
//! short a time for SQLite's polling to find it so.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, SyncSender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::watch;

use super::{
    connect::{LOCK_WAIT, connect, make_durable},
    is_sync_failure,
};
use crate::store::{Cause, Condition};

/// How much the log grows between two checkpoints, in pages of 4 KiB: SQLite's own default.
const CHECKPOINT_EVERY_PAGES: i64 = 1_000;
/// The log's length, in pages, past which the writer waits until all of it is moved: 64 MiB, which a start after a
/// crash reads in about a tenth of a second.
const LONGEST_LOG_PAGES: i64 = 16 * 1024;

/// How long the writer waits for readers of the log before it lets the log grow on: our own take milliseconds.
const RESTART_WAIT: Duration = Duration::from_millis(100);

/// The writer's hold on the checkpointing thread.
pub(super) struct Checkpointer {
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
    condition: watch::Sender<Condition>,
    /// Held by whoever checkpoints: SQLite would not wait for another's checkpoint, but fail.
    turn: Arc<Mutex<()>>,
    /// The log's length when a checkpoint was last asked for.
    asked_at: i64,
}

/// Starts the thread for the register at `path`.
pub(super) fn start(
    path: &Path,
    condition: watch::Sender<Condition>,
) -> Result<Checkpointer, Cause> {
    let cause = |error| Arc::new(error) as Cause;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(cause)?;
    make_durable(&connection).map_err(cause)?;
    let turn = Arc::new(Mutex::new(()));
    // One waiting wake-up says as much as many.
    let (wake, woken) = mpsc::sync_channel(1);
    let (turns, reports) = (Arc::clone(&turn), condition.clone());
    let run = move || {
        while woken.recv().is_ok() && *reports.borrow() == Condition::Good {
            let _turn = turns.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = run(&connection, "PASSIVE") {
                report(&error, &reports);
            }
        }
    };
    let thread = thread::Builder::new().name("checkpoint".into()).spawn(run);
    Ok(Checkpointer {
        wake,
        thread: thread.map_err(|error| Arc::new(error) as Cause)?,
        condition,
        turn,
        asked_at: 0,
    })
}

impl Checkpointer {
    /// Says that `connection` has committed. Waits only when the log has become too long.
    pub(super) fn committed(&mut self, connection: &Connection) {
        if let Err(error) = self.keep_short(connection) {
            report(&error, &self.condition);
        }
    }

    fn keep_short(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        // NOOP only counts; SQLite has it since 3.51.
        let pages = run(connection, "NOOP")?;
        if pages < self.asked_at {
            self.asked_at = 0; // the log has started over
        }
        if pages < self.asked_at + CHECKPOINT_EVERY_PAGES {
            return Ok(());
        }
        self.asked_at = pages;
        if pages <= LONGEST_LOG_PAGES {
            let _ = self.wake.try_send(());
            return Ok(());
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else's long read must not hold the creates: the log grows until it ends.
        connection.busy_timeout(RESTART_WAIT)?;
        let restarted = run(connection, "RESTART").map(|_| ());
        connection.busy_timeout(LOCK_WAIT)?;
        restarted
    }

    /// Ends the thread and waits for it.
    pub(super) fn end(self) {
        drop(self.wake);
        if self.thread.join().is_err() {
            tracing::error!("the checkpointing thread panicked");
        }
    }
}

/// Moves the whole log into the database, durably, and empties it.
pub(super) fn truncate(connection: &Connection) -> rusqlite::Result<()> {
    run(connection, "TRUNCATE").map(|_| ())
}

/// The length of the log, in pages, once the checkpoint is done.
fn run(connection: &Connection, mode: &str) -> rusqlite::Result<i64> {
    let mut checkpoint = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    checkpoint.query_row([], |row| row.get(1))
}

fn report(error: &rusqlite::Error, condition: &watch::Sender<Condition>) {
    if is_sync_failure(error) {
        let reason = format!("could not make a checkpoint durable: {error}");
        tracing::error!("{reason}; nothing is written until shippy is started again");
        condition.send_replace(Condition::WritesStopped(reason));
    } else {
        // The log keeps what was committed; the next one tries again.
        tracing::warn!("could not move the log into the register: {error}");
    }
}
