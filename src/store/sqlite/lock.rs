//! One server at a time has a register: by the lock of its name, which is a file beside it, and by one of the file itself,
//! which has another name as soon as somebody moves it or links it anew.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use super::{connect::beside, file_system, open::folder_error};
use crate::store::OpenError;

/// How the name of a register's lock ends.
pub(super) const LOCK: &str = ".lock";

/// What a server holds of its register until it is dropped. That comes after all of this process's connections to it: by
/// POSIX, closing a file releases every lock that the process has on it, SQLite's included.
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) named: File,
    pub(super) file: Option<File>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A process that was begun at this moment has the files open until it runs its own program: closing alone would
        // leave the locks with it.
        for file in self.file.iter().chain([&self.named]) {
            let _ = file.unlock();
        }
    }
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
            Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => {
                return Ok(Some(file));
            }
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
