//! The filter index: which records may meet a filter, so that a scan need not read all of them.
//!
//! It follows behind the register. A thread of its own reads what was committed into a segment in memory, the tail,
//! and folds each full segment into the index's file. A scan asks the file for what is folded, the tail for what
//! follows, and searches the rest, which the thread has not read yet, record by record; it looks at each record that
//! is proposed. So the index makes a scan faster and never decides what is found: it may lag, be missing or be made
//! anew at any time.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread::{self, JoinHandle},
};

use tokio::sync::watch;

pub(super) use self::{
    check::IndexCheck,
    file::{Lookup, corrupt},
};
use self::{
    file::may_pass,
    follow::Follower,
    segment::{Builder, Fingerprint, in_all},
};
use crate::store::{Cause, Filter};

mod check;
mod file;
mod follow;
mod segment;
#[cfg(test)]
mod tests;

/// Most records of a segment: few enough that their postings are gathered in memory and read again soon after a start.
pub(super) const SEGMENT_ROWS: u32 = 16 * 1024;

/// The index as scans see it, and the hold on its thread.
#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the scans and the thread share.
#[derive(Debug)]
struct Shared {
    /// `None` until the thread has looked at what there is.
    tail: RwLock<Option<Tail>>,
    orders: watch::Sender<Orders>,
}

/// What the thread is told.
#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    stop: bool,
    /// Fold and gather nothing for now.
    #[cfg(test)]
    pause: bool,
    distrusted: Option<Distrusted>,
}

/// An index that a scan could not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Distrusted {
    seed: u64,
    /// It cannot get better by itself.
    is_damaged: bool,
}

/// What is gathered but not folded.
#[derive(Debug)]
struct Tail {
    /// Of the index that it belongs to.
    seed: u64,
    /// All up to this sequence number is in the file.
    start: u64,
    builder: Builder,
}

impl Tail {
    fn through(&self) -> u64 {
        self.start + u64::from(self.builder.rows())
    }
}

impl Shared {
    fn tail(&self) -> RwLockReadGuard<'_, Option<Tail>> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tail_mut(&self) -> RwLockWriteGuard<'_, Option<Tail>> {
        self.tail.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// Starts the thread for the register with the id `register` at `path`, whose newest sequence number `newest`
    /// tells, with segments of `rows` records. The index's file is beside it.
    pub(super) fn start(
        path: &Path,
        register: &str,
        newest: watch::Receiver<u64>,
        rows: u32,
    ) -> Result<Self, Cause> {
        let mut name = path.as_os_str().to_owned();
        name.push(".index");
        let index = PathBuf::from(name);
        let shared = Arc::new(Shared {
            tail: RwLock::default(),
            orders: watch::channel(Orders::default()).0,
        });
        let follower = Follower::new(path, &index, register, newest, Arc::clone(&shared), rows);
        let thread = thread::Builder::new()
            .name("index".into())
            .spawn(|| follower.run())
            .map_err(|error| Arc::new(error) as Cause)?;
        Ok(Self {
            path: index,
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// What the index can say about `filter` at this moment; `None` when that is nothing.
    pub(super) fn view(&self, filter: &Filter) -> Option<View> {
        let texts = filter.texts();
        // The empty text stands for what is absent, which has no postings.
        let texts = texts.map(|(kind, text)| Some(kind).zip(text.filter(|text| !text.is_empty())));
        let texts = texts.into_iter().flatten();
        let has_time = filter.created_from.is_some() || filter.created_until.is_some();
        if !has_time && texts.clone().next().is_none() {
            return None;
        }
        let tail = self.shared.tail();
        let tail = tail.as_ref()?;
        let distrusted = self.shared.orders.borrow().distrusted;
        if distrusted.is_some_and(|distrusted| distrusted.seed == tail.seed) {
            return None;
        }
        let wanted: Vec<_> = texts
            .map(|(kind, text)| Fingerprint::new(tail.seed, kind, text))
            .collect();
        let is_outside = tail
            .builder
            .period()
            .is_none_or(|period| !period.meets(filter));
        let rows = if is_outside {
            Rows::These(Vec::new())
        } else {
            Rows::of(&wanted, |one| Ok::<_, ()>(tail.builder.rows_of(one))).unwrap_or(Rows::All)
        };
        Some(View {
            path: self.path.clone(),
            seed: tail.seed,
            start: tail.start,
            tail: Piece {
                first: tail.start + 1,
                last: tail.through(),
                rows,
            },
            wanted,
        })
    }

    /// Up to where the register has been read; `None` while the thread looks at what there is.
    pub(super) fn read_through(&self) -> Option<u64> {
        self.shared.tail().as_ref().map(Tail::through)
    }

    /// Says that the index of `view` could not be read. Until the thread has looked after it, it is not used.
    pub(super) fn distrust(&self, view: &View, error: &rusqlite::Error) {
        let distrusted = Distrusted {
            seed: view.seed,
            is_damaged: !may_pass(error),
        };
        let is_new = self
            .shared
            .orders
            .send_if_modified(|orders| orders.distrusted.replace(distrusted) != Some(distrusted));
        if is_new {
            let path = self.path.display();
            tracing::warn!("could not read the filter index {path}, searched without it: {error}");
        }
    }

    /// Ends the thread and waits for it; a fold under way is abandoned.
    pub(super) fn end(&self) {
        self.shared.orders.send_modify(|orders| orders.stop = true);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the indexing thread panicked");
        }
    }
}

/// A run of records, from `first` to `last`, and which of them may meet a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) rows: Rows,
}

/// Which records of a [`Piece`] to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rows {
    All,
    /// Those with these places in it, ascending from 0.
    These(Vec<u32>),
}

impl Rows {
    /// Those that have all of `wanted`.
    fn of<E>(
        wanted: &[Fingerprint],
        rows_of: impl Fn(Fingerprint) -> Result<Vec<u32>, E>,
    ) -> Result<Self, E> {
        if wanted.is_empty() {
            return Ok(Self::All);
        }
        let mut lists = Vec::new();
        for &one in wanted {
            let rows = rows_of(one)?;
            if rows.is_empty() {
                return Ok(Self::These(rows));
            }
            lists.push(rows);
        }
        Ok(Self::These(in_all(lists)))
    }
}

/// What the index says about one filter, as of a moment.
#[derive(Debug)]
pub(super) struct View {
    path: PathBuf,
    seed: u64,
    /// All up to this sequence number is in the file.
    start: u64,
    tail: Piece,
    wanted: Vec<Fingerprint>,
}

impl View {
    /// Whether a scan of what comes after `after` asks the file.
    pub(super) fn asks_file(&self, after: u64) -> bool {
        after < self.start
    }

    /// A connection to the file, `kept` being the one of the scan before; `None` when the file is no longer the one
    /// that this view is of.
    pub(super) fn lookup<'l>(
        &self,
        kept: &'l mut Option<Lookup>,
    ) -> rusqlite::Result<Option<&'l Lookup>> {
        if kept.as_ref().is_none_or(|kept| kept.seed() != self.seed) {
            *kept = Some(Lookup::open(&self.path)?);
        }
        Ok(kept.as_ref().filter(|kept| kept.seed() == self.seed))
    }

    /// The piece that holds `sequence`; `lookup` is there where the file is to be asked.
    pub(super) fn piece(
        &self,
        sequence: u64,
        filter: &Filter,
        lookup: Option<&Lookup>,
    ) -> rusqlite::Result<Piece> {
        if sequence > self.tail.last {
            return Ok(Piece {
                first: self.tail.last + 1,
                last: u64::MAX,
                rows: Rows::All,
            });
        }
        if sequence > self.start {
            return Ok(self.tail.clone());
        }
        let lookup = lookup.ok_or_else(|| corrupt("it was not opened"))?;
        let segment = lookup.segment_at(sequence)?;
        let rows = if segment.period.meets(filter) {
            Rows::of(&self.wanted, |one| lookup.rows(&segment, one))?
        } else {
            Rows::These(Vec::new())
        };
        Ok(Piece {
            first: segment.first,
            last: segment.last,
            rows,
        })
    }
}
