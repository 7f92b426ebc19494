//! The records of an input, one at a time.

use std::io::{self, Read};

use super::{
    decode,
    error::InputError,
    frame::{Frames, Shape},
};
use crate::proto::Consignment;

/// A consignment that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// What it holds, within the contract's limits.
    pub consignment: Consignment,
}

/// The records of one input, in memory that does not grow with their number. Each is good by itself; what follows may
/// yet be bad. It ends after the first error.
pub struct Records<R> {
    frames: Frames<R>,
    name: String,
    any: bool,
    ended: bool,
}

impl<R: Read> Records<R> {
    /// Those that `reader` holds; `name` is what errors call it.
    pub fn new(reader: R, name: &str) -> Self {
        Self {
            frames: Frames::new(reader),
            name: name.to_owned(),
            any: false,
            ended: false,
        }
    }

    fn read(&mut self) -> Result<Option<Record>, InputError> {
        let quick = quick(&mut self.frames);
        if let Some(record) = quick.map_err(|error| self.unread(error))? {
            return Ok(Some(record));
        }
        let frame =
            (self.frames.next()).map_err(|error| InputError::from_frame(&self.name, error))?;
        let Some(frame) = frame else {
            return self.end().map(|()| None);
        };
        let consignment = decode::decode(&frame)
            .map_err(|faults| InputError::from_faults(&self.name, &frame, faults))?;
        Ok(Some(Record {
            line: frame.start.line,
            consignment,
        }))
    }

    fn unread(&self, error: io::Error) -> InputError {
        InputError::from_io(self.name.clone(), error)
    }

    /// An input must hold something.
    fn end(&self) -> Result<(), InputError> {
        let name = self.name.clone();
        match self.frames.shape() {
            _ if self.any => Ok(()),
            Shape::Array => Err(InputError::EmptyArray { name }),
            Shape::Stream => Err(InputError::Empty { name }),
        }
    }
}

/// The record that is the whole of the next line, as in NDJSON, which is a third of the work when brackets need not be
/// followed. `None` whenever it is not as simple as that, and for whatever is wrong: it is read again, with its place.
fn quick(frames: &mut Frames<impl Read>) -> io::Result<Option<Record>> {
    let Some(line) = frames.line()? else {
        return Ok(None);
    };
    let length = line.len();
    Ok(decode::plain(line).map(|consignment| Record {
        line: frames.pass_line(length),
        consignment,
    }))
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<Record, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let record = self.read().transpose();
        self.any = true;
        self.ended = !matches!(record, Some(Ok(_)));
        record
    }
}
