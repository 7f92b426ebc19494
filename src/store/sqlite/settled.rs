//! What of a register's file is not written any more.
//!
//! Rows are only added, behind the others, and SQLite moves none of them once the page that it is on has another behind
//! it: then that page stays as it is. From the first checkpoint on that has moved all of the log, it is in the file.

use std::{
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use super::lock::Locked;

/// What of a register's file is as it will stay.
#[derive(Debug)]
pub(super) struct Settled {
    /// It belongs to whoever holds the lock on it, as closing it is not without effect.
    file: Weak<Locked>,
    /// All records up to this sequence number have been moved into the file.
    through: AtomicU64,
}

impl Settled {
    /// In the register at `path` that is opened, once its log has been moved with all records up to `through`. Without its
    /// `file` nothing is known to be settled, nor where somebody has put another in its place meanwhile.
    pub(super) fn new(path: &Path, file: Option<&Arc<Locked>>, through: u64) -> Self {
        let file = file.filter(|file| file.is_at(path));
        Self {
            file: file.map(Arc::downgrade).unwrap_or_default(),
            through: AtomicU64::new(through),
        }
    }

    /// Says that all records up to `through` have been moved into the file.
    pub(super) fn moved(&self, through: u64) {
        self.through.fetch_max(through, Ordering::Release);
    }

    /// The file, and the last record that has been moved into it: settled is each page that was not the last one then,
    /// which is to say, whose last record comes before it.
    pub(super) fn look(&self) -> Option<(Arc<Locked>, u64)> {
        let through = self.through.load(Ordering::Acquire);
        self.file.upgrade().map(|file| (file, through))
    }
}
