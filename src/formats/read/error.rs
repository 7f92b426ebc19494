//! Why an input cannot be used, in words that say where and what to do.

use std::{fmt, io, path::PathBuf};

use super::{
    fault::Fault,
    frame::{Frame, FrameError, Shape},
    path,
    spool::SpoolError,
};

/// What an input may look like, for the errors that have nothing else to show.
const EXAMPLE: &str = r#"{"description": "Tea", "weight": 550, "vessel_id": "vessel001"}"#;

/// Why an input cannot be used. The text of each says what to do next; it is complete without
/// [`source`](std::error::Error::source), save for [`InputError::Read`] and [`InputError::Spool`].
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
    /// What cannot be read twice could not be kept while it was checked.
    #[error(
        "could not keep {name} in {} while it is checked; set TMPDIR to a folder with room for all of it, or give a file",
        folder.display()
    )]
    Spool {
        /// The input's name.
        name: String,
        /// The folder for temporary files.
        folder: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// It was changed after it had been checked.
    #[error("{name} was changed after it had been checked")]
    Changed {
        /// The input's name.
        name: String,
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

impl Problem {
    /// The path without the number of its record, which the line tells as well.
    #[must_use]
    pub fn field(&self) -> &str {
        match self.path.strip_prefix(RECORD) {
            Some(record) => record.split_once(", ").map_or("", |(_, path)| path),
            None => &self.path,
        }
    }
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
    pub(super) fn from_spool(name: String, error: io::Error) -> Self {
        let folder = std::env::temp_dir();
        Self::Spool {
            name,
            folder,
            error,
        }
    }

    pub(super) fn from_io(name: String, error: io::Error) -> Self {
        let error = match error.downcast::<SpoolError>() {
            Ok(SpoolError(error)) => return Self::from_spool(name, error),
            Err(error) => error,
        };
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { name },
            io::ErrorKind::IsADirectory => Self::Directory { name },
            io::ErrorKind::PermissionDenied => Self::Denied { name },
            _ => Self::Read { name, error },
        }
    }

    pub(super) fn from_frame(name: &str, error: FrameError) -> Self {
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

    pub(super) fn from_faults(name: &str, frame: &Frame<'_>, faults: Vec<Fault>) -> Self {
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

/// What stands before the number of one of several objects.
const RECORD: &str = "record ";

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
        Shape::Stream if path.is_empty() => format!("{RECORD}{}", index + 1),
        Shape::Stream => format!("{RECORD}{}, {path}", index + 1),
    }
}
