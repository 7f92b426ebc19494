//! Prints consignments, in chunks as they arrive.

use std::io::{self, BufWriter, Write};

use clap::ValueEnum;
use terminal_size::{Width, terminal_size_of};

use crate::{
    formats::write::{Array, Lines, Rows},
    proto::Consignment,
};

mod table;

use table::Table;

/// How consignments are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line each under a header, for people.
    Table,
    /// One indented JSON array.
    Json,
    /// A JSON object a line.
    Ndjson,
    /// A row for each container, for spreadsheets.
    Csv,
}

/// How wide the terminal is that standard output goes to, in columns. `None` when it goes elsewhere.
#[must_use]
pub fn terminal_width() -> Option<usize> {
    terminal_size_of(io::stdout()).map(|(Width(columns), _)| columns.into())
}

/// Prints consignments in one format, in memory that does not grow with their number.
///
/// JSON of both kinds is what `shippy create` reads. No format lets a control character of a text through: tables
/// show it as `\u{1b}`, JSON writes `\u001b`. CSV keeps line breaks, and marks with `'` what a spreadsheet would take for
/// a formula.
///
/// A reader that has gone away is an [`io::ErrorKind::BrokenPipe`] of whichever call met it.
#[derive(Debug)]
pub struct Printer<W: Write> {
    out: BufWriter<W>,
    form: Form,
    count: u64,
}

#[derive(Debug)]
enum Form {
    Table(Table),
    Json(Array),
    Ndjson(Lines),
    Csv(Rows),
}

impl<W: Write> Printer<W> {
    /// Prints to `out`. A table keeps within `width` columns where it can, by cutting texts short and leaving columns out;
    /// without a width, all is whole. Ids always are. JSON ignores it.
    pub fn new(format: Format, out: W, width: Option<usize>) -> Self {
        let form = match format {
            Format::Table => Form::Table(Table::new(width)),
            Format::Json => Form::Json(Array::default()),
            Format::Ndjson => Form::Ndjson(Lines::default()),
            Format::Csv => Form::Csv(Rows::default()),
        };
        Self {
            out: BufWriter::new(out),
            form,
            count: 0,
        }
    }

    /// Prints a chunk and passes it on at once, so that what is followed is seen as it comes. A table takes the widths
    /// of its columns from the first chunk that holds something.
    ///
    /// # Errors
    ///
    /// That of `out`. What was printed by then may be cut anywhere.
    pub fn print(&mut self, chunk: Vec<Consignment>) -> io::Result<()> {
        self.count += chunk.len() as u64;
        match &mut self.form {
            Form::Table(table) => table.write(&mut self.out, &chunk)?,
            Form::Csv(rows) => rows.write(&mut self.out, &chunk)?,
            Form::Json(array) => {
                for consignment in chunk {
                    array.write(&mut self.out, consignment)?;
                }
            }
            Form::Ndjson(lines) => lines.write(&mut self.out, &chunk)?,
        }
        self.out.flush()
    }

    /// How many were printed so far. A table of none prints nothing, header included: saying so is the caller's.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Prints what is still missing at the end, such as an array's closing bracket; without it a JSON array is not
    /// whole.
    ///
    /// # Errors
    ///
    /// That of `out`.
    pub fn finish(mut self) -> io::Result<()> {
        match &mut self.form {
            Form::Json(array) => array.finish(&mut self.out)?,
            // The header is there also when nothing else is.
            Form::Csv(rows) => rows.write(&mut self.out, &[])?,
            Form::Table(_) | Form::Ndjson(_) => {}
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
