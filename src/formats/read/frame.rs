//! Cuts an input into the texts of its records, one at a time.
//!
//! This looks only at brackets and quotes, and leaves the grammar to the JSON parser: a record that the parser accepts
//! ends at its closing bracket, which is where it was cut; in one that it refuses, the parser stops before a wrong
//! cut could matter. In return the place of each record is exact, its text is at hand for messages, and memory is
//! bounded by one record.

use std::io::{self, BufRead as _, BufReader, Read};

use memchr::{memchr, memchr_iter, memchr2, memrchr};

use super::{
    csv::{self, CSV},
    unexpected::{MAX_WORD_BYTES, UTF16, ends_word, found, not_utf8, word},
};

/// How much of the input is read at a time: system calls are what reading a file costs beside parsing.
const BUFFER_BYTES: usize = 256 * 1024;

/// Longest text of a record, in bytes. The largest consignment, 256 KiB encoded, takes 1.5 MiB with each byte of its
/// texts escaped (`\u0001`); the rest is for white space. What is longer lacks a bracket or a quote, and must not
/// bring the whole input into memory.
pub(super) const MAX_RECORD_BYTES: usize = 8 * 1024 * 1024;

/// How much of the first line is looked at, in bytes, where it is of no record: a table's header is shorter.
const FIRST_LINE_BYTES: usize = 16 * 1024;

/// A place in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
}

impl Place {
    /// The place behind `text`, which begins here.
    pub(super) fn after(self, text: &[u8]) -> Self {
        let (line, column, rest) = match memrchr(b'\n', text) {
            Some(last) => {
                let breaks = memchr_iter(b'\n', text).count();
                (self.line + breaks, 1, &text[last + 1..])
            }
            None => (self.line, self.column, text),
        };
        // A UTF-8 continuation byte is part of the character before.
        let is_first = |byte: &&u8| !matches!(byte, 0x80..=0xbf);
        Self {
            line,
            column: column + rest.iter().filter(is_first).count(),
        }
    }
}

/// How the records stand in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One after another, or only one.
    Stream,
    /// In an array.
    Array,
}

/// The text of a record.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) text: &'a [u8],
    /// Where its opening bracket is.
    pub(super) start: Place,
    /// From 0.
    pub(super) index: usize,
    pub(super) shape: Shape,
    /// False when it passed [`MAX_RECORD_BYTES`] and was cut there.
    pub(super) whole: bool,
}

/// Why there is no next record.
#[derive(Debug)]
pub(super) enum FrameError {
    Read(io::Error),
    Bad(Place, String),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Anything: the input begins here.
    First,
    /// Another object, or the end of the input.
    Object,
    /// An element, or the end of the array.
    FirstElement,
    /// A comma and another element, or the end of the array.
    Comma,
    /// Another element, behind a comma.
    Element,
    /// Nothing: the array has ended.
    End,
}

/// The records' texts of one input.
pub(super) struct Frames<R> {
    input: BufReader<R>,
    /// The place of the next byte.
    place: Place,
    next: Next,
    shape: Shape,
    text: Vec<u8>,
    index: usize,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            input: BufReader::with_capacity(BUFFER_BYTES, reader),
            place: Place { line: 1, column: 1 },
            next: Next::First,
            shape: Shape::Stream,
            text: Vec::new(),
            index: 0,
        }
    }

    /// How the records stood, as far as they were read.
    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// The next record, or `None` at the end of the input.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        if self.next == Next::First {
            self.skip_byte_order_mark()?;
        }
        if !self.seek()? {
            return Ok(None);
        }
        let start = self.place;
        let whole = self.take_object()?;
        let index = self.index;
        self.index += 1;
        Ok(Some(Frame {
            text: &self.text,
            start,
            index,
            shape: self.shape,
            whole,
        }))
    }

    /// The rest of the line where the next record begins, without its end, when it looks as if that record were all
    /// of it. Only what has been read into the buffer is looked at.
    pub(super) fn line(&mut self) -> io::Result<Option<&[u8]>> {
        match self.next {
            Next::Object => drop(self.skip_space()?),
            Next::First => self.fill()?,
            _ => return Ok(None),
        }
        let buffer = self.input.buffer();
        let line = memchr(b'\n', buffer).map(|end| &buffer[..end]);
        let is_object =
            |line: &&[u8]| line.starts_with(b"{") && line.trim_ascii_end().ends_with(b"}");
        Ok(line.filter(is_object))
    }

    /// Passes over the line of `length` bytes that [`Frames::line`] gave, which was a record; its number.
    pub(super) fn pass_line(&mut self, length: usize) -> usize {
        let line = self.place.line;
        self.place = Place {
            line: line + 1,
            column: 1,
        };
        self.input.consume(length + 1);
        self.index += 1;
        self.next = Next::Object;
        line
    }

    /// Moves to the bracket that opens the next record; false when there is none.
    fn seek(&mut self) -> Result<bool, FrameError> {
        loop {
            let byte = self.skip_space()?;
            let (next, found) = match (self.next, byte) {
                (Next::First, Some(b'[')) => (Next::FirstElement, false),
                (Next::First | Next::Object, Some(b'{')) => (Next::Object, true),
                (Next::FirstElement | Next::Element, Some(b'{')) => (Next::Comma, true),
                (Next::FirstElement | Next::Comma, Some(b']')) => (Next::End, false),
                (Next::Comma, Some(b',')) => (Next::Element, false),
                (Next::First | Next::Object | Next::End, None) => return Ok(false),
                (Next::First, Some(_)) => return Err(self.nothing_known()?),
                (next, byte) => return Err(self.unexpected(expected(next, byte))?),
            };
            self.next = next;
            if found {
                return Ok(true);
            }
            if next == Next::FirstElement {
                self.shape = Shape::Array;
            }
            self.step();
        }
    }

    /// Reads one object into `text`; false when it is longer than a record may be. At the end of the input it stops
    /// too, and the parser will say what is missing.
    fn take_object(&mut self) -> io::Result<bool> {
        self.text.clear();
        let mut brackets = Brackets::default();
        loop {
            self.fill()?;
            let chunk = self.input.buffer();
            if chunk.is_empty() || self.text.len() >= MAX_RECORD_BYTES {
                return Ok(chunk.is_empty());
            }
            let room = chunk.len().min(MAX_RECORD_BYTES - self.text.len());
            let end = brackets.close(&chunk[..room]);
            let taken = end.unwrap_or(room);
            self.place = self.place.after(&chunk[..taken]);
            self.text.extend_from_slice(&chunk[..taken]);
            self.input.consume(taken);
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// Makes at least one byte ready, unless the input has ended.
    fn fill(&mut self) -> io::Result<()> {
        loop {
            match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map(drop),
            }
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        self.fill()?;
        Ok(self.input.buffer().first().copied())
    }

    /// Passes over the byte that was peeked at.
    fn step(&mut self) {
        self.place = self.place.after(&self.input.buffer()[..1]);
        self.input.consume(1);
    }

    /// Passes over white space (RFC 8259 §2) and returns the byte behind it.
    fn skip_space(&mut self) -> io::Result<Option<u8>> {
        while let Some(byte) = self.peek()? {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(Some(byte));
            }
            self.step();
        }
        Ok(None)
    }

    /// Passes over a UTF-8 byte order mark, which Windows editors write (RFC 8259 §8.1 lets a parser ignore it), and
    /// refuses those of UTF-16.
    fn skip_byte_order_mark(&mut self) -> Result<(), FrameError> {
        match self.peek()? {
            Some(0xef) => {
                for expected in [0xef, 0xbb, 0xbf] {
                    if self.peek()? != Some(expected) {
                        return Err(FrameError::Bad(self.place, not_utf8(0xef)));
                    }
                    self.input.consume(1);
                }
                Ok(())
            }
            Some(0xfe | 0xff) => Err(FrameError::Bad(self.place, UTF16.into())),
            _ => Ok(()),
        }
    }

    /// The error for an input that begins as none does that is read here.
    fn nothing_known(&mut self) -> io::Result<FrameError> {
        let place = self.place;
        let line = self.take_until(FIRST_LINE_BYTES, |byte| byte == b'\n')?;
        let text = if csv::begins(&line) {
            CSV.into()
        } else {
            found(word(&line), expected(Next::First, None))
        };
        Ok(FrameError::Bad(place, text))
    }

    /// The error for what stands here instead of `expected`.
    fn unexpected(&mut self, expected: &str) -> io::Result<FrameError> {
        let place = self.place;
        let text = self.take_until(MAX_WORD_BYTES, ends_word)?;
        Ok(FrameError::Bad(place, found(word(&text), expected)))
    }

    /// What stands here, `most` bytes of it, to the first that `is_last`.
    fn take_until(&mut self, most: usize, is_last: impl Fn(u8) -> bool) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        while text.len() < most
            && let Some(byte) = self.peek()?
        {
            text.push(byte);
            self.step();
            if is_last(byte) {
                break;
            }
        }
        Ok(text)
    }
}

/// What should stand where `next` may come and `byte` stands.
fn expected(next: Next, byte: Option<u8>) -> &'static str {
    match next {
        Next::First => "a consignment, {…}, or an array of them, [{…}, …]",
        Next::Object if byte == Some(b',') => {
            "another consignment, {…}, or the end: objects one after another take no commas (or put all of them into \
             one array, [{…}, {…}])"
        }
        Next::Object => "another consignment, {…}, or the end",
        Next::FirstElement => "a consignment, {…}, or ]",
        Next::Comma => "a comma and another consignment, or ] to close the array",
        Next::Element => "another consignment, {…}, after the comma",
        Next::End => "the end of the input after the array's closing ]",
    }
}

/// Follows an object's brackets and quotes.
#[derive(Default)]
struct Brackets {
    depth: usize,
    quoted: bool,
    escaped: bool,
}

impl Brackets {
    /// Takes the next bytes; how many there are up to and with the one that closes the first bracket, if it is among
    /// them.
    fn close(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            if self.escaped {
                self.escaped = false;
            } else if self.quoted {
                // Most of an input is within quotes.
                at += memchr2(b'"', b'\\', &bytes[at - 1..])?;
                self.escaped = bytes[at - 1] == b'\\';
                self.quoted = self.escaped;
            } else {
                match byte {
                    b'"' => self.quoted = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth -= 1,
                    _ => {}
                }
                if self.depth == 0 {
                    return Some(at);
                }
            }
        }
        None
    }
}
