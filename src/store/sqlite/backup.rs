//! Copies a register while it is served.
//!
//! Nothing in a register changes once it is there, so the records up to the newest are a copy of it as of this moment,
//! whenever they are read. They are read in short runs: SQLite's own ways, its backup interface and VACUUM INTO, hold
//! one read transaction all along, in which the log of a register that is written to only grows, or begin anew when it
//! is written to.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use rusqlite::{
    Connection, OpenFlags, Statement, Transaction, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    connect::connect,
    existing::{Existing, Gauge, Row},
    is_full,
    open::{APPLICATION_ID, check_names},
    verify::{Report, Stopped, Subject},
};
use crate::store::{Cause, OpenError};

mod target;

pub use target::Target;

/// The page cache of the copy in KiB: ids that do not grow with time are written all over their index.
const CACHE_KIB: i64 = 16 * 1024;

/// A register that is to be copied.
#[derive(Debug)]
pub struct Backup(Existing);

/// Why there is no copy. Nothing has changed then at its place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// Nobody wants it any more.
    #[error("the backup was stopped")]
    Stopped,
    /// There is something at its place.
    #[error(
        "could not write the backup {0}: it is there already; give another name, or replace it with --force"
    )]
    Exists(PathBuf),
    /// That place is no good.
    #[error("could not write the backup {path}: {reason}; give another name")]
    Place {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The folder cannot hold it.
    #[error(
        "could not write the backup {path}: its folder cannot be used; make it, or give another"
    )]
    Folder {
        /// The backup.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// There is no room for it.
    #[error(
        "could not write the backup {0}: there is no space left on its disk; free some, or give another place"
    )]
    Full(PathBuf),
    /// It could not be written.
    #[error("could not write the backup {path}")]
    Write {
        /// The backup.
        path: PathBuf,
        /// What the engine or the system said.
        #[source]
        cause: Cause,
    },
    /// The register could not be read.
    #[error("could not read the register {path}: look at it with `shippy verify {path}`")]
    Read {
        /// The register.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: Cause,
    },
    /// The copy cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The copy is no better than the register.
    #[error("could not back up {path}, which is damaged: see `shippy verify {path}`")]
    Damaged {
        /// The register.
        path: PathBuf,
    },
}

impl From<Stopped> for BackupError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// What a run of copying may fail with.
enum Fault {
    Source(Cause),
    Target(rusqlite::Error),
    Stopped,
}

impl Backup {
    /// Opens the register at `path`, to read it beside whoever serves it.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        // Before SQLite makes a log for a name that has none: what is stored may be in that of another.
        check_names(path)?;
        Ok(Self(Existing::open(path)?))
    }

    /// How many consignments are to be copied.
    #[must_use]
    pub fn records(&self) -> u64 {
        u64::try_from(self.0.last).unwrap_or_default()
    }

    /// Copies what was stored when the register was opened, looks at all of the copy and puts it in its place, durably;
    /// what was found in it. It is counted by `gauge` as it is copied.
    ///
    /// # Errors
    ///
    /// [`BackupError`].
    pub fn write(self, mut target: Target, gauge: &Gauge) -> Result<Report, BackupError> {
        let existing = self.0;
        let wrong = |cause| target.write_error(cause);
        if existing.path == target.path {
            return Err(target.bad("it is the register itself"));
        }
        let temporary = target.temporary()?;
        copy(&existing, &temporary, gauge).map_err(|fault| match fault {
            Fault::Stopped => BackupError::Stopped,
            Fault::Source(cause) => BackupError::Read {
                path: existing.path.clone(),
                cause,
            },
            Fault::Target(error) if error.sqlite_error().copied().is_some_and(is_full) => {
                BackupError::Full(target.path.clone())
            }
            Fault::Target(error) => BackupError::Write {
                path: target.path.clone(),
                cause: Arc::new(error),
            },
        })?;
        let rights = fs::metadata(&existing.path).map_err(wrong)?.permissions();
        let rights = fs::Permissions::from_mode(rights.mode() & 0o777);
        fs::set_permissions(&temporary, rights).map_err(wrong)?;
        (File::open(&temporary).and_then(|file| file.sync_all())).map_err(wrong)?;
        let unseen = Gauge {
            stop: Arc::clone(&gauge.stop),
            ..Gauge::default()
        };
        let report = Subject::open(&temporary)?.verify(&unseen)?;
        if !report.damage.is_empty() {
            let path = existing.path.clone();
            return Err(BackupError::Damaged { path });
        }
        target.fill(temporary)?;
        Ok(Report {
            path: target.path.clone(),
            ..report
        })
    }
}

/// Writes all of `existing` to the empty file at `path`.
fn copy(existing: &Existing, path: &Path, gauge: &Gauge) -> Result<(), Fault> {
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(Fault::Target)?;
    begin(existing, &connection)?;
    let transaction = connection.transaction().map_err(Fault::Target)?;
    let mut insert = insertion(existing, &transaction).map_err(Fault::Target)?;
    let mut expected = 1;
    let mut after = i64::MIN;
    loop {
        if gauge.is_stopped() {
            return Err(Fault::Stopped);
        }
        let rows = existing.read_after(after);
        let rows = rows.map_err(|error| Fault::Source(Arc::new(error)))?;
        let Some(last) = rows.last() else {
            break;
        };
        after = last.sequence;
        for row in &rows {
            if row.sequence != expected {
                let missing = format!("the consignment {expected} is missing");
                return Err(Fault::Source(Arc::new(io::Error::other(missing))));
            }
            expected += 1;
            store(&mut insert, row).map_err(Fault::Target)?;
        }
        gauge.done.fetch_add(rows.len() as u64, Ordering::Relaxed);
    }
    drop(insert);
    transaction.commit().map_err(Fault::Target)?;
    connection
        .close()
        .map_err(|(_, error)| Fault::Target(error))
}

/// Makes the tables, as they are in `existing`: a copy of an older version's register is one of that version.
fn begin(existing: &Existing, connection: &Connection) -> Result<(), Fault> {
    let from = &existing.connection;
    let read = || {
        let page_size: i64 = from.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let tables = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name IN ('register', 'consignment')";
        let mut tables = from.prepare(tables)?;
        let tables = tables.query_map([], |row| row.get::<_, String>(0))?;
        Ok((page_size, tables.collect::<rusqlite::Result<Vec<_>>>()?))
    };
    let (page_size, tables) =
        read().map_err(|error: rusqlite::Error| Fault::Source(Arc::new(error)))?;
    let write = || {
        connection.pragma_update(None, "page_size", page_size)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        // What is half written is thrown away, and what is whole is synced once.
        connection.query_row("PRAGMA journal_mode = OFF", [], |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.pragma_update(None, "user_version", existing.version)?;
        for table in tables {
            connection.execute_batch(&table)?;
        }
        connection.execute(
            "INSERT INTO register (id) VALUES (?1)",
            [&existing.register],
        )?;
        Ok(())
    };
    write().map_err(Fault::Target)
}

/// What stores one row, with its creator where there are creators.
fn insertion<'t>(
    existing: &Existing,
    transaction: &'t Transaction<'_>,
) -> rusqlite::Result<Statement<'t>> {
    transaction.prepare(if existing.has_creators() {
        "INSERT INTO consignment (sequence, id, created_at, body, created_by) VALUES (?1, ?2, ?3, ?4, ?5)"
    } else {
        "INSERT INTO consignment (sequence, id, created_at, body) VALUES (?1, ?2, ?3, ?4)"
    })
}

fn store(insert: &mut Statement<'_>, row: &Row) -> rusqlite::Result<()> {
    let created_by = row
        .created_by
        .as_deref()
        .map_or(ValueRef::Null, ValueRef::Text);
    let values = [
        ValueRef::Integer(row.sequence),
        ValueRef::Text(&row.id),
        ValueRef::Integer(row.created_at),
        ValueRef::Blob(&row.body),
        created_by,
    ];
    let count = insert.parameter_count();
    let values = values.into_iter().take(count).map(ToSqlOutput::Borrowed);
    insert.execute(params_from_iter(values))?;
    Ok(())
}
