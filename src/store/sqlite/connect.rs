//! Connections to a register's file.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

/// How long a connection waits for another's lock: far longer than any of them is held.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(30);

/// A connection that touches nothing at `path` unless it is told to, also when it is closed.
pub(super) fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// A connection to the file at `path` that only reads, beside whoever else has it open. It leaves beside the file what it
/// has found there.
pub(super) fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let has_log = beside(path, "-wal").exists();
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "query_only", true)?;
    // The log that SQLite makes to read is empty, and goes with the connection unless somebody else needs it by then.
    // One that was there is what a server left that was killed: the next start is to find it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log)?;
    Ok(connection)
}

/// Makes an empty file at `path` where there is none, which SQLite makes with whatever rights the umask leaves. Its log and
/// the rest beside it get the same rights from SQLite.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    match private().create_new(true).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// How to make a file that only its user reads and writes, as other databases do theirs.
pub(super) fn private() -> OpenOptions {
    let mut options = File::options();
    options.write(true).mode(0o600);
    options
}

/// The file beside the one at `path` whose name ends in `end`.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Lets a commit or a checkpoint on `connection` return only after what it wrote is on disk.
pub(super) fn make_durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    // On macOS fsync leaves writes in the drive's cache; elsewhere these two have no effect.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)
}

/// Lets the database keep a write-ahead log; the journal mode that it has then.
pub(super) fn keep_log(connection: &Connection) -> rusqlite::Result<String> {
    let mut set = connection.prepare("PRAGMA journal_mode = wal")?;
    // All rows are asked for, although there is one: SQLite gives it before it commits what it says, and tells only
    // whoever asks for the next that this has failed.
    let modes: Vec<String> = (set.query_map([], |row| row.get(0))?).collect::<Result<_, _>>()?;
    Ok(modes.into_iter().next().unwrap_or_default())
}
