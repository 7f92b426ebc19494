//! Holds an index against the register that it is of: each segment is gathered again from the records, and what is in
//! the file must be that, byte for byte.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::{
    file::{APPLICATION_ID, Mark, SCHEMA_VERSION, Segment, block_checksum, corrupt},
    segment::Builder,
};
use crate::store::sqlite::{
    connect::{beside, connect_to_read},
    existing::{Existing, Row},
    verify::IndexState,
};

/// An index that is being held against its register.
pub(in crate::store::sqlite) struct IndexCheck {
    connection: Connection,
    seed: u64,
    watermark: u64,
    /// The one that the next record belongs to, once its first was there.
    segment: Option<Segment>,
    builder: Builder,
    /// All up to this sequence number agrees.
    through: u64,
    /// How many blocks that takes.
    blocks: u64,
}

impl IndexCheck {
    /// Opens the index beside `register`: what it is, and where it is one that a start goes on with, how to check it.
    pub(in crate::store::sqlite) fn open(
        register: &Existing,
    ) -> rusqlite::Result<(IndexState, Option<Self>)> {
        let path = beside(&register.path, ".index");
        if !path.exists() {
            return Ok((IndexState::Absent, None));
        }
        let Some((connection, seed, mark)) = open(&path, &register.register)? else {
            return Ok((IndexState::Foreign, None));
        };
        if Mark::at(&register.connection, mark.sequence)?.as_ref() != Some(&mark) {
            return Ok((IndexState::Foreign, None));
        }
        let check = Self {
            connection,
            seed,
            watermark: mark.sequence,
            segment: None,
            builder: Builder::default(),
            through: 0,
            blocks: 0,
        };
        Ok((IndexState::Through(mark.sequence), Some(check)))
    }

    /// Takes the next record in.
    pub(in crate::store::sqlite) fn add(&mut self, row: &Row) -> rusqlite::Result<()> {
        let sequence = u64::try_from(row.sequence).unwrap_or_default();
        if sequence > self.watermark {
            return Ok(());
        }
        let segment = match self.segment {
            Some(segment) => segment,
            None => *self.segment.insert(self.next_segment(sequence)?),
        };
        let expected = segment.first + u64::from(self.builder.rows());
        if sequence != expected {
            return Err(corrupt(&format!("it has {expected}, which is missing")));
        }
        (self.builder.add(self.seed, row.created_at, &row.body))
            .map_err(|_| corrupt(&format!("it has {sequence}, which cannot be read")))?;
        if sequence == segment.last {
            self.compare(&segment)?;
            self.builder.clear();
            self.segment = None;
            self.through = sequence;
            self.blocks += u64::from(segment.blocks);
        }
        Ok(())
    }

    /// The segment that begins with the record `first`.
    fn next_segment(&self, first: u64) -> rusqlite::Result<Segment> {
        let mut select = self.connection.prepare_cached(
            "SELECT first, last, created_from, created_to, blocks, checksum FROM segment
             WHERE first = ?1",
        )?;
        let segment = select.query_row([first], |row| Segment::read(row, self.seed));
        (segment.optional()?).ok_or_else(|| corrupt(&format!("no segment begins with {first}")))
    }

    fn compare(&self, segment: &Segment) -> rusqlite::Result<()> {
        let Segment { first, last, .. } = segment;
        let wrong = |what| corrupt(&format!("{what} of the segment {first} to {last}"));
        if self.builder.period() != Some(segment.period) {
            return Err(wrong("the times"));
        }
        if self.builder.blocks() != segment.blocks {
            return Err(wrong("the number of blocks"));
        }
        let mut select = self
            .connection
            .prepare_cached("SELECT checksum, postings FROM block WHERE number = ?1")?;
        let mut numbers = (0..segment.blocks).map(|block| segment.number(block));
        self.builder.encode(|expected| {
            let Some(number) = numbers.next() else {
                return Err(wrong("the number of blocks"));
            };
            let is_right = select.query_row([number], |row| {
                let postings = row.get_ref(1)?.as_blob()?;
                let checksum: i64 = row.get(0)?;
                Ok(postings == expected && checksum == block_checksum(self.seed, number, postings))
            });
            match is_right.optional()? {
                Some(true) => Ok(()),
                Some(false) => Err(wrong("a block")),
                None => Err(wrong("a missing block")),
            }
        })
    }

    /// Once all records have been taken in: whether that was all of the index.
    pub(in crate::store::sqlite) fn finish(self) -> rusqlite::Result<()> {
        if self.through != self.watermark {
            let (ends, says) = (self.through, self.watermark);
            return Err(corrupt(&format!("it ends at {ends} and says {says}")));
        }
        // A server may have folded more since.
        let limit = "SELECT min(first) FROM segment WHERE first > ?1";
        let limit: Option<u64> = self
            .connection
            .query_row(limit, [self.watermark], |row| row.get(0))?;
        let limit = limit.map_or(i64::MAX, |first| Segment::first_number(first).cast_signed());
        let blocks = "SELECT count(*) FROM block WHERE number < ?1";
        let blocks: u64 = self
            .connection
            .query_row(blocks, [limit], |row| row.get(0))?;
        if blocks == self.blocks {
            Ok(())
        } else {
            Err(corrupt("it has blocks of no segment"))
        }
    }
}

/// Opens the index at `path`, if it is one of the register with the id `register`: it, its seed, and the mark up to which
/// it goes.
fn open(path: &Path, register: &str) -> rusqlite::Result<Option<(Connection, u64, Mark)>> {
    let connection = connect_to_read(path)?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    if (number("application_id")?, number("user_version")?) != (APPLICATION_ID, SCHEMA_VERSION) {
        return Ok(None);
    }
    let origin = "SELECT watermark, id, created_at, register, seed FROM origin";
    let (mark, of, seed) = connection.query_row(origin, [], |row| {
        let (of, seed) = (row.get::<_, String>(3)?, row.get::<_, i64>(4)?);
        Ok((Mark::read(row)?, of, seed.cast_unsigned()))
    })?;
    let is_ours = of == register && mark.sequence > 0;
    Ok(is_ours.then_some((connection, seed, mark)))
}
