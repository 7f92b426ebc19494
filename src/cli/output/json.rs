//! JSON: one object a line, or one array.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use super::rfc3339;
use crate::{escape::acts, proto::Consignment};

/// Writes `consignment` as a line of its own.
pub(super) fn write_line(out: &mut impl Write, consignment: Consignment) -> io::Result<()> {
    write_object(out, &mut CompactFormatter, consignment)?;
    out.write_all(b"\n")
}

/// One array, indented, written element by element.
#[derive(Debug, Default)]
pub(super) struct Array {
    begun: bool,
    /// Kept from element to element: it knows how deep they stand.
    formatter: PrettyFormatter<'static>,
}

impl Array {
    pub(super) fn write(
        &mut self,
        out: &mut impl Write,
        consignment: Consignment,
    ) -> io::Result<()> {
        let first = !self.begun;
        self.begin(out)?;
        self.formatter.begin_array_value(out, first)?;
        write_object(out, &mut self.formatter, consignment)?;
        self.formatter.end_array_value(out)
    }

    pub(super) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.begin(out)?;
        self.formatter.end_array(out)?;
        out.write_all(b"\n")
    }

    fn begin(&mut self, out: &mut impl Write) -> io::Result<()> {
        if !self.begun {
            self.begun = true;
            self.formatter.begin_array(out)?;
        }
        Ok(())
    }
}

fn write_object(
    out: &mut impl Write,
    formatter: &mut impl Formatter,
    mut consignment: Consignment,
) -> io::Result<()> {
    let object = Object {
        created_at: consignment.created_at.take().map(rfc3339),
        consignment,
    };
    object.serialize(&mut Serializer::with_formatter(out, Escaping(formatter)))?;
    Ok(())
}

/// A consignment in its JSON mapping, but for the time, which pbjson would not end in `Z`.
#[derive(Serialize)]
struct Object {
    /// Without its `created_at`.
    #[serde(flatten)]
    consignment: Consignment,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

/// Writes as the formatter within does, and escapes also what JSON lets pass and a terminal acts on: DEL, C1 controls
/// and the bidirectional overrides. It is the same JSON to every reader.
struct Escaping<'a, F>(&'a mut F);

impl<F: Formatter> Formatter for Escaping<'_, F> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut plain = 0;
        for (start, char) in fragment.char_indices().filter(|&(_, char)| acts(char)) {
            out.write_all(&fragment.as_bytes()[plain..start])?;
            // Four digits are enough for each of them.
            write!(out, "\\u{:04x}", u32::from(char))?;
            plain = start + char.len_utf8();
        }
        out.write_all(&fragment.as_bytes()[plain..])
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}
