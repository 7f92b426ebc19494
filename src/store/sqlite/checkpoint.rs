//! Moves the write-ahead log into the database beside the writer, so that no create waits for it.
//!
//! A passive checkpoint takes no lock that a commit needs, but the log starts over only when everything in it has been
//! moved, which a writer that never pauses prevents; past a bound the writer is held for that moment
//! (<https://www.sqlite.org/wal.html#ckpt>).

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{self, SyncSender},
    },
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use tokio::sync::watch;

use super::{connect, is_sync_failure, open::make_durable};
use crate::store::{Cause, Condition};

/// What is committed between two checkpoints, in bytes: SQLite's own default of about 1,000 pages.
const CHECKPOINT_EVERY_BYTES: usize = 4 * 1024 * 1024;
/// The log's length, in pages of 4 KiB, past which the writer is held until the log starts over: 64 MiB, which a start
/// after a crash reads in about a tenth of a second.
const LONGEST_LOG_PAGES: i64 = 16 * 1024;

/// The writer's hold on the checkpointing thread.
pub(super) struct Checkpointer {
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
    uncounted: usize,
}

/// Starts the thread for the register at `path`.
pub(super) fn start(
    path: &Path,
    condition: watch::Sender<Condition>,
) -> Result<Checkpointer, Cause> {
    let cause = |error| Arc::new(error) as Cause;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(cause)?;
    set_up(&connection).map_err(cause)?;
    // One waiting wake-up says as much as many.
    let (wake, woken) = mpsc::sync_channel(1);
    let run = move || {
        while woken.recv().is_ok() && *condition.borrow() == Condition::Good {
            if let Err(error) = checkpoint(&connection) {
                report(&error, &condition);
            }
        }
    };
    let thread = thread::Builder::new().name("checkpoint".into()).spawn(run);
    Ok(Checkpointer {
        wake,
        thread: thread.map_err(|error| Arc::new(error) as Cause)?,
        uncounted: 0,
    })
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    make_durable(connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(())
}

impl Checkpointer {
    /// Says that about so many bytes were committed.
    pub(super) fn committed(&mut self, bytes: usize) {
        self.uncounted += bytes;
        if self.uncounted >= CHECKPOINT_EVERY_BYTES {
            self.uncounted = 0;
            let _ = self.wake.try_send(());
        }
    }

    /// Ends the thread and waits for it.
    pub(super) fn end(self) {
        drop(self.wake);
        if self.thread.join().is_err() {
            tracing::error!("the checkpointing thread panicked");
        }
    }
}

fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    let pages = run(connection, "PASSIVE")?;
    if pages > LONGEST_LOG_PAGES {
        run(connection, "RESTART")?;
    }
    Ok(())
}

/// Moves the whole log into the database and empties it.
pub(super) fn truncate(connection: &Connection) -> rusqlite::Result<()> {
    run(connection, "TRUNCATE").map(|_| ())
}

/// The length of the log, in pages.
fn run(connection: &Connection, mode: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        row.get(1)
    })
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
