//! A register in one SQLite file: the embedded store.
//!
//! One thread writes and commits for everybody who waits (group commit), another moves the write-ahead log into the
//! database, and readers have connections of their own. WAL with `synchronous=FULL`: a commit returns after its
//! fsync (<https://www.sqlite.org/pragma.html#pragma_synchronous>).

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use prost::DecodeError;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, ffi, types::Type};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::{
    connect::connect,
    writer::{Append, Task},
};
use super::{
    Condition, NewConsignment, OpenError, Outcome, Page, PageBuilder, Receipt, Scan, Store,
    StoreError, StoredConsignment,
};

mod checkpoint;
mod connect;
mod open;
mod writer;

/// What may wait for the writer, in bytes: several seconds of the fastest disk's work, and a bound on memory.
const QUEUE_BYTES: usize = 32 * 1024 * 1024;
/// What a waiting consignment takes beside its text: its queue entry, its ids and its reply.
const QUEUE_OVERHEAD_BYTES: usize = 256;
/// Readers at work at once; more would only share the same cores and each keeps a page cache.
const READERS: u32 = 4;
/// Each reader's page cache in KiB. A list reads each page once, so a larger one would only hold memory.
const READER_CACHE_KIB: i64 = 512;

/// A register in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    register: String,
    tasks: mpsc::UnboundedSender<Task>,
    /// Bounds what waits in `tasks`.
    queue: Arc<Semaphore>,
    newest: watch::Receiver<u64>,
    condition: watch::Receiver<Condition>,
    readers: Arc<Readers>,
}

impl SqliteStore {
    /// Opens the register at `path`, or makes a new one there, its folder included. While it is open no other
    /// process can open it, which a lock on `path` + `.lock` sees to.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing of what is at `path` has been changed then.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let opened = open::open(path)?;
        let (condition_sender, condition) = watch::channel(Condition::Good);
        let (tasks, queue) = mpsc::unbounded_channel();
        let (newest_sender, newest) = watch::channel(opened.last_sequence);
        let readers = Readers::new(opened.path.clone());
        let engine = |cause| OpenError::Engine {
            path: path.to_owned(),
            cause,
        };
        let checkpointer =
            checkpoint::start(&opened.path, condition_sender.clone()).map_err(engine)?;
        writer::start(
            opened.connection,
            opened.lock,
            checkpointer,
            newest_sender,
            condition_sender,
            queue,
        )
        .map_err(engine)?;
        Ok(Self {
            register: opened.register,
            tasks,
            queue: Arc::new(Semaphore::new(QUEUE_BYTES)),
            newest,
            condition,
            readers: Arc::new(readers),
        })
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
        let bytes: usize = (batch.iter())
            .map(|new| new.body.len() + QUEUE_OVERHEAD_BYTES)
            .sum();
        let permits = u32::try_from(bytes.min(QUEUE_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.queue)
            .try_acquire_many_owned(permits)
            .map_err(|_| StoreError::Busy)?;
        let (reply, answer) = oneshot::channel();
        self.tasks
            .send(Task::Append(Append { batch, reply, room }))
            .map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        let scan = scan.clone();
        Arc::clone(&self.readers)
            .read(move |connection| {
                if scan.ids.is_empty() {
                    scan_range(connection, &scan)
                } else {
                    scan_ids(connection, &scan)
                }
            })
            .await
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

    async fn close(&self) {
        // The writer is the last to let go of the file, so that it takes the log away.
        self.readers.close().await;
        let (reply, closed) = oneshot::channel();
        if self.tasks.send(Task::Close(reply)).is_ok() {
            // An error says that the writer has ended, which is what was asked.
            let _ = closed.await;
        }
    }
}

/// Connections that only read, each used by one scan at a time.
#[derive(Debug)]
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(READERS as usize)),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read<T: Send + 'static>(
        self: Arc<Self>,
        act: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        tokio::task::spawn_blocking(move || {
            // The scan goes on when nobody waits for it any more, so it keeps the permit itself.
            let _permit = permit;
            let idle = self.idle().pop();
            let connection = idle.map_or_else(|| self.connect(), Ok)?;
            let result = act(&connection);
            self.idle().push(connection);
            result
        })
        .await
        .map_err(|panic| StoreError::Engine(Arc::new(panic)))?
        .map_err(store_error)
    }

    /// Waits for the scans under way and refuses those that come later.
    async fn close(&self) {
        let all = self.permits.acquire_many(READERS).await;
        self.permits.close();
        drop(all);
        self.idle().clear();
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = connect(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
        Ok(connection)
    }
}

fn scan_range(connection: &Connection, scan: &Scan) -> rusqlite::Result<Page> {
    let mut select = connection.prepare_cached(if scan.newest_first {
        "SELECT sequence, created_at, body FROM consignment
         WHERE sequence > ?1 AND sequence <= ?2 ORDER BY sequence DESC"
    } else {
        "SELECT sequence, created_at, body FROM consignment
         WHERE sequence > ?1 AND sequence <= ?2 ORDER BY sequence"
    })?;
    // What SQLite cannot count to is past every end.
    let [after, through] = [scan.after, scan.through].map(|s| i64::try_from(s).unwrap_or(i64::MAX));
    let mut rows = select.query((after, through))?;
    let mut page = PageBuilder::new(scan);
    while let Some(row) = rows.next()? {
        if !page.has_room() {
            break;
        }
        page.offer(record(row)?).map_err(damaged)?;
    }
    Ok(page.finish())
}

fn scan_ids(connection: &Connection, scan: &Scan) -> rusqlite::Result<Page> {
    let mut find = connection.prepare_cached("SELECT sequence FROM consignment WHERE id = ?1")?;
    let mut select = connection
        .prepare_cached("SELECT sequence, created_at, body FROM consignment WHERE sequence = ?1")?;
    let mut sequences = Vec::new();
    for id in &scan.ids {
        let sequence: Option<u64> = find.query_row([id], |row| row.get(0)).optional()?;
        sequences.extend(sequence.filter(|&s| s > scan.after && s <= scan.through));
    }
    sequences.sort_unstable();
    sequences.dedup();
    if scan.newest_first {
        sequences.reverse();
    }
    let mut page = PageBuilder::new(scan);
    for sequence in sequences {
        if !page.has_room() {
            break;
        }
        page.offer(select.query_row([sequence], record)?)
            .map_err(damaged)?;
    }
    Ok(page.finish())
}

/// A body that is no consignment, as the engine would tell it.
fn damaged(error: DecodeError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(2, Type::Blob, Box::new(error))
}

fn record(row: &Row<'_>) -> rusqlite::Result<StoredConsignment> {
    Ok(StoredConsignment {
        receipt: Receipt {
            sequence: row.get(0)?,
            created_at: row.get(1)?,
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
