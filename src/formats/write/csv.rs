//! CSV (RFC 4180): a row for each container, with its consignment's columns repeated, and one for a consignment
//! without containers.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use csv::Writer;

use super::rfc3339;
use crate::{
    escape::{acts, escape_control},
    proto::{Consignment, Container},
};

const HEADER: [&str; 11] = [
    "sequence",
    "created_at",
    "id",
    "vessel_id",
    "weight",
    "description",
    "container_id",
    "customer_id",
    "origin",
    "user_id",
    "created_by",
];

/// What a spreadsheet takes a cell for a formula by, which the sender of a consignment must not be able to write into
/// somebody's spreadsheet (OWASP, CSV Injection).
const FORMULA_MARKS: [char; 4] = ['=', '+', '-', '@'];

/// Writes the header before the first row, and alone where there is none.
#[derive(Debug, Default)]
pub struct Rows {
    begun: bool,
}

impl Rows {
    /// Writes the rows of `chunk`.
    ///
    /// # Errors
    ///
    /// That of `out`.
    pub fn write(&mut self, out: &mut impl Write, chunk: &[Consignment]) -> io::Result<()> {
        let mut rows = Writer::from_writer(out);
        if !self.begun {
            self.begun = true;
            rows.write_record(HEADER)?;
        }
        for consignment in chunk {
            let none = [Container::default()];
            let containers = match &consignment.containers[..] {
                [] => &none,
                containers => containers,
            };
            for container in containers {
                write_row(&mut rows, consignment, container)?;
            }
        }
        rows.flush()
    }
}

fn write_row(
    rows: &mut Writer<impl Write>,
    consignment: &Consignment,
    container: &Container,
) -> io::Result<()> {
    let created_at = consignment.created_at.map(rfc3339).unwrap_or_default();
    let numbers = [consignment.sequence.to_string(), created_at];
    let weight = consignment.weight.to_string();
    let texts = [&consignment.id, &consignment.vessel_id].map(|text| cell(text));
    let rest = [
        &consignment.description,
        &container.id,
        &container.customer_id,
        &container.origin,
        &container.user_id,
        &consignment.created_by,
    ]
    .map(|text| cell(text));
    let cells = (numbers.iter().map(String::as_str))
        .chain(texts.iter().map(AsRef::as_ref))
        .chain([&*weight])
        .chain(rest.iter().map(AsRef::as_ref));
    rows.write_record(cells)?;
    Ok(())
}

/// `text` as a cell that neither a spreadsheet nor a terminal carries out. Line breaks stay: CSV has them in quotes.
fn cell(text: &str) -> Cow<'_, str> {
    let is_formula = text.starts_with(FORMULA_MARKS);
    if !is_formula && !text.contains(|char| char != '\n' && acts(char)) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<_> = text.split('\n').map(escape_control).collect();
    let mark = if is_formula { "'" } else { "" };
    Cow::Owned(format!("{mark}{}", lines.join("\n")))
}
