//! A register in one SQLite file: the embedded store.
//!
//! One thread writes and commits for everybody who waits (group commit), another moves the write-ahead log into the
//! database, and readers have connections of their own. WAL with `synchronous=FULL`: a commit returns after its
//! fsync (<https://www.sqlite.org/pragma.html#pragma_synchronous>).

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use rusqlite::{ErrorCode, Row, ffi};
use tokio::sync::{mpsc, watch};

use self::{
    checkpoint::Settling,
    index::Index,
    readers::{Reader, Readers},
    settled::Settled,
};
use super::{
    Condition, NewConsignment, OpenError, Outcome, Page, Prospect, Receipt, Scan, Store,
    StoreError, StoredConsignment,
    queue::{Queue, QueueBound},
};
use crate::metrics::gauge;

pub mod backup;
mod btree;
mod checkpoint;
mod connect;
pub mod existing;
mod file_system;
mod index;
mod leaves;
mod lock;
mod open;
mod prospect;
mod readers;
mod scan;
mod settled;
pub mod verify;
mod writer;

/// How long one list reads on before other scans have their turn, but for the page that it is at.
const TURN: Duration = Duration::from_millis(10);

/// A register in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    register: String,
    queue: Queue,
    newest: watch::Receiver<u64>,
    condition: watch::Receiver<Condition>,
    readers: Arc<Readers>,
    index: Arc<Index>,
}

impl SqliteStore {
    /// Opens the register at `path`, or makes a new one there, its folder included. While it is open no other
    /// process can open it, which locks on `path` + `.lock` and on the file itself see to.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing of what is at `path` has been changed then.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_bounded(path, QueueBound::default())
    }

    /// What [`SqliteStore::open`] would find at `path`. Nothing is made or changed there; the log that SQLite needs to
    /// read is gone again afterwards.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: that of opening it.
    pub fn prospect(path: &Path) -> Result<Prospect, OpenError> {
        prospect::of(path)
    }

    /// As [`SqliteStore::open`], with a bound of its own on what may wait for the writer.
    ///
    /// # Errors
    ///
    /// As [`SqliteStore::open`].
    pub fn open_bounded(path: &Path, bound: QueueBound) -> Result<Self, OpenError> {
        Self::open_with(path, bound, index::SEGMENT_ROWS)
    }

    /// The same with segments of the filter index of at most `rows` records.
    fn open_with(path: &Path, bound: QueueBound, rows: u32) -> Result<Self, OpenError> {
        let mut opened = open::open(path)?;
        let (condition_sender, condition) = watch::channel(Condition::Good);
        let (queue, tasks) = Queue::new(bound);
        let (newest_sender, newest) = watch::channel(opened.last_sequence);
        let engine = |cause| OpenError::Engine {
            path: path.to_owned(),
            cause,
        };
        let file = opened.lock.file.as_ref();
        let settled = Settled::new(&opened.path, file, opened.settled_through);
        let settled = Arc::new(settled);
        let readers = Readers::new(opened.path.clone(), Arc::clone(&settled));
        let settling = Settling {
            newest: newest.clone(),
            settled,
        };
        let checkpointer = checkpoint::start(
            &opened.path,
            &mut opened.connection,
            condition_sender.clone(),
            settling,
        )
        .map_err(engine)?;
        writer::start(
            opened.connection,
            opened.lock,
            checkpointer,
            newest_sender,
            condition_sender,
            tasks,
            queue.meters.clone(),
        )
        .map_err(engine)?;
        let index = Index::start(&opened.path, &opened.register, newest.clone(), rows);
        let index = Arc::new(index.map_err(engine)?);
        Ok(Self {
            register: opened.register,
            queue,
            newest,
            condition,
            readers: Arc::new(readers),
            index,
        })
    }
}

/// Two threads must never write one index, so its thread ends before the writer lets go of the register's lock.
impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.index.end();
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn register(&self) -> &str {
        &self.register
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn append(&self, batch: Vec<NewConsignment>) -> Result<Vec<Outcome>, StoreError> {
        self.queue.append(batch).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        let (scan, index) = (scan.clone(), Arc::clone(&self.index));
        Arc::clone(&self.readers)
            .read(move |reader| scan::scan(reader, &index, &scan))
            .await
    }

    async fn scan_on(
        &self,
        mut scan: Scan,
        pages: &mpsc::Sender<Page>,
    ) -> Result<Option<Scan>, StoreError> {
        let (pages, index) = (pages.clone(), Arc::clone(&self.index));
        let read = move |reader: &mut Reader| {
            let begun = Instant::now();
            while begun.elapsed() < TURN {
                let Ok(room) = pages.try_reserve() else {
                    break;
                };
                let page = scan::scan(reader, &index, &scan)?;
                let goes_on = scan.pass(&page);
                room.send(page);
                if !goes_on {
                    return Ok(None);
                }
            }
            Ok(Some(scan))
        };
        Arc::clone(&self.readers).read(read).await
    }

    async fn last_sequence(&self) -> Result<u64, StoreError> {
        Ok(*self.newest.borrow())
    }

    fn newest(&self) -> watch::Receiver<u64> {
        self.newest.clone()
    }

    fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.clone()
    }

    fn measure(&self, registry: &mut Registry) {
        self.queue.measure(registry);
        let (index, newest) = (Arc::clone(&self.index), self.newest.clone());
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        let lag = move || Some(newest.borrow().saturating_sub(index.read_through()?) as f64);
        gauge(
            registry,
            "shippy_index_lag_records",
            "Consignments that the filter index has not read yet",
            lag,
        );
    }

    async fn close(&self) {
        // The writer is the last to let go of the file, so that it takes the log away.
        self.readers.close().await;
        let index = Arc::clone(&self.index);
        // An error says that the runtime is going, and the store then ends the thread when it is dropped.
        let _ = tokio::task::spawn_blocking(move || index.end()).await;
        self.queue.close().await;
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<StoredConsignment> {
    Ok(StoredConsignment {
        receipt: Receipt {
            sequence: row.get(0)?,
            created_at: row.get(1)?,
            created_by: row.get::<_, Option<Arc<str>>>(3)?,
        },
        body: row.get::<_, Vec<u8>>(2)?.into(),
    })
}

/// What an error of the engine means to those who asked.
fn store_error(error: rusqlite::Error) -> StoreError {
    if let rusqlite::Error::FromSqlConversionFailure(..) = error {
        return StoreError::Damaged(Arc::new(error));
    }
    match error.sqlite_error() {
        Some(&failure) if is_full(failure) => StoreError::Full(Arc::new(error)),
        Some(failure)
            if matches!(
                failure.code,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
            ) =>
        {
            StoreError::Damaged(Arc::new(error))
        }
        _ => StoreError::Engine(Arc::new(error)),
    }
}

/// The shared-memory file beside the database also needs room, and says so in a code of its own.
fn is_full(failure: ffi::Error) -> bool {
    failure.code == ErrorCode::DiskFull || failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE
}

/// Whether `error` says that the system could not make writes durable. The system may since have dropped them from
/// its cache, so that trying again would succeed without them ever reaching the disk.
fn is_sync_failure(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|failure| {
        matches!(
            failure.extended_code,
            ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC
        )
    })
}
