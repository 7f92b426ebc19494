//! The index's file: an SQLite database beside the register that holds its folded segments.
//!
//! SQLite keeps no checksums of its pages, so each row that is read has one of its own. Together with the fixed place
//! of each fingerprint it also tells that a text is *not* in a segment: a damaged file gives an error, never too
//! little.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, Transaction, config::DbConfig,
    ffi,
};
use rustix::{fs::Access, io::Errno};
use twox_hash::XxHash3_64;

use super::segment::{BLOCK_BITS, Builder, Fingerprint, Period, rows_in_block};
use crate::store::sqlite::connect::{connect, keep_log};

/// "shpi": marks a file as an index of ours.
pub(super) const APPLICATION_ID: i64 = 0x7368_7069;
/// The version of the tables below and of what is in a block. Another version's index is made anew.
pub(super) const SCHEMA_VERSION: i64 = 2;
/// `seed` is this index's own. All up to `watermark` is folded; the consignment there has `id` and was made at
/// `created_at`, which tells whether the register is still the one that was read.
const SCHEMA: &str = "
    CREATE TABLE origin (
        register TEXT NOT NULL,
        seed INTEGER NOT NULL,
        watermark INTEGER NOT NULL,
        id TEXT NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE segment (
        first INTEGER PRIMARY KEY,
        last INTEGER NOT NULL,
        created_from INTEGER NOT NULL,
        created_to INTEGER NOT NULL,
        blocks INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE block (
        number INTEGER PRIMARY KEY,
        checksum INTEGER NOT NULL,
        postings BLOB NOT NULL
    ) STRICT;";

/// Nobody of ours holds a lock for long; whoever else does must hold neither a scan nor the server's end.
const LOCK_WAIT: Duration = Duration::from_millis(100);
/// Each connection's page cache in KiB.
const CACHE_KIB: i64 = 512;

/// Why the index's file could not be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error(transparent)]
    Engine(#[from] rusqlite::Error),
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// Whoever asked does not want it any more; nothing has changed.
    #[error("the folding was abandoned")]
    Abandoned,
}

/// A consignment by which a register's history is known: no other history has one with all of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) sequence: u64,
    pub(super) id: String,
    pub(super) created_at: i64,
}

impl Mark {
    /// Of the consignment with `sequence` in `register`; `None` when there is none.
    pub(super) fn at(register: &Connection, sequence: u64) -> rusqlite::Result<Option<Self>> {
        let mut select = register.prepare_cached(
            "SELECT sequence, id, created_at FROM consignment WHERE sequence = ?1",
        )?;
        select.query_row([sequence], Self::read).optional()
    }

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            sequence: row.get(0)?,
            id: row.get(1)?,
            created_at: row.get(2)?,
        })
    }
}

/// The file as its one writer has it.
pub(super) struct IndexFile {
    connection: Connection,
    seed: u64,
}

impl IndexFile {
    /// Opens the index at `path` if it is there and is one of the register with the id `register`, as far as a few
    /// looks tell: it, and the mark up to which it goes, which the register must have too.
    pub(super) fn open(path: &Path, register: &str) -> rusqlite::Result<Option<(Self, Mark)>> {
        let rights = rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK);
        if let Err(Errno::NOENT | Errno::ACCESS) = rights {
            return Ok(None);
        }
        let file = Self::connect(path)?;
        let number = |pragma| file.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        if (number("application_id")?, number("user_version")?) != (APPLICATION_ID, SCHEMA_VERSION)
        {
            return Ok(None);
        }
        let origin = "SELECT watermark, id, created_at, register, seed FROM origin";
        let (mark, of, seed) = file.query_row(origin, [], |row| {
            let seed: i64 = row.get(4)?;
            Ok((
                Mark::read(row)?,
                row.get::<_, String>(3)?,
                seed.cast_unsigned(),
            ))
        })?;
        let lookup = Lookup {
            connection: file,
            seed,
        };
        // A first fold that was abandoned leaves one that holds nothing.
        if of != register
            || mark.sequence == 0
            || lookup.segment_at(mark.sequence)?.last != mark.sequence
        {
            return Ok(None);
        }
        let connection = lookup.connection;
        Ok(Some((Self { connection, seed }, mark)))
    }

    /// Makes one at `path` for the register in the file `beside`, whose rights it gets.
    pub(super) fn create(
        path: &Path,
        register: &str,
        seed: u64,
        beside: &Path,
    ) -> Result<Self, FileError> {
        remove(path)?;
        let mode = fs::metadata(beside)?.permissions().mode();
        File::options()
            .write(true)
            .create_new(true)
            .mode(mode & 0o777)
            .open(path)?;
        let mut connection = Self::connect(path)?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(SCHEMA)?;
        transaction.execute(
            "INSERT INTO origin (register, seed, watermark, id, created_at) VALUES (?1, ?2, 0, '', 0)",
            (register, seed.cast_signed()),
        )?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()?;
        Ok(Self { connection, seed })
    }

    fn connect(path: &Path) -> rusqlite::Result<Connection> {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(LOCK_WAIT)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        keep_log(&connection)?;
        // What a power cut takes away is folded again, but nothing may be half there.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        // After each segment, so that there is next to nothing to do when the server ends.
        connection.pragma_update(None, "wal_autocheckpoint", 1)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        Ok(connection)
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Adds `builder` as the segment that ends at `mark`, unless `goes_on` says no meanwhile.
    pub(super) fn fold(
        &mut self,
        builder: &Builder,
        mark: &Mark,
        goes_on: impl Fn() -> bool,
    ) -> Result<(), FileError> {
        let Some(Period { from, to }) = builder.period() else {
            return Ok(());
        };
        let transaction = self.connection.transaction()?;
        let segment = Segment {
            first: mark.sequence + 1 - u64::from(builder.rows()),
            last: mark.sequence,
            period: Period { from, to },
            blocks: builder.blocks(),
        };
        segment.insert(&transaction, self.seed)?;
        insert_blocks(self.seed, &transaction, &segment, builder, goes_on)?;
        transaction.execute(
            "UPDATE origin SET watermark = ?1, id = ?2, created_at = ?3",
            (mark.sequence, &mark.id, mark.created_at),
        )?;
        Ok(transaction.commit()?)
    }
}

/// Inserts what `builder` has as the blocks of `segment`.
fn insert_blocks(
    seed: u64,
    connection: &Connection,
    segment: &Segment,
    builder: &Builder,
    goes_on: impl Fn() -> bool,
) -> Result<(), FileError> {
    let insert = "INSERT INTO block (number, checksum, postings) VALUES (?1, ?2, ?3)";
    let mut insert = connection.prepare_cached(insert)?;
    let mut numbers = (0..segment.blocks).map(|block| segment.number(block));
    builder.encode(|postings| {
        if !goes_on() {
            return Err(FileError::Abandoned);
        }
        if let Some(number) = numbers.next() {
            insert.execute((number, block_checksum(seed, number, postings), postings))?;
        }
        Ok(())
    })
}

/// Removes the index at `path` and what SQLite keeps beside it.
pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    for end in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A folded run of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) period: Period,
    pub(super) blocks: u32,
}

impl Segment {
    fn insert(&self, connection: &Connection, seed: u64) -> rusqlite::Result<()> {
        connection.execute(
            "INSERT INTO segment (first, last, created_from, created_to, blocks, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                self.first,
                self.last,
                self.period.from,
                self.period.to,
                self.blocks,
                self.checksum(seed),
            ),
        )?;
        Ok(())
    }

    pub(super) fn read(row: &Row<'_>, seed: u64) -> rusqlite::Result<Self> {
        let segment = Self {
            first: row.get(0)?,
            last: row.get(1)?,
            period: Period {
                from: row.get(2)?,
                to: row.get(3)?,
            },
            blocks: row.get(4)?,
        };
        if row.get::<_, i64>(5)? == segment.checksum(seed) {
            Ok(segment)
        } else {
            Err(corrupt("a segment's checksum does not hold"))
        }
    }

    /// Of its block with this place: no other segment's block has it, whatever has become of the file, so that none
    /// is taken for another.
    pub(super) fn number(&self, block: u32) -> u64 {
        Self::first_number(self.first) | u64::from(block)
    }

    /// Of the first block of the segment that begins with `first`.
    pub(super) fn first_number(first: u64) -> u64 {
        first << BLOCK_BITS
    }

    fn checksum(&self, seed: u64) -> i64 {
        let Period { from, to } = self.period;
        let fields = [
            self.first,
            self.last,
            from.cast_unsigned(),
            to.cast_unsigned(),
            u64::from(self.blocks),
        ];
        let bytes = fields.map(u64::to_le_bytes);
        XxHash3_64::oneshot_with_seed(seed, bytes.as_flattened()).cast_signed()
    }
}

/// The checksum also says which block of which index it is.
pub(super) fn block_checksum(seed: u64, number: u64, postings: &[u8]) -> i64 {
    XxHash3_64::oneshot_with_seed(seed ^ number.rotate_left(32), postings).cast_signed()
}

/// A connection that looks into the index with a certain seed.
#[derive(Debug)]
pub(in crate::store::sqlite) struct Lookup {
    connection: Connection,
    seed: u64,
}

impl Lookup {
    /// Opens the index at `path`, whatever its seed is.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(LOCK_WAIT)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        let seed: i64 = connection.query_row("SELECT seed FROM origin", [], |row| row.get(0))?;
        let seed = seed.cast_unsigned();
        Ok(Self { connection, seed })
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Keeps the file as it is now for what is read while the guard lives, and spares a lock for each look.
    pub(in crate::store::sqlite) fn snapshot(&self) -> rusqlite::Result<Transaction<'_>> {
        self.connection.unchecked_transaction()
    }

    /// The segment that holds `sequence`; an error when there is none.
    pub(super) fn segment_at(&self, sequence: u64) -> rusqlite::Result<Segment> {
        let mut select = self.connection.prepare_cached(
            "SELECT first, last, created_from, created_to, blocks, checksum FROM segment
             WHERE first <= ?1 ORDER BY first DESC LIMIT 1",
        )?;
        let found = select.query_row([sequence], |row| Segment::read(row, self.seed));
        match found.optional()? {
            Some(segment) if (segment.first..=segment.last).contains(&sequence) => Ok(segment),
            _ => Err(corrupt("a segment is missing")),
        }
    }

    /// The rows of `segment` that have `fingerprint`, ascending.
    pub(super) fn rows(
        &self,
        segment: &Segment,
        fingerprint: Fingerprint,
    ) -> rusqlite::Result<Vec<u32>> {
        let number = segment.number(fingerprint.block(segment.blocks));
        let select = "SELECT checksum, postings FROM block WHERE number = ?1";
        let mut select = self.connection.prepare_cached(select)?;
        let rows = select.query_row([number], |row| {
            let postings = row.get_ref(1)?.as_blob()?;
            if row.get::<_, i64>(0)? != block_checksum(self.seed, number, postings) {
                return Err(corrupt("a block's checksum does not hold"));
            }
            rows_in_block(postings, fingerprint).ok_or_else(|| corrupt("a block cannot be read"))
        });
        rows.optional()?
            .ok_or_else(|| corrupt("a block is missing"))
    }
}

/// What is in the index cannot be right, as the engine would tell it.
pub(in crate::store::sqlite) fn corrupt(what: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(what.into()))
}

/// Whether `error` may pass and leaves the file to be believed; any other says that it is none of ours, or damaged.
pub(super) fn may_pass(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
                // There are too many open files, or a folder stands there.
                | ErrorCode::CannotOpen
        )
    )
}
