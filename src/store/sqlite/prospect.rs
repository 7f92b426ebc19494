//! What a start would find at the path of a register, seen without changing anything.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::Path,
};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{
    connect::connect_to_read,
    file_system,
    lock::{lock, lock_served},
    open::{
        IS_FOLDER, SCHEMA_VERSION, check_identity, check_magic, check_names, folder_error,
        missing_log, not_a_register, open_error,
    },
};
use crate::store::{OpenError, Prospect};

pub(super) fn of(path: &Path) -> Result<Prospect, OpenError> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(not_a_register(path, IS_FOLDER)),
        Ok(found) if !found.is_file() => Err(not_a_register(path, "it is no file")),
        Ok(_) => of_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => match path.read_link() {
            // The file that a link leads to need not be there yet.
            Ok(target) => of(&path.with_file_name("").join(target)),
            Err(_) => Ok(of_new(room_for(path)?.into_iter().collect())),
        },
        Err(error) => Err(folder_error(path, error)),
    }
}

/// A register that is to be made, with what there is to warn of.
fn of_new(warnings: Vec<String>) -> Prospect {
    Prospect {
        warnings,
        ..Prospect::default()
    }
}

/// Whether the file at `path` could be made, and the folders that it lacks; what there is to warn of.
fn room_for(path: &Path) -> Result<Option<String>, OpenError> {
    if path.file_name().is_none() {
        return Err(not_a_register(path, IS_FOLDER));
    }
    let above = path.ancestors().skip(1).map(|folder| {
        let is_here = folder.as_os_str().is_empty();
        if is_here { Path::new(".") } else { folder }
    });
    // A link that leads nowhere is there as well, and no folder can be made in its place.
    let mut above = above.skip_while(|folder| fs::symlink_metadata(folder).is_err());
    let nearest = above.next().unwrap_or(Path::new("/"));
    check_folder(&nearest.join("register"))?;
    file_system::check(nearest, path)
}

/// Whether files can be made beside `path`.
fn check_folder(path: &Path) -> Result<(), OpenError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let access = Access::WRITE_OK | Access::EXEC_OK;
    match fs::metadata(folder) {
        Err(error) => return Err(folder_error(path, error)),
        Ok(found) if !found.is_dir() => {
            return Err(folder_error(path, ErrorKind::NotADirectory.into()));
        }
        Ok(_) => {}
    }
    accessat(CWD, folder, access, AtFlags::EACCESS)
        .map_err(|error| folder_error(path, error.into()))
}

fn of_file(path: &Path) -> Result<Prospect, OpenError> {
    let path = path
        .canonicalize()
        .map_err(|error| folder_error(path, error))?;
    let warning = file_system::check(path.parent().unwrap_or(&path), &path)?;
    check_names(&path)?;
    // Let go of at once: whoever starts at this moment is not to be kept out. By POSIX, closing a file releases every lock
    // that this process has on it, so that all of these come before SQLite's.
    drop(lock(&path, File::options().write(true))?);
    drop(lock_served(&path)?);
    check_magic(&path)?;
    let writable = File::options().write(true).open(&path);
    drop(writable.map_err(|error| OpenError::NotWritable {
        path: path.clone(),
        reason: error.to_string(),
    })?);
    check_folder(&path)?;
    let failed = |error| open_error(&path, error);
    let missing_log = missing_log(&path);
    let connection = connect_to_read(&path).map_err(failed)?;
    let version = check_identity(&connection, &path)?;
    let warnings = warning.into_iter().chain(missing_log).collect();
    if version == 0 {
        return Ok(of_new(warnings));
    }
    let read = || {
        let last = "SELECT coalesce(max(sequence), 0) FROM consignment";
        connection.query_row(last, [], |row| row.get::<_, i64>(0))?;
        connection.query_row("SELECT id FROM register", [], |row| row.get(0))
    };
    Ok(Prospect {
        register: Some(read().map_err(failed)?),
        migration: (version < SCHEMA_VERSION).then_some((version, SCHEMA_VERSION)),
        warnings,
    })
}
