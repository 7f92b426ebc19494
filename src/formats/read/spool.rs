//! Keeps what can be read only once.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Write as _},
};

/// Reads from `input` and keeps a copy of all that was read.
pub(super) struct Spool<'a, R> {
    pub(super) input: R,
    pub(super) copy: &'a File,
}

impl<R: Read> Read for Spool<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        (self.copy.write_all(&into[..read]))
            .map_err(|error| io::Error::other(SpoolError(error)))?;
        Ok(read)
    }
}

/// The copy could not be written. It travels as the source of an [`io::Error`].
#[derive(Debug)]
pub(super) struct SpoolError(pub(super) io::Error);

impl fmt::Display for SpoolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for SpoolError {}
