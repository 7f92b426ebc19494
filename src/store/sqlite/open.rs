//! Opens a register's file, or makes one, and refuses what is not one.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{
    checkpoint,
    connect::{beside, connect, keep_log, make_durable, make_private, private},
    file_system, is_full,
    lock::{Lock, lock, lock_file, lock_served},
};
use crate::{consignment, store::OpenError};

/// "shpy": marks a database file as ours (<https://www.sqlite.org/fileformat2.html#application_id>).
pub(super) const APPLICATION_ID: i64 = 0x7368_7079;
/// The version of the tables below.
pub(super) const SCHEMA_VERSION: i64 = 2;
/// `created_at` is in microseconds since the Unix epoch; `body` is the canonical encoding; `created_by` came with version
/// 2.
const SCHEMA: &str = "
    CREATE TABLE register (id TEXT NOT NULL) STRICT;
    CREATE TABLE consignment (
        sequence INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        body BLOB NOT NULL,
        created_by TEXT
    ) STRICT;";
/// Makes the tables of version 1 those of version 2. Behind the others, a column that may be missing leaves the rows as
/// they are.
const FROM_VERSION_1: &str = "ALTER TABLE consignment ADD COLUMN created_by TEXT";
/// How each SQLite database begins (<https://www.sqlite.org/fileformat2.html#the_database_header>).
pub(super) const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Where a database says, in its header, how it is written, and how often its tables were changed.
const HEADER: u64 = 100;
const WRITE_VERSION_AT: usize = 18;
const WITH_LOG: u8 = 2;
const SCHEMA_COOKIE_AT: usize = 40;

/// What a folder is told that stands where a file should.
pub(super) const IS_FOLDER: &str = "it is a folder; a / at its end keeps a register in it";

/// A register that is ours to write.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) lock: Lock,
    /// Absolute, links resolved.
    pub(super) path: PathBuf,
    pub(super) register: String,
    pub(super) last_sequence: u64,
    /// The last record that was in the file itself, and not in its log alone, when it was opened.
    pub(super) settled_through: u64,
}

pub(super) fn open(path: &Path) -> Result<Opened, OpenError> {
    let path = resolve(path)?;
    if let Some(warning) = file_system::check(path.parent().unwrap_or(&path), &path)? {
        tracing::warn!("{warning}");
    }
    check_names(&path)?;
    // Where it is served there is a lock already, and it is not looked into: by POSIX, closing a file releases every
    // lock that this process has on it, SQLite's included.
    let known_lock = lock(&path, File::options().write(true))?;
    let mut file = lock_served(&path)?;
    check_magic(&path)?;
    let missing_log = missing_log(&path);
    let mut connection = connect_to_write(&path)?;
    let lock = if let Some(lock) = known_lock {
        lock
    } else {
        // Only now, so that nothing is left beside a file that is not ours.
        let lock = lock(&path, private().create(true))?
            .ok_or_else(|| folder_error(&path, ErrorKind::NotFound.into()))?;
        // Until now a backup may have replaced what was opened.
        connection = connect_to_write(&path)?;
        lock
    };
    // An empty file's is taken only by whoever has the lock of its name, so that of several one goes on.
    if file.is_none() {
        file = lock_file(&path)?;
    }
    if let Some(warning) = missing_log {
        tracing::warn!("{warning}");
    }
    let prepared = prepare(&mut connection);
    let (register, last_sequence, is_moved) = prepared.map_err(|error| open_error(&path, error))?;
    sync_names(&path).map_err(|error| folder_error(&path, error))?;
    Ok(Opened {
        connection,
        lock: Lock::new(lock, file),
        path,
        register,
        last_sequence,
        settled_through: if is_moved { last_sequence } else { 0 },
    })
}

/// A connection to the register at `path`, or to an empty file, which it makes where there is none.
fn connect_to_write(path: &Path) -> Result<Connection, OpenError> {
    make_private(path).map_err(|error| make_error(path, error))?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let connection = connection.map_err(|error| open_error(path, error))?;
    if connection.is_readonly("main").unwrap_or(false) {
        return Err(OpenError::NotWritable {
            path: path.to_owned(),
            reason: "it is read-only".into(),
        });
    }
    check_identity(&connection, path)?;
    Ok(connection)
}

/// Makes sure that the names of the register at `path` and of its log are on the disk: SQLite does so too, but goes on
/// where that fails, and what is in a file without a name is lost with the power.
fn sync_names(path: &Path) -> std::io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Makes the folder and resolves links, so that two names of one file meet at one lock.
fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    let (Some(name), parent) = (path.file_name(), path.parent()) else {
        return Err(not_a_register(path, IS_FOLDER));
    };
    let folder = parent.filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let fail = |cause| OpenError::Folder {
        path: folder.to_owned(),
        cause,
    };
    make_folder(folder).map_err(fail)?;
    let whole = folder.canonicalize().map_err(fail)?.join(name);
    match whole.metadata() {
        Ok(found) if found.is_dir() => Err(not_a_register(path, IS_FOLDER)),
        Ok(found) if !found.is_file() => Err(not_a_register(path, "it is no file")),
        Ok(_) => whole.canonicalize().map_err(fail),
        // The file that a link leads to need not be there yet.
        Err(error) if error.kind() == ErrorKind::NotFound => match whole.read_link() {
            Ok(target) => resolve(&whole.with_file_name("").join(target)),
            Err(_) => Ok(whole),
        },
        Err(error) => Err(fail(error)),
    }
}

/// Makes `folder` and those above it where they are missing, durably.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder
        .parent()
        .filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new("."));
    make_folder(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists || !folder.is_dir() => Err(error),
        _ => File::open(above)?.sync_all(),
    }
}

/// Refuses a file of several names: SQLite keeps a log for each name, so that whoever opens another one misses what is in
/// this one's, and writes beside whoever has it open (<https://www.sqlite.org/howtocorrupt.html#_multiple_links_to_the_same_file>).
pub(super) fn check_names(path: &Path) -> Result<(), OpenError> {
    match path.metadata().map(|found| found.nlink()) {
        Ok(names @ 2..) => Err(OpenError::SeveralNames {
            path: path.to_owned(),
            names,
        }),
        // What is not there has none yet, and of the rest opening will tell.
        _ => Ok(()),
    }
}

/// SQLite would take a file that it does not know for a damaged one; say what it is before anything touches it.
pub(super) fn check_magic(path: &Path) -> Result<(), OpenError> {
    let fail = |error: std::io::Error| OpenError::NotWritable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut start = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(16).read_to_end(&mut start).map_err(fail)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(error)),
    };
    if start.is_empty() || start == SQLITE_MAGIC {
        Ok(())
    } else {
        Err(not_a_register(path, "it is no SQLite database"))
    }
}

/// What there is to warn of where the file at `path` is a database that nothing was written to, as a young register's is
/// whose consignments are all in its log, and that log is not beside it.
pub(super) fn missing_log(path: &Path) -> Option<String> {
    let mut header = Vec::new();
    let file = File::open(path).ok()?;
    file.take(HEADER).read_to_end(&mut header).ok()?;
    let keeps_log = header.get(WRITE_VERSION_AT) == Some(&WITH_LOG);
    let changes = header.get(SCHEMA_COOKIE_AT..SCHEMA_COOKIE_AT + 4)?;
    (keeps_log && changes == [0; 4] && !beside(path, "-wal").exists()).then(|| {
        format!(
            "the database {path} is empty and its log {path}-wal is missing, so a new register is made in it; if it had \
             one, stop this server and put that log back",
            path = path.display()
        )
    })
}

/// The version of the schema, 0 in an empty file; an error where it is none of ours.
pub(super) fn check_identity(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let read = || {
        // One look, as another server may be making its register at this moment.
        let _snapshot = connection.unchecked_transaction()?;
        let tables = "SELECT count(*) FROM sqlite_schema";
        let tables = connection.query_row(tables, [], |row| row.get::<_, i64>(0))?;
        Ok((number("application_id")?, number("user_version")?, tables))
    };
    match read().map_err(|error| open_error(path, error))? {
        (0, 0, 0) => Ok(0),
        (APPLICATION_ID, version @ ..=SCHEMA_VERSION, _) => Ok(version),
        (APPLICATION_ID, found, _) => Err(OpenError::NewerSchema {
            path: path.to_owned(),
            found,
            known: SCHEMA_VERSION,
        }),
        _ => Err(not_a_register(path, "it is another program's database")),
    }
}

/// Sets the connection up and makes what is missing; the register's id and its last sequence number, and whether all of
/// its log has been moved into the file.
fn prepare(connection: &mut Connection) -> rusqlite::Result<(String, u64, bool)> {
    let journal = keep_log(connection)?;
    if journal != "wal" {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
            Some(format!(
                "the file system does not carry a write-ahead log (journal mode {journal})"
            )),
        ));
    }
    make_durable(connection)?;
    // What a killed server wrote is read from the log, synced or not. Moving it into the database syncs it, so that
    // nothing is answered for, or followed by other commits, that a power cut would still take away.
    let is_moved = checkpoint::truncate(connection)?;
    // That is the checkpointer's and the writer's own work: see there.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;

    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.execute(
                "INSERT INTO register (id) VALUES (?1)",
                [consignment::new_id()],
            )?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        1 => transaction.execute_batch(FROM_VERSION_1)?,
        _ => {}
    }
    if version < SCHEMA_VERSION {
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    let register = transaction.query_row("SELECT id FROM register", [], |row| row.get(0))?;
    let last = "SELECT coalesce(max(sequence), 0) FROM consignment";
    let last_sequence = transaction.query_row(last, [], |row| row.get(0))?;
    transaction.commit()?;
    Ok((register, last_sequence, is_moved))
}

/// The file at `path` could not be made.
fn make_error(path: &Path, error: std::io::Error) -> OpenError {
    match error.kind() {
        ErrorKind::StorageFull => OpenError::Full {
            path: path.to_owned(),
            cause: Arc::new(error),
        },
        _ => folder_error(path, error),
    }
}

/// The folder of `path` cannot hold it.
pub(super) fn folder_error(path: &Path, cause: std::io::Error) -> OpenError {
    OpenError::Folder {
        path: path.parent().unwrap_or(path).to_owned(),
        cause,
    }
}

pub(super) fn not_a_register(path: &Path, reason: &str) -> OpenError {
    OpenError::NotARegister {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

pub(super) fn open_error(path: &Path, error: rusqlite::Error) -> OpenError {
    if error.sqlite_error().copied().is_some_and(is_full) {
        return OpenError::Full {
            path: path.to_owned(),
            cause: Arc::new(error),
        };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => not_a_register(path, "it is no SQLite database"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            OpenError::NotWritable {
                path: path.to_owned(),
                reason: error.to_string(),
            }
        }
        _ => OpenError::Engine {
            path: path.to_owned(),
            cause: Arc::new(error),
        },
    }
}
