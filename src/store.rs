//! Where a register's consignments are kept.

use std::{
    error::Error,
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};

use crate::traces::Trace;

mod filter;
mod log;
pub mod memory;
mod meters;
mod page;
pub mod postgres;
mod queue;
mod replies;
pub mod sqlite;
mod texts;
mod traced;

pub use filter::Filter;
pub use page::{PAGE_BYTES, PAGE_RECORDS, PAGE_SEARCHED, Page, Records};
use page::{PageBuilder, Record};
pub use queue::{QUEUE_BYTES, QueueBound};
pub use texts::MalformedBody;

/// A register's consignments: an append-only sequence, each under an id of its own.
///
/// Sequence numbers are 1, 2, 3 … without gaps, in the order of commits. What [`append`](Self::append) has answered
/// for is durable and is seen by every scan that begins afterwards.
#[async_trait]
pub trait Store: Send + Sync {
    /// The register's id. It never changes and no other register has it.
    fn register(&self) -> &str;

    /// Whether other servers can serve the same register at the same time.
    fn is_shared(&self) -> bool;

    /// Stores those members of `batch` that are new and says of each, in order, what became of it. Returns when they
    /// are durable. Dropping the future does not undo anything. Once polled it is to be polled to its end or dropped: the
    /// answers of others may come through it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: whether anything was stored is then unknown, except where the variant says that nothing was.
    /// Appending the same batch again is safe.
    async fn append(&self, batch: Vec<NewConsignment>) -> Result<Vec<Outcome>, StoreError>;

    /// The next page of what `scan` asks for, in its order: up to [`PAGE_RECORDS`] records or about [`PAGE_BYTES`], out
    /// of up to [`PAGE_SEARCHED`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the records could not be read.
    async fn scan(&self, scan: &Scan) -> Result<Page, StoreError>;

    /// Sends the next pages of what `scan` asks for, as [`Store::scan`] finds them: at least one where `pages` has room, and
    /// more as long as it has and no other scan has waited for long; what is left to read then, `None` when nothing is.
    /// Whoever reads many pages waits for each of them less than if it asked for one after the other.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the records could not be read that come after those that were sent.
    async fn scan_on(
        &self,
        mut scan: Scan,
        pages: &mpsc::Sender<Page>,
    ) -> Result<Option<Scan>, StoreError> {
        let page = self.scan(&scan).await?;
        let goes_on = scan.pass(&page);
        // An error says that nobody takes pages any more, as the next one will.
        let _ = pages.send(page).await;
        Ok(goes_on.then_some(scan))
    }

    /// The sequence number of the newest consignment, 0 in an empty register.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it could not be read.
    async fn last_sequence(&self) -> Result<u64, StoreError>;

    /// Follows the sequence number of the newest consignment, so that whoever has read all of them is woken when there
    /// are more. A number is published once the consignment can be read; between two looks several may pass.
    fn newest(&self) -> watch::Receiver<u64>;

    /// Follows whether the store can write.
    fn condition(&self) -> watch::Receiver<Condition>;

    /// Registers what can be measured of the store and what the methods above do not tell.
    fn measure(&self, _: &mut Registry) {}

    /// Commits what is waiting, refuses writes and scans that come later and releases the store. Does nothing the
    /// second time.
    async fn close(&self);
}

/// A consignment to be stored.
#[derive(Debug, Clone)]
pub struct NewConsignment {
    /// Its id, not empty.
    pub id: String,
    /// Its canonical encoding ([`crate::consignment::canonical`]), the id included.
    pub body: Bytes,
    /// Who creates it, where that is known.
    pub created_by: Option<Arc<str>>,
    /// The id of the request that brings it, one word, where it has one: for the log.
    pub request: Option<Arc<str>>,
    /// That request, where it is traced.
    pub trace: Option<Trace>,
}

impl NewConsignment {
    /// That of `id` with its canonical encoding, `body`; of nobody who is known, and by no request.
    pub fn new(id: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            id: id.into(),
            body: body.into(),
            created_by: None,
            request: None,
            trace: None,
        }
    }
}

/// A consignment that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredConsignment {
    /// What is known of its storing.
    pub receipt: Receipt,
    /// Its canonical encoding.
    pub body: Bytes,
}

/// Where a stored consignment stands, since when, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its sequence number, from 1.
    pub sequence: u64,
    /// When it was stored, in microseconds since the Unix epoch, by the server's wall clock. It need not grow with
    /// the sequence number.
    pub created_at: i64,
    /// Who created it, not empty, where that was known.
    pub created_by: Option<Arc<str>>,
}

/// What became of one member of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was new and is stored now.
    Stored(Receipt),
    /// The same consignment, byte for byte, was there already.
    AlreadyThere(Receipt),
    /// Another consignment has its id; nothing was stored for it.
    Conflict(Receipt),
}

/// Which records to read.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Only what comes after this sequence number.
    pub after: u64,
    /// Only up to and including this sequence number.
    pub through: u64,
    /// Only these ids, in any order; empty means all.
    pub ids: Vec<String>,
    /// Only those that meet this.
    pub filter: Filter,
    /// Whether to begin at the end of the range and go back.
    pub newest_first: bool,
    /// At most so many records, at least 1; a page may hold fewer.
    pub limit: usize,
}

impl Scan {
    /// Goes on after `page`, the first of what it asks for; whether there is more to read.
    pub fn pass(&mut self, page: &Page) -> bool {
        self.limit = self.limit.saturating_sub(page.records.len());
        if self.newest_first {
            self.through = page.through.saturating_sub(1);
        } else {
            self.after = page.through;
        }
        self.limit > 0 && !page.is_last
    }
}

/// `time` in microseconds since the Unix epoch; 0 for a clock that stands before it.
fn micros(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

/// Whether a store can write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It reads and writes.
    Good,
    /// Its database does not answer; it is asked again and again. The reason is for the log.
    Away(String),
    /// It reads, but will not write again until it is opened anew; the reason is for the log.
    WritesStopped(String),
    /// It has been closed.
    Closed,
}

/// What opening a store would find, seen without changing anything.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Prospect {
    /// The register that is there; `None` where one would be made.
    pub register: Option<String>,
    /// The version of the schema that is there and the one that it would be brought to, where they differ.
    pub migration: Option<(i64, i64)>,
    /// What opening it would warn of.
    pub warnings: Vec<String>,
}

/// The cause beneath an error, as the engine told it.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Too much is waiting to be written. Nothing was stored; try again shortly.
    #[error("too many consignments are waiting to be written")]
    Busy,
    /// There is no room left. Nothing was stored; reads go on, and writes do once there is room.
    #[error("there is no space left for the register")]
    Full(#[source] Cause),
    /// Its database does not answer. Try again shortly, or another server.
    #[error("the database does not answer")]
    Unreachable(#[source] Cause),
    /// An earlier write could not be made durable, so nothing is written until the store is opened anew.
    #[error("writing was stopped: {0}")]
    WritesStopped(String),
    /// The store is closing or closed. What was under way at that moment may have been stored.
    #[error("the store is closed")]
    Closed,
    /// What is stored cannot be right.
    #[error("the register is damaged")]
    Damaged(#[source] Cause),
    /// The engine failed.
    #[error("the store failed")]
    Engine(#[source] Cause),
}

/// Why a store could not be opened. None of it shows a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another server has it open.
    #[error(
        "could not open the register {0}: another shippy serves it; stop that one, or choose another --store or --name"
    )]
    InUse(PathBuf),
    /// The file holds something else.
    #[error(
        "could not open {path}: it is not a shippy register ({reason}); choose another --store"
    )]
    NotARegister {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// A later version has written it.
    #[error(
        "could not open the register {path}: its schema is version {found}, and this shippy knows up to {known}; use a newer shippy"
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The version of its schema.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The folder cannot hold it.
    #[error(
        "could not use the folder {path} for the register; choose a writable place with --store sqlite:PATH"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// The file cannot be written.
    #[error(
        "could not write the register {path}: {reason}; make it writable, or choose another place with --store sqlite:PATH"
    )]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// There is no room for what has to be written at a start.
    #[error(
        "could not open the register {path}: there is no space left on its disk; free some, or choose another place with --store sqlite:PATH"
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// What the engine said.
        #[source]
        cause: Cause,
    },
    /// There is no file.
    #[error("could not open the register {0}: there is no such file")]
    Missing(PathBuf),
    /// It has hard links.
    #[error(
        "could not open the register {path}: its file has {names} names (hard links), and what was stored may be only in the log of one of them (NAME-wal); stop whoever serves it, keep the name that has a log beside it, or else the one that was served last, and remove the others"
    )]
    SeveralNames {
        /// One of them.
        path: PathBuf,
        /// How many there are.
        names: u64,
    },
    /// It is on a file system where its durability and locks do not hold.
    #[error(
        "could not open the register {path}: it is on {file_system}, where SQLite's locks and shared memory do not work; choose a local disk with --store sqlite:PATH"
    )]
    NetworkFileSystem {
        /// The file.
        path: PathBuf,
        /// The file system's name.
        file_system: &'static str,
    },
    /// The engine failed.
    #[error("could not open the register {path}")]
    Engine {
        /// The file.
        path: PathBuf,
        /// What the engine said.
        #[source]
        cause: Cause,
    },
    /// The database refuses, and will go on to until something is changed.
    #[error("could not use the database {database}: {reason}; {advice}")]
    Refused {
        /// Which, without its password.
        database: String,
        /// What it said.
        reason: String,
        /// What to change.
        advice: String,
    },
    /// A later version has written the database.
    #[error(
        "could not use the database {database}: its schema is version {found}, and this shippy knows up to {known}; use a newer shippy"
    )]
    NewerDatabase {
        /// Which, without its password.
        database: String,
        /// The version of its schema.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
}
