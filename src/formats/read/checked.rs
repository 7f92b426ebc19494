//! An input that has been read once and found good, to be read again.

use std::{
    fs::{File, Metadata},
    io::{Read, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    error::InputError,
    records::{Record, Records},
};

/// How many records an input holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub records: u64,
    /// Those without an id of their own.
    pub unnamed: u64,
}

impl Counts {
    /// Those of what `reader` holds, when all of it is good. `seen` counts on the way.
    pub(super) fn of(reader: impl Read, name: &str, seen: &AtomicU64) -> Result<Self, InputError> {
        let mut counts = Self::default();
        for record in Records::new(reader, name) {
            counts.records += 1;
            counts.unnamed += u64::from(record?.consignment.id.is_empty());
            seen.store(counts.records, Ordering::Relaxed);
        }
        Ok(counts)
    }
}

/// What a file's metadata say of its contents: whoever changes them changes one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// The same. Nobody can set it back, as tools do with the time above.
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// An input that is good as a whole.
#[derive(Debug)]
pub struct Checked {
    file: File,
    name: String,
    counts: Counts,
    /// As it was before it was read; `None` for a file that nobody else can change.
    stamp: Option<Stamp>,
}

impl Checked {
    pub(super) fn new(file: File, name: String, counts: Counts, stamp: Option<Stamp>) -> Self {
        Self {
            file,
            name,
            counts,
            stamp,
        }
    }

    /// The name that errors give it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many records it holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Its records once more. Only one reading at a time: they share a position.
    ///
    /// # Errors
    ///
    /// [`InputError::Read`] when it cannot be read from the beginning.
    pub fn records(&self) -> Result<Again<'_>, InputError> {
        (&self.file)
            .seek(SeekFrom::Start(0))
            .map_err(|error| InputError::from_io(self.name.clone(), error))?;
        Ok(Again {
            checked: self,
            records: Records::new(&self.file, &self.name),
            left: self.counts.records,
        })
    }

    fn changed(&self) -> InputError {
        InputError::Changed {
            name: self.name.clone(),
        }
    }
}

/// The records of a checked input. All of them were handed out, and the input is as it was, only where this ends
/// without an error.
pub struct Again<'a> {
    checked: &'a Checked,
    records: Records<&'a File>,
    left: u64,
}

impl Again<'_> {
    /// Makes sure that the input has not been changed up to now.
    ///
    /// # Errors
    ///
    /// [`InputError::Changed`], or [`InputError::Read`] when the system does not tell.
    pub fn verify(&self) -> Result<(), InputError> {
        let Checked { file, stamp, .. } = self.checked;
        let Some(stamp) = stamp else {
            return Ok(());
        };
        let metadata = (file.metadata())
            .map_err(|error| InputError::from_io(self.checked.name.clone(), error))?;
        if Stamp::of(&metadata) == *stamp {
            Ok(())
        } else {
            Err(self.checked.changed())
        }
    }
}

impl Iterator for Again<'_> {
    type Item = Result<Record, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.records.next() {
            Some(Ok(record)) if self.left > 0 => {
                self.left -= 1;
                Some(Ok(record))
            }
            Some(Err(error @ InputError::Read { .. })) => Some(Err(error)),
            None if self.left == 0 => self.verify().err().map(Err),
            // It was good to its end before.
            _ => Some(Err(self.checked.changed())),
        }
    }
}
