//! JSON: one object a line, or one array.

use std::io::{self, Write};

use pbjson_types::Timestamp;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use super::rfc3339;
use crate::{
    escape::acts,
    proto::{Consignment, Container},
};

/// Lines are passed on once there are so many bytes of them, so that few writes take few large pieces.
const BLOCK_BYTES: usize = 64 * 1024;

/// Objects, each on a line of its own. They are written by hand, field by field, in the way of `write_object`, which
/// takes several times as long.
#[derive(Debug, Default)]
pub struct Lines {
    block: Vec<u8>,
    clock: Clock,
}

impl Lines {
    /// Writes the lines of `chunk`.
    ///
    /// # Errors
    ///
    /// That of `out`.
    pub fn write(&mut self, out: &mut impl Write, chunk: &[Consignment]) -> io::Result<()> {
        for consignment in chunk {
            self.write_line(consignment)?;
            if self.block.len() >= BLOCK_BYTES {
                self.pass_on(out)?;
            }
        }
        self.pass_on(out)
    }

    fn write_line(&mut self, consignment: &Consignment) -> io::Result<()> {
        let Consignment {
            id,
            description,
            weight,
            containers,
            vessel_id,
            created_at,
            sequence,
            created_by,
        } = consignment;
        let mut object = Fields::begin(&mut self.block);
        object.text("id", id)?;
        object.text("description", description)?;
        if *weight != 0 {
            write!(object.field("weight"), "{weight}")?;
        }
        if !containers.is_empty() {
            write_containers(object.field("containers"), containers)?;
        }
        object.text("vessel_id", vessel_id)?;
        if *sequence != 0 {
            write!(object.field("sequence"), "\"{sequence}\"")?;
        }
        object.text("created_by", created_by)?;
        if let Some(time) = created_at {
            self.clock.write(object.field("created_at"), *time)?;
        }
        object.end();
        self.block.push(b'\n');
        Ok(())
    }

    fn pass_on(&mut self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.block)?;
        self.block.clear();
        // One that was much larger than usual is not kept.
        self.block.shrink_to(2 * BLOCK_BYTES);
        Ok(())
    }
}

fn write_containers(out: &mut Vec<u8>, containers: &[Container]) -> io::Result<()> {
    for (index, container) in containers.iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        let mut object = Fields::begin(out);
        object.text("id", &container.id)?;
        object.text("customer_id", &container.customer_id)?;
        object.text("origin", &container.origin)?;
        object.text("user_id", &container.user_id)?;
        object.end();
    }
    out.push(b']');
    Ok(())
}

/// An object that is being written. What has its default is left out, as proto3 JSON has it.
struct Fields<'o> {
    out: &'o mut Vec<u8>,
    begun: bool,
}

impl<'o> Fields<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, begun: false }
    }

    /// Begins a field; its value is to be written next.
    fn field(&mut self, name: &str) -> &mut Vec<u8> {
        self.out
            .extend_from_slice(if self.begun { b",\"" } else { b"\"" });
        self.begun = true;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn text(&mut self, name: &str, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let out = self.field(name);
        let is_plain = |byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        // Without a way out in the middle, so that many bytes are looked at in one instruction.
        if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
            out.push(b'"');
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
        } else {
            let formatter = Escaping(&mut CompactFormatter);
            text.serialize(&mut Serializer::with_formatter(out, formatter))?;
        }
        Ok(())
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

/// Writes times, and keeps the text of the last second: most consignments of a chunk are of one.
#[derive(Debug, Default)]
struct Clock {
    second: Option<i64>,
    /// That second without the `Z` at its end.
    text: String,
}

impl Clock {
    /// Writes `time` as a text.
    fn write(&mut self, out: &mut Vec<u8>, time: Timestamp) -> io::Result<()> {
        let Timestamp { seconds, nanos } = time;
        if !(0..1_000_000_000).contains(&nanos) {
            return write!(out, "\"{}\"", rfc3339(time));
        }
        if self.second != Some(seconds) {
            self.text = rfc3339(Timestamp { seconds, nanos: 0 });
            self.text.pop();
            self.second = Some(seconds);
        }
        write!(out, "\"{}", self.text)?;
        match nanos {
            0 => write!(out, "Z\""),
            _ if nanos % 1_000_000 == 0 => write!(out, ".{:03}Z\"", nanos / 1_000_000),
            _ if nanos % 1_000 == 0 => write!(out, ".{:06}Z\"", nanos / 1_000),
            _ => write!(out, ".{nanos:09}Z\""),
        }
    }
}

/// One array, indented, written element by element.
#[derive(Debug, Default)]
pub struct Array {
    begun: bool,
    /// Kept from element to element: it knows how deep they stand.
    formatter: PrettyFormatter<'static>,
}

impl Array {
    /// Writes one more.
    ///
    /// # Errors
    ///
    /// That of `out`.
    pub fn write(&mut self, out: &mut impl Write, consignment: Consignment) -> io::Result<()> {
        let first = !self.begun;
        self.begin(out)?;
        self.formatter.begin_array_value(out, first)?;
        write_object(out, &mut self.formatter, consignment)?;
        self.formatter.end_array_value(out)
    }

    /// Writes its end; without it the array is not whole.
    ///
    /// # Errors
    ///
    /// That of `out`.
    pub fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
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

/// Writes `consignment` by its generated mapping.
pub(crate) fn write_object(
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
        // Texts that hold none of what a character begins or is that acts are passed on at once.
        if !fragment
            .bytes()
            .any(|byte| matches!(byte, ..b' ' | 0x7f | 0xc2 | 0xe2))
        {
            return out.write_all(fragment.as_bytes());
        }
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
