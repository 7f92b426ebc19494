//! The place for a copy, which nobody else may take meanwhile.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempPath;

use super::BackupError;
use crate::store::{
    OpenError,
    sqlite::{
        connect::beside,
        open::{LOCK, lock},
    },
};

/// What SQLite keeps beside a database that is open, or that was when its process was killed.
const LOGS: [&str; 3] = ["-wal", "-journal", "-shm"];

/// Where a copy is to be.
#[derive(Debug)]
pub struct Target {
    pub(super) path: PathBuf,
    pub(super) folder: PathBuf,
    /// Whether what is there is replaced.
    force: bool,
    /// Nobody serves what is there, or writes it, as long as this is held.
    lock: Option<File>,
    /// Whether the lock's file goes with the backup.
    is_lock_new: bool,
}

impl Target {
    /// The place `path` for a copy, which replaces what is there when `force` says so.
    ///
    /// # Errors
    ///
    /// [`BackupError`]: why it cannot be there.
    pub fn new(path: &Path, force: bool) -> Result<Self, BackupError> {
        let bad = |reason| BackupError::Place {
            path: path.to_owned(),
            reason,
        };
        let name = path.file_name().ok_or_else(|| bad("it is a folder"))?;
        let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let folder = folder.canonicalize().map_err(|cause| BackupError::Folder {
            path: path.to_owned(),
            cause,
        })?;
        let mut target = Self {
            path: folder.join(name),
            folder,
            force,
            lock: None,
            is_lock_new: false,
        };
        // Nothing is left beside what cannot be replaced.
        target.look()?;
        target.take_lock()?;
        target.look()?;
        Ok(target)
    }

    /// Whether the copy can be put there as it is now.
    fn look(&self) -> Result<(), BackupError> {
        let path = &self.path;
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => return Err(self.bad("it is a folder")),
            Ok(found) if !found.is_file() => return Err(self.bad("it is no file")),
            Ok(_) if !self.force => return Err(BackupError::Exists(path.clone())),
            _ => {}
        }
        // SQLite would take it for the copy's own.
        let mut beside_it = LOGS.iter().map(|end| beside(path, end));
        if beside_it.any(|log| log.exists()) {
            return Err(self.bad("beside it is the log of a register that was there, or is served"));
        }
        Ok(())
    }

    /// Keeps servers and other backups away from the place, also where no register has been served.
    fn take_lock(&mut self) -> Result<(), BackupError> {
        let known = lock(&self.path, File::options().write(true));
        self.is_lock_new = matches!(known, Ok(None));
        let taken = match known {
            Ok(None) => lock(&self.path, File::options().write(true).create(true)),
            known => known,
        };
        self.lock = taken.map_err(|error| match error {
            OpenError::InUse(_) => self.bad("it is served, or another backup is written there"),
            OpenError::Folder { cause, .. } => self.folder_error(cause),
            error => error.into(),
        })?;
        Ok(())
    }

    /// A name beside it, under which nothing is kept when the process fails.
    pub(super) fn temporary(&self) -> Result<TempPath, BackupError> {
        let mut prefix = self.path.file_name().unwrap_or_default().to_owned();
        prefix.push(".");
        let made = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(".partial")
            .tempfile_in(&self.folder);
        let made = made.map_err(|cause| self.folder_error(cause))?;
        Ok(made.into_temp_path())
    }

    /// Puts what is at `temporary` there.
    pub(super) fn fill(&self, temporary: TempPath) -> Result<(), BackupError> {
        self.look()?;
        if self.force {
            let moved = temporary.persist(&self.path);
            return moved.map_err(|error| self.write_error(error.error));
        }
        let moved = temporary.persist_noclobber(&self.path);
        moved.map_err(|error| match error.error.kind() {
            ErrorKind::AlreadyExists => BackupError::Exists(self.path.clone()),
            _ => self.write_error(error.error),
        })
    }

    pub(super) fn bad(&self, reason: &'static str) -> BackupError {
        BackupError::Place {
            path: self.path.clone(),
            reason,
        }
    }

    fn folder_error(&self, cause: io::Error) -> BackupError {
        match cause.kind() {
            ErrorKind::StorageFull => BackupError::Full(self.path.clone()),
            _ => BackupError::Folder {
                path: self.path.clone(),
                cause,
            },
        }
    }

    pub(super) fn write_error(&self, cause: io::Error) -> BackupError {
        match cause.kind() {
            ErrorKind::StorageFull => BackupError::Full(self.path.clone()),
            _ => BackupError::Write {
                path: self.path.clone(),
                cause: Arc::new(cause),
            },
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // While it is held: whoever has opened it by then finds that it is gone.
        if self.is_lock_new && self.lock.is_some() {
            let _ = fs::remove_file(beside(&self.path, LOCK));
        }
    }
}
