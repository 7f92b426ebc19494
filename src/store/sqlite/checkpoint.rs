//! Moves the write-ahead log into the database beside the writer, so that no create waits for it.
//!
//! A passive checkpoint takes no lock that a commit needs, but the log starts over only when everything in it has been
//! moved, which a writer that never pauses prevents. So the writer moves the last few pages itself, once the thread has
//! moved the rest: then its next commit writes over the log's beginning, which takes the disk half as long as growing
//! it. Where readers keep that from happening, past a bound the writer moves what is left and waits for them
//! (<https://www.sqlite.org/wal.html#ckpt>). Another thread could not: between two commits the lock is free for too
//! short a time for SQLite's polling to find it so.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
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
    settled::Settled,
};
use crate::store::{Cause, Condition};

/// How much the log grows between two checkpoints, in pages of 4 KiB: 16 MiB. The end of the table and of its index is
/// written again by each commit and moved once by each checkpoint, so a shorter log means more to move.
const CHECKPOINT_EVERY_PAGES: i64 = 4_000;
/// Most pages that the writer moves by itself: about a millisecond's work.
const LAST_PAGES: i64 = 256;
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
    settling: Settling,
    /// Held by whoever checkpoints: SQLite would not wait for another's checkpoint, but fail.
    turn: Arc<Mutex<()>>,
    /// The log's length in pages, as the last commit left it.
    log_pages: Arc<AtomicI64>,
    /// How many pages of the log the thread has moved, once it is done; 0 until then.
    moved: Arc<AtomicI64>,
    /// The log's length when the thread was last woken, or restarting the log was last tried.
    tried_at: i64,
    /// How much of it had been moved when the thread was last done.
    moved_before: i64,
}

/// Moves the log, and says what is settled then.
#[derive(Clone)]
pub(super) struct Settling {
    /// The last sequence number that is committed.
    pub(super) newest: watch::Receiver<u64>,
    pub(super) settled: Arc<Settled>,
}

impl Settling {
    /// How many pages of the log have been moved once the checkpoint is done.
    fn run(&self, connection: &Connection, mode: &str) -> rusqlite::Result<i64> {
        let newest = *self.newest.borrow();
        let moved = run(connection, mode)?;
        if moved.is_all {
            self.settled.moved(newest);
        }
        Ok(moved.pages)
    }
}

/// Starts the thread for the register at `path`, of which `writer` is the only connection that writes.
pub(super) fn start(
    path: &Path,
    writer: &mut Connection,
    condition: watch::Sender<Condition>,
    settling: Settling,
) -> Result<Checkpointer, Cause> {
    let cause = |error| Arc::new(error) as Cause;
    let log_pages = Arc::new(AtomicI64::new(0));
    let counted = Arc::clone(&log_pages);
    let count = move |_: &mut _, pages| {
        counted.store(i64::from(pages), Ordering::Relaxed);
        Ok(())
    };
    writer.wal_hook(Some(count)).map_err(cause)?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(cause)?;
    make_durable(&connection).map_err(cause)?;
    let turn = Arc::new(Mutex::new(()));
    let moved = Arc::new(AtomicI64::new(0));
    // One waiting wake-up says as much as many.
    let (wake, woken) = mpsc::sync_channel(1);
    let (turns, reports, done) = (Arc::clone(&turn), condition.clone(), Arc::clone(&moved));
    let moving = settling.clone();
    let run = move || {
        while woken.recv().is_ok() && *reports.borrow() == Condition::Good {
            let _turn = turns.lock().unwrap_or_else(PoisonError::into_inner);
            match moving.run(&connection, "PASSIVE") {
                Ok(pages) => done.store(pages, Ordering::Release),
                Err(error) => report(&error, &reports),
            }
        }
    };
    let thread = thread::Builder::new().name("checkpoint".into()).spawn(run);
    Ok(Checkpointer {
        wake,
        thread: thread.map_err(|error| Arc::new(error) as Cause)?,
        condition,
        settling,
        turn,
        log_pages,
        moved,
        tried_at: 0,
        moved_before: 0,
    })
}

impl Checkpointer {
    /// Says that `connection` has committed. Waits only for the last few pages, or when the log has become too long.
    pub(super) fn committed(&mut self, connection: &Connection) {
        if let Err(error) = self.keep_short(connection) {
            report(&error, &self.condition);
        }
    }

    fn keep_short(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < self.tried_at {
            // The log has started over.
            self.tried_at = 0;
            self.moved_before = 0;
        }
        if pages > self.tried_at + CHECKPOINT_EVERY_PAGES {
            self.tried_at = pages;
            if pages > LONGEST_LOG_PAGES {
                return self.restart(connection);
            }
            self.wake();
            return Ok(());
        }
        let moved = self.moved.swap(0, Ordering::Acquire);
        if moved == 0 {
            return Ok(());
        }
        let advanced = moved - self.moved_before;
        self.moved_before = moved;
        if pages - moved <= LAST_PAGES {
            return self.move_last(connection);
        }
        // Many more came while the thread was at work: the rest takes it less time, and so on. Where it did not get on,
        // somebody reads what is left.
        if advanced > LAST_PAGES {
            self.wake();
        }
        Ok(())
    }

    fn wake(&self) {
        let _ = self.wake.try_send(());
    }

    /// Moves what is left, so that the next commit begins the log anew, unless a reader still needs it.
    fn move_last(&self, connection: &Connection) -> rusqlite::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.settling.run(connection, "PASSIVE").map(|_| ())
    }

    /// Begins the log anew, waiting for readers.
    fn restart(&self, connection: &Connection) -> rusqlite::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else's long read must not hold the creates: the log grows until it ends.
        connection.busy_timeout(RESTART_WAIT)?;
        let restarted = self.settling.run(connection, "RESTART").map(|_| ());
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

/// What a checkpoint has done.
#[derive(Debug, Clone, Copy)]
struct Moved {
    pages: i64,
    /// Whether the log had no more when it began.
    is_all: bool,
}

/// Moves the whole log into the database, durably, and empties it; whether nobody was in the way.
pub(super) fn truncate(connection: &Connection) -> rusqlite::Result<bool> {
    run(connection, "TRUNCATE").map(|moved| moved.is_all)
}

fn run(connection: &Connection, mode: &str) -> rusqlite::Result<Moved> {
    let mut checkpoint = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    checkpoint.query_row([], |row| {
        let (is_busy, log, pages): (bool, i64, i64) = row.try_into()?;
        Ok(Moved {
            pages,
            // Both are -1 where there is no log.
            is_all: !is_busy && log >= 0 && pages == log,
        })
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
