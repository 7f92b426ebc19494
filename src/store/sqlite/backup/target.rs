//! The place for a copy, which nobody else may take meanwhile.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::process::geteuid;
use tempfile::TempPath;

use super::BackupError;
use crate::store::{
    OpenError,
    sqlite::{
        connect::{beside, private},
        lock::{LOCK, lock, lock_file},
        open::{APPLICATION_ID, SQLITE_MAGIC},
    },
};

/// What SQLite keeps beside a database that is open, or that was when its process was killed.
const LOGS: [&str; 3] = ["-wal", "-journal", "-shm"];
/// How the name ends of a copy that is not whole yet: what it is to be called, a dot, characters by chance and this.
const PARTIAL: &str = ".partial";
const CHANCE: usize = 6;
/// How long nobody has written to a file that may be anybody's before it counts as left behind.
const SETTLED: Duration = Duration::from_secs(5 * 60);
/// Where a database says whose it is (<https://www.sqlite.org/fileformat2.html#the_database_header>).
const APPLICATION_ID_AT: usize = 68;

/// Where a copy is to be.
#[derive(Debug)]
pub struct Target {
    pub(super) path: PathBuf,
    pub(super) folder: PathBuf,
    /// Whether what is there is replaced.
    force: bool,
    /// Nobody serves what is there, or writes it, as long as this is held.
    lock: Option<File>,
    /// The same of the file that is there, by whatever name it is served.
    file: Option<File>,
    /// Whether the lock's file goes with this: nobody has served what is there.
    is_lock_ours: bool,
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
            file: None,
            is_lock_ours: false,
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
        self.is_lock_ours = matches!(known, Ok(None));
        let taken = match known {
            Ok(None) => lock(&self.path, private().create(true)),
            known => known,
        };
        let refused = |error| match error {
            OpenError::InUse(_) => self.bad("it is served, or another backup is written there"),
            OpenError::Folder { cause, .. } => self.folder_error(cause),
            error => error.into(),
        };
        let taken = taken.map_err(refused)?;
        let file = lock_file(&self.path).map_err(refused);
        self.lock = taken;
        self.file = file?;
        Ok(())
    }

    /// A name beside it, under which nothing is kept when the process fails. What those have left there that were killed
    /// is removed: whoever writes to this place holds its lock.
    pub(super) fn temporary(&self) -> Result<TempPath, BackupError> {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if self.is_partial(&entry.file_name()) && is_of_backup(&entry.path()).unwrap_or(false) {
                // Where it may not be removed it takes room, and is in nobody's way.
                let _ = fs::remove_file(entry.path());
            }
        }
        let made = tempfile::Builder::new()
            .prefix(&self.prefix())
            .rand_bytes(CHANCE)
            .suffix(PARTIAL)
            .tempfile_in(&self.folder);
        let made = made.map_err(|cause| self.folder_error(cause))?;
        Ok(made.into_temp_path())
    }

    fn prefix(&self) -> OsString {
        let mut prefix = self.path.file_name().unwrap_or_default().to_owned();
        prefix.push(".");
        prefix
    }

    /// Whether [`Self::temporary`] gives such names.
    fn is_partial(&self, name: &OsStr) -> bool {
        let chance = (name.as_bytes())
            .strip_prefix(self.prefix().as_bytes())
            .and_then(|rest| rest.strip_suffix(PARTIAL.as_bytes()));
        chance.is_some_and(|chance| {
            chance.len() == CHANCE && chance.iter().all(u8::is_ascii_alphanumeric)
        })
    }

    /// Puts what is at `temporary` there, durably.
    pub(super) fn fill(&mut self, temporary: TempPath) -> Result<(), BackupError> {
        self.look()?;
        let moved = if self.force {
            temporary.persist(&self.path)
        } else {
            temporary.persist_noclobber(&self.path)
        };
        moved.map_err(|error| match error.error.kind() {
            ErrorKind::AlreadyExists => BackupError::Exists(self.path.clone()),
            _ => self.write_error(error.error),
        })?;
        self.is_lock_ours = true;
        (File::open(&self.folder).and_then(|folder| folder.sync_all()))
            .map_err(|cause| self.write_error(cause))
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

/// Whether the file at `path` is what a backup of this user's may have written by the time it was killed, or the power
/// cut. Where nothing tells whose it is, one of another program may be at work on it.
fn is_of_backup(path: &Path) -> io::Result<bool> {
    let found = path.symlink_metadata()?;
    if !found.is_file() || found.uid() != geteuid().as_raw() {
        return Ok(false);
    }
    let mut start = Vec::new();
    let mark = APPLICATION_ID_AT..APPLICATION_ID_AT + 4;
    File::open(path)?
        .take(mark.end as u64)
        .read_to_end(&mut start)?;
    let is_ours = start.starts_with(SQLITE_MAGIC)
        && start
            .get(mark)
            .is_some_and(|id| id == APPLICATION_ID.to_be_bytes()[4..].as_ref());
    // A time that is yet to come is one of a clock that was set, and tells nothing.
    let age = found.modified()?.elapsed().unwrap_or_default();
    Ok(is_ours || age > SETTLED && start.iter().all(|byte| *byte == 0))
}

impl Drop for Target {
    fn drop(&mut self) {
        // While it is held: whoever has opened it by then finds that it is gone.
        if self.is_lock_ours && self.lock.is_some() {
            let _ = fs::remove_file(beside(&self.path, LOCK));
        }
    }
}
