//! Reads consignments from files and standard input.
//!
//! What is accepted: one JSON object, one array of objects, or objects one after another (NDJSON, or indented). The
//! mapping is proto3 JSON; both spellings of a key are good (`vessel_id`, `vesselId`), and `null` stands for a field's
//! default.

use std::{
    ffi::OsString,
    fmt,
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use crate::{escape::escape_control, proto::Consignment};

mod decode;
mod explain;
mod fault;
mod frame;
mod path;
#[cfg(test)]
mod tests;

use fault::Fault;
use frame::{Frame, FrameError, Frames, Shape};

/// What an input may look like, for the errors that have nothing else to show.
const EXAMPLE: &str = r#"{"description": "Tea", "weight": 550, "vessel_id": "vessel001"}"#;

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
            || "<stdin>".into(),
            |path| escape_control(&path.to_string_lossy()).into_owned(),
        )
    }

    /// Opens it for reading from the beginning.
    ///
    /// # Errors
    ///
    /// [`InputError::Missing`], [`InputError::Denied`], or [`InputError::Read`] for what is rarer. A directory opens;
    /// reading from it is the error.
    pub fn open(&self) -> Result<Box<dyn Read>, InputError> {
        let Some(path) = &self.path else {
            return Ok(Box::new(io::stdin()));
        };
        File::open(path)
            .map(|file| Box::new(file) as Box<dyn Read>)
            .map_err(|error| InputError::from_io(self.name(), error))
    }
}

/// A consignment that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// What it holds, within the contract's limits.
    pub consignment: Consignment,
}

/// Why an input cannot be used. The text of each says what to do next; it is complete without
/// [`source`](std::error::Error::source), save for [`InputError::Read`].
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// There is no such file.
    #[error(
        "could not open {name}: there is no such file; check the path, or give - to read standard input"
    )]
    Missing {
        /// The input's name.
        name: String,
    },
    /// The path is a directory's.
    #[error("could not read {name}: it is a directory; give the file that holds the consignments")]
    Directory {
        /// The input's name.
        name: String,
    },
    /// The file may not be read.
    #[error(
        "could not open {name}: permission denied; make the file readable for the user that runs shippy"
    )]
    Denied {
        /// The input's name.
        name: String,
    },
    /// Reading failed in another way.
    #[error("could not read {name}")]
    Read {
        /// The input's name.
        name: String,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// There is nothing but white space.
    #[error(
        "{name} is empty, so there is nothing to create; a consignment looks like this: {EXAMPLE}"
    )]
    Empty {
        /// The input's name.
        name: String,
    },
    /// There is an array, and nothing in it.
    #[error(
        "{name} is an array that holds no consignments, so there is nothing to create; one looks like this: {EXAMPLE}"
    )]
    EmptyArray {
        /// The input's name.
        name: String,
    },
    /// What it holds is not what a consignment may be. One line each, `NAME:LINE:COLUMN: at PATH: …`.
    #[error("{}", lines(.name, .problems, *.more))]
    Invalid {
        /// The input's name.
        name: String,
        /// What is wrong with the first bad record; never empty.
        problems: Vec<Problem>,
        /// How many more there are in that record.
        more: usize,
    },
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The path in the contract's names, like `[499].containers[3].origin` in an array or `record 500, weight` from
    /// the second of several records on; empty when the place says enough.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(formatter, "at {}: ", self.path)?;
        }
        formatter.write_str(&self.message)
    }
}

fn lines(name: &str, problems: &[Problem], more: usize) -> String {
    let mut lines: Vec<_> = problems
        .iter()
        .map(|problem| format!("{name}:{problem}"))
        .collect();
    if more > 0 {
        lines.push(format!("{name}: and {more} more in the same record"));
    }
    lines.join("\n")
}

impl InputError {
    fn from_io(name: String, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { name },
            io::ErrorKind::IsADirectory => Self::Directory { name },
            io::ErrorKind::PermissionDenied => Self::Denied { name },
            _ => Self::Read { name, error },
        }
    }

    fn from_frame(name: &str, error: FrameError) -> Self {
        let name = name.to_owned();
        match error {
            FrameError::Read(error) => Self::from_io(name, error),
            FrameError::Bad(place, message) => Self::Invalid {
                name,
                problems: vec![Problem {
                    line: place.line,
                    column: place.column,
                    path: String::new(),
                    message,
                }],
                more: 0,
            },
        }
    }

    fn from_faults(name: &str, frame: &Frame<'_>, faults: Vec<Fault>) -> Self {
        let more = faults.len().saturating_sub(MAX_PROBLEMS);
        let problems = faults
            .into_iter()
            .take(MAX_PROBLEMS)
            .map(|fault| {
                let place = frame.start.after(&frame.text[..fault.offset]);
                Problem {
                    line: place.line,
                    column: place.column,
                    path: full_path(frame, &path::render(&fault.path)),
                    message: fault.message,
                }
            })
            .collect();
        Self::Invalid {
            name: name.to_owned(),
            problems,
            more,
        }
    }
}

/// How many problems of a record are told: enough to see a pattern, few enough to read.
const MAX_PROBLEMS: usize = 10;

/// `path` within the record, seen from the whole input. The first of several objects looks like the only one, and
/// says no number.
fn full_path(frame: &Frame<'_>, path: &str) -> String {
    let index = frame.index;
    match frame.shape {
        Shape::Array if path.is_empty() => format!("[{index}]"),
        Shape::Array => format!("[{index}].{path}"),
        Shape::Stream if index == 0 => path.to_owned(),
        Shape::Stream if path.is_empty() => format!("record {}", index + 1),
        Shape::Stream => format!("record {}, {path}", index + 1),
    }
}

/// Reads all records of `source`.
///
/// # Errors
///
/// Any [`InputError`]; all of them lie in the input, so none is worth a retry.
pub fn read(source: &Source) -> Result<Vec<Record>, InputError> {
    let mut records = Vec::new();
    read_records(source.open()?, &source.name(), &mut |record| {
        records.push(record);
        Ok::<_, InputError>(())
    })?;
    Ok(records)
}

/// Reads records one at a time, in memory that does not grow with their number, and hands each to `each` once it is
/// known to be good. Records before a bad one have been handed out by then. `name` is what errors call the input.
///
/// # Errors
///
/// The first error of `each`, which ends the reading, or an [`InputError`] as [`read`] has it.
pub fn read_records<E: From<InputError>>(
    reader: impl Read,
    name: &str,
    each: &mut dyn FnMut(Record) -> Result<(), E>,
) -> Result<(), E> {
    let mut frames = Frames::new(reader);
    let mut any = false;
    while let Some(frame) = frames
        .next()
        .map_err(|error| InputError::from_frame(name, error))?
    {
        any = true;
        let consignment = decode::decode(&frame)
            .map_err(|faults| InputError::from_faults(name, &frame, faults))?;
        each(Record {
            line: frame.start.line,
            consignment,
        })?;
    }
    let name = name.to_owned();
    match frames.shape() {
        _ if any => Ok(()),
        Shape::Array => Err(InputError::EmptyArray { name }.into()),
        Shape::Stream => Err(InputError::Empty { name }.into()),
    }
}
