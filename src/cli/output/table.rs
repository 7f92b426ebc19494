//! Tables: columns whose widths are set by the first chunk, since the rest is not there yet.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use pbjson_types::Timestamp;
use unicode_width::UnicodeWidthStr as _;

use crate::{
    consignment::MAX_ID_BYTES, escape::escape_control, formats::write::rfc3339, proto::Consignment,
};

const COLUMNS: usize = 7;
pub(super) const HEADER: [&str; COLUMNS] = [
    "SEQ",
    "ID",
    "CREATED",
    "VESSEL",
    "WEIGHT",
    "CONTAINERS",
    "DESCRIPTION",
];
const SEQUENCE: usize = 0;
const ID: usize = 1;
const CREATED: usize = 2;
const VESSEL: usize = 3;
const WEIGHT: usize = 4;
const CONTAINERS: usize = 5;
const DESCRIPTION: usize = 6;

/// What stands between columns.
const GAP: &str = "  ";

/// What is left out where there is no room for all columns, in this order. An id is whole, so that it can be copied.
const SPARED: [usize; 4] = [CONTAINERS, CREATED, WEIGHT, VESSEL];

/// From so many rows in the first chunk on, more are expected, with longer sequence numbers.
const MANY_ROWS: usize = 64;
/// The width then kept for sequence numbers: enough for nine million.
const MANY_ROWS_SEQUENCE_WIDTH: usize = 7;

/// What marks a text that was cut.
const CUT: char = '…';

/// A table, written row by row.
#[derive(Debug)]
pub(super) struct Table {
    /// Columns of the terminal; `None`: no text is cut.
    limit: Option<usize>,
    /// Widths of all columns but the last, once the header is written; `None` for those that are left out.
    widths: Option<Widths>,
}

impl Table {
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self {
            limit,
            widths: None,
        }
    }

    pub(super) fn write(&mut self, out: &mut impl Write, chunk: &[Consignment]) -> io::Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = chunk.iter().map(cells).collect();
        let widths = if let Some(widths) = self.widths {
            widths
        } else {
            let widths = widths(&rows, self.limit);
            self.widths = Some(widths);
            self.write_row(out, &widths, &HEADER.map(Cow::Borrowed))?;
            widths
        };
        rows.iter()
            .try_for_each(|row| self.write_row(out, &widths, row))
    }

    fn write_row(&self, out: &mut impl Write, widths: &Widths, row: &Row<'_>) -> io::Result<()> {
        let mut line = String::new();
        for (column, width) in widths.iter().enumerate() {
            let &Some(width) = width else {
                continue;
            };
            let cell = match column {
                // Within the contract none is as long as that.
                ID if self.limit.is_some() => cut_end(&row[ID], MAX_ID_BYTES),
                VESSEL if self.limit.is_some() => cut_end(&row[VESSEL], width),
                _ => Cow::Borrowed(&*row[column]),
            };
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            if matches!(column, SEQUENCE | WEIGHT | CONTAINERS) {
                line.extend([&padding, &*cell]);
            } else {
                line.extend([&*cell, &padding]);
            }
            line.push_str(GAP);
        }
        let description = &row[DESCRIPTION];
        line.push_str(&match self.limit {
            // From what this row has used: a number wider than its column must not push the line past the limit.
            Some(limit) => cut_end(description, limit.saturating_sub(line.width()).max(1)),
            None => Cow::Borrowed(&**description),
        });
        writeln!(out, "{}", line.trim_end())
    }
}

type Widths = [Option<usize>; DESCRIPTION];
type Row<'a> = [Cow<'a, str>; COLUMNS];

fn cells(consignment: &Consignment) -> Row<'_> {
    let created = consignment.created_at.map_or_else(String::new, |time| {
        // Whole seconds: for people, and all of one width.
        rfc3339(Timestamp {
            seconds: time.seconds,
            nanos: 0,
        })
    });
    [
        consignment.sequence.to_string().into(),
        escape_control(&consignment.id),
        created.into(),
        escape_control(&consignment.vessel_id),
        format!("{} kg", consignment.weight).into(),
        consignment.containers.len().to_string().into(),
        escape_control(&consignment.description),
    ]
}

/// The widths of all columns but the last for a table that begins with `rows`. Where the limit leaves no room for a
/// description, vessels get less, and what can be [spared](SPARED) is left out.
fn widths(rows: &[Row<'_>], limit: Option<usize>) -> Widths {
    let mut widths = [0; DESCRIPTION];
    for (column, width) in widths.iter_mut().enumerate() {
        let cells = rows.iter().map(|row| row[column].width());
        *width = cells.fold(HEADER[column].len(), usize::max);
    }
    widths[ID] = widths[ID].min(MAX_ID_BYTES);
    if rows.len() >= MANY_ROWS {
        widths[SEQUENCE] = widths[SEQUENCE].max(MANY_ROWS_SEQUENCE_WIDTH);
    }
    let mut widths = widths.map(Some);
    let Some(limit) = limit else {
        return widths;
    };
    let excess = |widths: &Widths| {
        let taken = widths.iter().flatten().map(|width| width + GAP.len());
        (taken.sum::<usize>() + HEADER[DESCRIPTION].len()).saturating_sub(limit)
    };
    // What a vessel's name may lose without being left out.
    let spare = widths[VESSEL].unwrap_or_default() - HEADER[VESSEL].len();
    for column in SPARED {
        if excess(&widths) <= spare {
            break;
        }
        widths[column] = None;
    }
    let given = excess(&widths);
    widths[VESSEL] = widths[VESSEL].map(|width| width - given);
    widths
}

/// `text` within `width` columns, its end cut off where needed.
fn cut_end(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let ends = text
        .char_indices()
        .map(|(start, char)| start + char.len_utf8());
    let kept = longest(ends.map(|end| &text[..end]), width);
    Cow::Owned(format!("{kept}{CUT}"))
}

/// The longest of ever longer `parts` that leaves a column for the mark. Each is measured whole, since the width of a
/// text is not the sum of its characters' (emoji sequences, variation selectors).
fn longest<'a>(parts: impl Iterator<Item = &'a str>, width: usize) -> &'a str {
    parts
        // Bounds the work for a text of characters without width; real ones combine a few.
        .take(4 * width)
        .take_while(|part| part.width() < width)
        .last()
        .unwrap_or_default()
}
