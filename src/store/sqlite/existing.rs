//! A register that is there, read beside whoever serves it.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rusqlite::Connection;

use super::{
    connect::connect_to_read,
    open::{IS_FOLDER, check_identity, check_magic, not_a_register},
};
use crate::store::OpenError;

/// What is read in one go, in records and about in bytes: no read transaction may be long, as the log of a register that
/// is served does not start over before it ends.
const READ_ROWS: u32 = 512;
const READ_BYTES: usize = 256 * 1024;
/// The page cache in KiB. Each page is read once.
const CACHE_KIB: i64 = 512;
/// The version of the schema from which on there is a column `created_by`.
const WITH_CREATORS: i64 = 2;

/// How far a long piece of work has come, and whether it is to end.
#[derive(Debug, Clone, Default)]
pub struct Gauge {
    /// How many records are done.
    pub done: Arc<AtomicU64>,
    /// Set by whoever does not want it any more.
    pub stop: Arc<AtomicBool>,
}

impl Gauge {
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A register that is there.
#[derive(Debug)]
pub(super) struct Existing {
    pub(super) connection: Connection,
    /// Absolute, links resolved.
    pub(super) path: PathBuf,
    pub(super) register: String,
    /// The version of its schema.
    pub(super) version: i64,
    /// The newest sequence number at this moment, 0 without any.
    pub(super) last: i64,
}

/// A record as it stands in the file. Texts are bytes: in a damaged file they may be no texts.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) sequence: i64,
    pub(super) id: Vec<u8>,
    pub(super) created_at: i64,
    pub(super) body: Vec<u8>,
    pub(super) created_by: Option<Vec<u8>>,
}

impl Existing {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let path = fs::canonicalize(path).map_err(|cause| match cause.kind() {
            ErrorKind::NotFound => OpenError::Missing(path.to_owned()),
            _ => OpenError::Engine {
                path: path.to_owned(),
                cause: Arc::new(cause),
            },
        })?;
        if path.is_dir() {
            return Err(not_a_register(&path, IS_FOLDER));
        }
        check_magic(&path)?;
        let engine = |cause| OpenError::Engine {
            path: path.clone(),
            cause: Arc::new(cause),
        };
        let connection = connect_to_read(&path).map_err(engine)?;
        let version = check_identity(&connection, &path)?;
        if version == 0 {
            return Err(not_a_register(&path, "it is empty"));
        }
        let read = || {
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            let register = "SELECT id FROM register";
            connection.query_row(register, [], |row| row.get(0))
        };
        let register = read().map_err(engine)?;
        let mut existing = Self {
            connection,
            path: path.clone(),
            register,
            version,
            last: 0,
        };
        existing.catch_up().map_err(engine)?;
        Ok(existing)
    }

    /// Goes on to what has been stored meanwhile.
    pub(super) fn catch_up(&mut self) -> rusqlite::Result<()> {
        let last = "SELECT coalesce(max(sequence), 0) FROM consignment";
        self.last = self.connection.query_row(last, [], |row| row.get(0))?;
        Ok(())
    }

    pub(super) fn has_creators(&self) -> bool {
        self.version >= WITH_CREATORS
    }

    /// Whether there is a column of creators just where its version has one: a start adds it to an older register.
    pub(super) fn is_of_its_version(&self) -> rusqlite::Result<bool> {
        let column =
            "SELECT count(*) FROM pragma_table_info('consignment') WHERE name = 'created_by'";
        let count: i64 = (self.connection).query_row(column, [], |row| row.get(0))?;
        Ok((count == 1) == self.has_creators())
    }

    /// The next records that come after the sequence number `after`, up to the newest; none when there are no more.
    pub(super) fn read_after(&self, after: i64) -> rusqlite::Result<Vec<Row>> {
        let created_by = if self.has_creators() {
            "created_by"
        } else {
            "NULL"
        };
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT sequence, id, created_at, body, {created_by} FROM consignment
             WHERE sequence > ?1 AND sequence <= ?2 ORDER BY sequence LIMIT ?3"
        ))?;
        let mut found = select.query((after, self.last, READ_ROWS))?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while bytes < READ_BYTES
            && let Some(row) = found.next()?
        {
            let body = row.get_ref(3)?.as_bytes()?.to_vec();
            bytes += body.len();
            rows.push(Row {
                sequence: row.get(0)?,
                id: row.get_ref(1)?.as_bytes()?.to_vec(),
                created_at: row.get(2)?,
                body,
                created_by: row.get_ref(4)?.as_bytes_or_null()?.map(<[u8]>::to_vec),
            });
        }
        Ok(rows)
    }
}
