//! How far the filter index is behind its register.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags};

/// How long the index may take until it has caught up with creates that have ended.
pub(crate) const CATCH_UP_LIMIT: Duration = Duration::from_secs(2);
/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The newest consignments, fewer than these, are indexed in the server's memory and are in no file yet.
const SEGMENT: u64 = 16 * 1024;

/// How the index stood when creates ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lag {
    /// Consignments that were not in its file yet.
    pub(crate) behind: u64,
    /// How long it took until all but the newest, which are in memory, were.
    pub(crate) caught_up: Duration,
}

/// How many of the register's consignments are not in its index's file; `None` where that cannot be read.
pub(crate) fn behind(register: &Path) -> Option<u64> {
    let index = PathBuf::from(format!("{}.index", register.display()));
    let last = number(register, "SELECT ifnull(max(sequence), 0) FROM consignment")?;
    let folded = if index.exists() {
        number(&index, "SELECT watermark FROM origin")?
    } else {
        0
    };
    Some(last.saturating_sub(folded))
}

fn number(path: &Path, query: &str) -> Option<u64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    connection.query_row(query, [], |row| row.get(0)).ok()
}

/// How far the index is behind now, and how long it takes to catch up; `None` where that cannot be read.
pub(crate) fn watch(register: &Path) -> Option<Lag> {
    let begun = Instant::now();
    let mut first = None;
    while begun.elapsed() < PATIENCE {
        if let Some(now) = behind(register) {
            let behind = *first.get_or_insert(now);
            if now < SEGMENT {
                let caught_up = begun.elapsed();
                return Some(Lag { behind, caught_up });
            }
        }
        // It cannot be read for a moment while it is made, either.
        thread::sleep(LOOK_AGAIN);
    }
    first.map(|behind| Lag {
        behind,
        caught_up: begun.elapsed(),
    })
}
