//! The thread that reads what was committed, gathers its postings and folds them into the index's file.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tokio::{runtime::Runtime, sync::watch, time::sleep};

use super::{
    Distrusted, Orders, Shared, Tail,
    file::{self, FileError, IndexFile, Mark, may_pass},
    segment::Builder,
};
use crate::store::{MalformedBody, sqlite::connect::connect};

/// How long the thread lets new records gather before it reads them: one wake-up for many commits, while what is not
/// read yet is searched in a few milliseconds.
const GATHER: Duration = Duration::from_millis(10);
/// What is read of the register in one go, in records and about in bytes: no read transaction may be long, as the
/// log does not start over before it ends.
const READ_ROWS: u32 = 512;
const READ_BYTES: usize = 256 * 1024;
/// The page cache of the connection to the register in KiB. Each page is read once.
const CACHE_KIB: i64 = 512;
/// How long the thread waits after a failure, doubled from one to the next.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Why the thread does not go on.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error("it was told to stop")]
    Stopped,
    #[error("a scan could not read it")]
    Distrusted(Distrusted),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("could not read the register: {0}")]
    Register(#[source] rusqlite::Error),
    #[error("the consignment {0} is damaged: {1}")]
    Damaged(u64, #[source] MalformedBody),
    #[error("the consignment {0} is missing")]
    Missing(u64),
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// What the thread works with.
pub(super) struct Follower {
    path: PathBuf,
    index: PathBuf,
    register: String,
    newest: watch::Receiver<u64>,
    shared: Arc<Shared>,
    orders: watch::Receiver<Orders>,
    /// Most records of a segment.
    rows: u32,
    retry: Duration,
    /// Whether a failure has been told of that has not been got over.
    has_warned: bool,
}

impl Follower {
    pub(super) fn new(
        path: &Path,
        index: &Path,
        register: &str,
        newest: watch::Receiver<u64>,
        shared: Arc<Shared>,
        rows: u32,
    ) -> Self {
        Self {
            path: path.to_owned(),
            index: index.to_owned(),
            register: register.to_owned(),
            newest,
            orders: shared.orders.subscribe(),
            shared,
            rows,
            retry: FIRST_RETRY,
            has_warned: false,
        }
    }

    /// Runs until it is told to stop, or nobody writes any more.
    pub(super) fn run(mut self) {
        // Of its own, as whoever opens a store need not be in one; it only waits.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return self.warn(&error.into()),
        };
        loop {
            let Err(interruption) = self.follow(&runtime);
            let again = match interruption {
                Interruption::Stopped => return,
                Interruption::Distrusted(distrusted) => self.heed(distrusted),
                Interruption::File(error) => self.doubt(error),
                error => Err(error),
            };
            if let Err(error) = again {
                self.warn(&error);
                let pause = self.retry;
                self.retry = LAST_RETRY.min(pause * 2);
                if let Err(Interruption::Stopped) = self.pause(&runtime, pause) {
                    return;
                }
            }
        }
    }

    /// Looks after the index that a scan could not read: what is damaged goes, and all else may be better in a while.
    fn heed(&self, distrusted: Distrusted) -> Result<(), Interruption> {
        // Nothing asks the file until there is a tail again.
        *self.shared.tail_mut() = None;
        self.shared
            .orders
            .send_modify(|orders| orders.distrusted = None);
        if distrusted.is_damaged {
            Ok(file::remove(&self.index)?)
        } else {
            Err(Interruption::Distrusted(distrusted))
        }
    }

    /// The index could not be written. What is damaged goes before it is tried again, as it would be believed again.
    fn doubt(&self, error: FileError) -> Result<(), Interruption> {
        *self.shared.tail_mut() = None;
        if let FileError::Engine(error) = &error
            && !may_pass(error)
        {
            file::remove(&self.index)?;
        }
        Err(error.into())
    }

    fn follow(&mut self, runtime: &Runtime) -> Result<std::convert::Infallible, Interruption> {
        let register = self.connect().map_err(Interruption::Register)?;
        let mut file = self.open(&register)?;
        let (mut seed, mut start) = (new_seed(), 0);
        if let Some((file, mark)) = &file {
            (seed, start) = (file.seed(), mark.sequence);
        }
        let mut file = file.take().map(|(file, _)| file);
        *self.shared.tail_mut() = Some(Tail {
            seed,
            start,
            builder: Builder::default(),
        });
        let mut through = start;
        loop {
            self.check_orders()?;
            let newest = *self.newest.borrow_and_update();
            if through == newest || self.is_paused() {
                self.recover();
                self.wait(runtime)?;
                continue;
            }
            let rows = Read::after(&register, through, newest).map_err(Interruption::Register)?;
            let is_full;
            (through, is_full) = self.gather(&rows)?;
            if is_full {
                self.fold(&register, &mut file)?;
            }
        }
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = connect(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        Ok(connection)
    }

    /// The index that is there, if it can be believed; any other goes.
    fn open(&self, register: &Connection) -> Result<Option<(IndexFile, Mark)>, Interruption> {
        match IndexFile::open(&self.index, &self.register) {
            Ok(Some((file, mark))) => {
                let known = Mark::at(register, mark.sequence).map_err(Interruption::Register)?;
                if known.as_ref() == Some(&mark) {
                    return Ok(Some((file, mark)));
                }
                tracing::info!(
                    "the filter index is of another state of the register and is made anew"
                );
            }
            Ok(None) => {}
            Err(error) if may_pass(&error) => return Err(FileError::from(error).into()),
            Err(error) => tracing::warn!("the filter index is damaged and is made anew: {error}"),
        }
        file::remove(&self.index)?;
        Ok(None)
    }

    /// Adds `rows` to the tail as far as it has room; up to where it goes then, and whether it is full.
    fn gather(&self, rows: &Read) -> Result<(u64, bool), Interruption> {
        let mut tail = self.shared.tail_mut();
        let Some(tail) = tail.as_mut() else {
            unreachable!("only this thread takes the tail away");
        };
        for row in &rows.rows {
            if tail.builder.is_full(self.rows) {
                break;
            }
            let expected = tail.through() + 1;
            if row.sequence != expected {
                return Err(Interruption::Missing(expected));
            }
            let body = &rows.bodies[row.body.clone()];
            tail.builder
                .add(tail.seed, row.created_at, body)
                .map_err(|error| Interruption::Damaged(row.sequence, error))?;
        }
        if rows.rows.is_empty() {
            return Err(Interruption::Missing(tail.through() + 1));
        }
        Ok((tail.through(), tail.builder.is_full(self.rows)))
    }

    /// Moves the tail into the file, which is made if there is none. Scans see it in the one or in the other.
    fn fold(
        &mut self,
        register: &Connection,
        file: &mut Option<IndexFile>,
    ) -> Result<(), Interruption> {
        let through = {
            let tail = self.shared.tail();
            let Some(tail) = tail.as_ref() else {
                unreachable!("only this thread takes the tail away");
            };
            let through = tail.through();
            let mark = Mark::at(register, through).map_err(Interruption::Register)?;
            let mark = mark.ok_or(Interruption::Missing(through))?;
            let file = match file {
                Some(file) => file,
                None => file.insert(IndexFile::create(
                    &self.index,
                    &self.register,
                    tail.seed,
                    &self.path,
                )?),
            };
            file.fold(&tail.builder, &mark, || self.check_orders().is_ok())
                .or_else(|error| {
                    // What it was abandoned for goes before.
                    self.check_orders()?;
                    Err(Interruption::from(error))
                })?;
            through
        };
        if let Some(tail) = self.shared.tail_mut().as_mut() {
            tail.builder.clear();
            tail.start = through;
        }
        self.recover();
        Ok(())
    }

    fn check_orders(&self) -> Result<(), Interruption> {
        let orders = *self.orders.borrow();
        // Nobody writes any more when the sender has gone.
        if orders.stop || self.newest.has_changed().is_err() {
            return Err(Interruption::Stopped);
        }
        orders.distrusted.map_or(Ok(()), |distrusted| {
            Err(Interruption::Distrusted(distrusted))
        })
    }

    #[cfg(test)]
    fn is_paused(&self) -> bool {
        self.orders.borrow().pause
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, reason = "tests have something to look at")]
    fn is_paused(&self) -> bool {
        false
    }

    /// Waits for more records, or for orders.
    fn wait(&mut self, runtime: &Runtime) -> Result<(), Interruption> {
        runtime.block_on(async {
            tokio::select! {
                grown = self.newest.changed() => grown.map_err(|_| Interruption::Stopped),
                _ = self.orders.changed() => Ok(()),
            }
        })?;
        self.pause(runtime, GATHER)
    }

    /// Waits for so long, or for orders.
    fn pause(&mut self, runtime: &Runtime, time: Duration) -> Result<(), Interruption> {
        self.orders.mark_unchanged();
        self.check_orders()?;
        runtime.block_on(async {
            tokio::select! {
                () = sleep(time) => {}
                _ = self.orders.changed() => {}
            }
        });
        self.check_orders()
    }

    fn warn(&mut self, error: &Interruption) {
        let index = self.index.display();
        if self.has_warned {
            tracing::debug!("the filter index {index} still cannot go on: {error}");
        } else {
            tracing::warn!(
                "the filter index {index} cannot go on: {error}; what it lacks is searched without it, and it is tried again"
            );
        }
        self.has_warned = true;
    }

    /// Something has worked.
    fn recover(&mut self) {
        if self.has_warned {
            tracing::info!("the filter index {} goes on", self.index.display());
        }
        self.has_warned = false;
        self.retry = FIRST_RETRY;
    }
}

/// Records as they were read, their bodies one behind the other.
struct Read {
    rows: Vec<ReadRow>,
    bodies: Vec<u8>,
}

struct ReadRow {
    sequence: u64,
    created_at: i64,
    /// Where in `bodies`.
    body: std::ops::Range<usize>,
}

impl Read {
    /// The next records after `after`, up to `through`.
    fn after(register: &Connection, after: u64, through: u64) -> rusqlite::Result<Self> {
        let mut select = register.prepare_cached(
            "SELECT sequence, created_at, body FROM consignment
             WHERE sequence > ?1 AND sequence <= ?2 ORDER BY sequence LIMIT ?3",
        )?;
        let mut found = select.query((after, through, READ_ROWS))?;
        let (mut rows, mut bodies) = (Vec::new(), Vec::new());
        while bodies.len() < READ_BYTES
            && let Some(row) = found.next()?
        {
            let start = bodies.len();
            bodies.extend_from_slice(row.get_ref(2)?.as_blob()?);
            rows.push(ReadRow {
                sequence: row.get(0)?,
                created_at: row.get(1)?,
                body: start..bodies.len(),
            });
        }
        Ok(Self { rows, bodies })
    }
}

/// The random part of a UUIDv7, and its time.
fn new_seed() -> u64 {
    let (high, low) = uuid::Uuid::now_v7().as_u64_pair();
    high ^ low
}
