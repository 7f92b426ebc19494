//! One server at a time has a register: by the lock of its name, which is a file beside it, and by one of the file itself,
//! which has another name as soon as somebody moves it or links it anew.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, MetadataExt as _},
    path::Path,
    sync::Arc,
};

use super::{connect::beside, file_system, open::folder_error};
use crate::store::OpenError;

/// How the name of a register's lock ends.
pub(super) const LOCK: &str = ".lock";

/// What a server holds of its register until it is dropped. That comes after all of this process's connections to it: by
/// POSIX, closing a file releases every lock that the process has on it, SQLite's included.
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) file: Option<Arc<Locked>>,
    _named: Locked,
}

impl Lock {
    /// By the file beside the register, and the register's own where it can be locked.
    pub(super) fn new(named: File, file: Option<File>) -> Self {
        Self {
            file: file.map(|file| Arc::new(Locked(file))),
            _named: Locked(named),
        }
    }
}

/// A file that stays locked as long as anybody here has it open.
#[derive(Debug)]
pub(super) struct Locked(pub(super) File);

impl Locked {
    /// Whether it is the one at `path` still.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let (held, named) = (self.0.metadata(), path.metadata());
        matches!((held, named), (Ok(held), Ok(named)) if is_same(&held, &named))
    }

    /// As [`FileExt::read_exact_at`].
    pub(super) fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // A process that was begun at this moment has the file open until it runs its own program: closing alone would
        // leave the lock with it.
        let _ = self.0.unlock();
    }
}

/// Whether both are of one file.
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Takes the lock of `path`, opening its file as `options` say; `None` when it is not there. Whoever holds it may remove
/// its file.
pub(super) fn lock(path: &Path, options: &OpenOptions) -> Result<Option<File>, OpenError> {
    let name = beside(path, LOCK);
    let failed = |error| folder_error(path, error);
    loop {
        let file = match options.open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // The lock of a file that was removed meanwhile keeps nobody away.
        let held = file.metadata().map_err(failed)?;
        match fs::metadata(&name) {
            Ok(named) if is_same(&held, &named) => return Ok(Some(file)),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
}

/// As [`lock_file`], but not of an empty file: nobody serves it, and whoever makes a register in it at this moment, with the
/// lock of its name, is not to be kept from the file's.
pub(super) fn lock_served(path: &Path) -> Result<Option<File>, OpenError> {
    match path.metadata() {
        Ok(found) if found.len() > 0 => lock_file(path),
        _ => Ok(None),
    }
}

/// Takes the lock of the file at `path`; `None` when it is not there, or where that might be in the way of SQLite's.
pub(super) fn lock_file(path: &Path) -> Result<Option<File>, OpenError> {
    // Of one that cannot be read opening will tell.
    let Ok(file) = File::open(path) else {
        return Ok(None);
    };
    if !file_system::parts_locks(&file) {
        return Ok(None);
    }
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(folder_error(path, error)),
    }
}
