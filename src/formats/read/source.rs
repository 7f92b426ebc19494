//! Where an input comes from.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::PathBuf,
    sync::atomic::AtomicU64,
};

use super::{
    checked::{Checked, Counts, Stamp},
    error::InputError,
    spool::Spool,
};
use crate::escape::escape_control;

/// The name of standard input.
pub const STDIN: &str = "<stdin>";

/// Where consignments are read from: a file, or standard input for `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `None` is standard input.
    path: Option<PathBuf>,
}

impl From<OsString> for Source {
    fn from(argument: OsString) -> Self {
        Self {
            path: (argument != "-").then(|| PathBuf::from(argument)),
        }
    }
}

impl Source {
    /// The name that errors give it: the path as it was written, or `<stdin>`.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.as_ref().map_or_else(
            || STDIN.into(),
            |path| escape_control(&path.to_string_lossy()).into_owned(),
        )
    }

    /// Reads all of it and makes sure that it is good, counting the records in `seen` on the way. This blocks, on
    /// standard input for as long as nothing comes.
    ///
    /// What cannot be read twice, as a pipe, is kept in a temporary file without a name meanwhile.
    ///
    /// # Errors
    ///
    /// Any [`InputError`] but [`InputError::Changed`]; they lie in the input, or for [`InputError::Spool`] in the
    /// folder for temporary files, so none is worth a retry.
    pub fn check(&self, seen: &AtomicU64) -> Result<Checked, InputError> {
        let name = self.name();
        let Some(path) = &self.path else {
            return check_once(io::stdin().lock(), name, seen);
        };
        let unread = |error| InputError::from_io(name.clone(), error);
        let file = File::open(path).map_err(unread)?;
        let metadata = file.metadata().map_err(unread)?;
        // A folder is refused on reading. What is neither, as a FIFO, gives what it has only once.
        if !metadata.is_file() && !metadata.is_dir() {
            return check_once(file, name, seen);
        }
        let counts = Counts::of(&file, &name, seen)?;
        Ok(Checked::new(file, name, counts, Some(Stamp::of(&metadata))))
    }
}

fn check_once(input: impl Read, name: String, seen: &AtomicU64) -> Result<Checked, InputError> {
    let copy = tempfile::tempfile().map_err(|error| InputError::from_spool(name.clone(), error))?;
    let spool = Spool { input, copy: &copy };
    let counts = Counts::of(spool, &name, seen)?;
    // Nobody else can change it: it has no name.
    Ok(Checked::new(copy, name, counts, None))
}
