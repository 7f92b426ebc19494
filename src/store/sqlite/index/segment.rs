//! The postings of one segment: a run of records, and for each text the rows that have it. Gathered in memory, and
//! encoded in blocks.
//!
//! Texts are kept as fingerprints of 32 bits. Two texts that share one share their rows; whoever asks looks at the
//! records themselves afterwards. What is kept is therefore small, of one size whatever the texts, and holds none of
//! them.

use std::{collections::hash_map::Entry, iter, num::NonZeroU32};

use prost::encoding::{decode_varint, encode_varint};
use rustc_hash::FxHashMap;
use twox_hash::XxHash3_64;

use crate::store::{
    Filter, MalformedBody,
    texts::{Kind, each_text},
};

/// About the size of a block: several to a page of SQLite, and soon searched.
const BLOCK_BYTES: usize = 1_024;
/// A segment has at most two to the power of this many blocks; one whose last record fills more has larger ones.
pub(super) const BLOCK_BITS: u32 = 16;
/// What a fingerprint takes in a block, and what each of its rows does, in bytes.
const FINGERPRINT_BYTES: usize = 4;
const ROW_BYTES: usize = 2;
/// Past so many fingerprints or postings a segment is full, so that it stays within about 4 MiB of memory. Eight
/// postings a record leave room for twice as many records as a segment has.
const MOST_FINGERPRINTS: usize = 110_000;
const MOST_POSTINGS: usize = 256 * 1024;

/// What stands for a text in one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fingerprint(u32);

impl Fingerprint {
    /// Of `text` as a `kind`. The seed is the index's own secret, so that nobody can choose texts that collide.
    pub(super) fn new(seed: u64, kind: Kind, text: &str) -> Self {
        let hash = XxHash3_64::oneshot_with_seed(seed ^ kind as u64, text.as_bytes());
        // The shift leaves 32 bits.
        #[allow(clippy::cast_possible_truncation, reason = "see above")]
        Self((hash >> 32) as u32)
    }

    /// The block, of `blocks`, that would hold it: each covers the same share of all fingerprints.
    pub(super) fn block(self, blocks: u32) -> u32 {
        let block = (u64::from(self.0) * u64::from(blocks)) >> 32;
        u32::try_from(block).unwrap_or(u32::MAX)
    }
}

/// The smallest and the largest `created_at` of a run of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Period {
    /// Whether a record of then may be one of the time that `filter` asks for.
    pub(super) fn meets(self, filter: &Filter) -> bool {
        filter.created_from.is_none_or(|from| self.to >= from)
            && filter.created_until.is_none_or(|until| self.from < until)
    }
}

/// That a row has a text.
#[derive(Debug, Clone, Copy)]
struct Posting {
    /// Its record's place in the segment, from 0.
    row: u32,
    /// Where the posting before it is that has the same text.
    previous: Option<NonZeroU32>,
}

/// A segment that is being gathered.
#[derive(Debug, Default)]
pub(super) struct Builder {
    rows: u32,
    period: Option<Period>,
    /// The newest posting of each fingerprint, by its place in `postings` from 1.
    newest: FxHashMap<Fingerprint, NonZeroU32>,
    postings: Vec<Posting>,
    /// Room for those of one record.
    found: Vec<Fingerprint>,
}

impl Builder {
    /// How many records it has.
    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    /// When its records were made; `None` without any.
    pub(super) fn period(&self) -> Option<Period> {
        self.period
    }

    /// Whether it takes no more records, of which it is to have `rows` at most.
    pub(super) fn is_full(&self, rows: u32) -> bool {
        self.rows >= rows
            || self.newest.len() >= MOST_FINGERPRINTS
            || self.postings.len() >= MOST_POSTINGS
    }

    /// Adds the next record. On an error it is as before.
    pub(super) fn add(
        &mut self,
        seed: u64,
        created_at: i64,
        body: &[u8],
    ) -> Result<(), MalformedBody> {
        // Gathered first, so that nothing has to be taken back.
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        let read = each_text(body, |kind, text| {
            if !text.is_empty() {
                found.push(Fingerprint::new(seed, kind, text));
            }
        });
        if read.is_ok() {
            for &one in &found {
                self.post(one);
            }
        }
        self.found = found;
        read?;
        self.rows += 1;
        let known = self.period.unwrap_or(Period {
            from: created_at,
            to: created_at,
        });
        self.period = Some(Period {
            from: known.from.min(created_at),
            to: known.to.max(created_at),
        });
        Ok(())
    }

    fn post(&mut self, fingerprint: Fingerprint) {
        let row = self.rows;
        let place = u32::try_from(self.postings.len() + 1).ok();
        let Some(place) = place.and_then(NonZeroU32::new) else {
            unreachable!("a segment is full long before");
        };
        let previous = match self.newest.entry(fingerprint) {
            Entry::Vacant(entry) => {
                entry.insert(place);
                None
            }
            Entry::Occupied(entry) if at(&self.postings, *entry.get()).row == row => return,
            Entry::Occupied(mut entry) => Some(entry.insert(place)),
        };
        self.postings.push(Posting { row, previous });
    }

    /// The rows that have `fingerprint`, ascending.
    pub(super) fn rows_of(&self, fingerprint: Fingerprint) -> Vec<u32> {
        let newest = self.newest.get(&fingerprint).copied();
        let newest_first = iter::successors(newest, |&place| at(&self.postings, place).previous);
        let mut rows: Vec<u32> = newest_first
            .map(|place| at(&self.postings, place).row)
            .collect();
        rows.reverse();
        rows
    }

    /// Empties it; its memory stays for the next segment.
    pub(super) fn clear(&mut self) {
        self.rows = 0;
        self.period = None;
        self.newest.clear();
        self.postings.clear();
    }

    /// How many blocks it is encoded in, at least one.
    pub(super) fn blocks(&self) -> u32 {
        let bytes = self.newest.len() * FINGERPRINT_BYTES + self.postings.len() * ROW_BYTES;
        u32::try_from(bytes / BLOCK_BYTES + 1).map_or(1 << BLOCK_BITS, |b| b.min(1 << BLOCK_BITS))
    }

    /// Hands each of its blocks, in order, to `take`.
    pub(super) fn encode<E>(&self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut fingerprints: Vec<Fingerprint> = self.newest.keys().copied().collect();
        fingerprints.sort_unstable();
        let mut rest = &fingerprints[..];
        let (mut block, mut list) = (Vec::new(), Vec::new());
        let blocks = self.blocks();
        for number in 0..blocks {
            let here = rest.partition_point(|fingerprint| fingerprint.block(blocks) <= number);
            let (these, others) = rest.split_at(here);
            rest = others;
            block.clear();
            let mut previous = 0;
            for &fingerprint in these {
                encode_rows(&self.rows_of(fingerprint), &mut list);
                encode_varint(u64::from(fingerprint.0 - previous), &mut block);
                encode_varint(list.len() as u64, &mut block);
                block.extend_from_slice(&list);
                previous = fingerprint.0;
            }
            take(&block)?;
        }
        Ok(())
    }
}

/// The posting at `place`, which is counted from 1.
fn at(postings: &[Posting], place: NonZeroU32) -> Posting {
    postings[place.get() as usize - 1]
}

/// Writes the first of `rows`, and then by how much each is above the one before.
fn encode_rows(rows: &[u32], list: &mut Vec<u8>) {
    list.clear();
    let mut previous = 0;
    for &row in rows {
        encode_varint(u64::from(row - previous), list);
        previous = row;
    }
}

/// The rows that have `wanted`, ascending, out of the block that would hold it; `None` when the block cannot be right.
pub(super) fn rows_in_block(mut block: &[u8], wanted: Fingerprint) -> Option<Vec<u32>> {
    let mut fingerprint = 0_u64;
    while !block.is_empty() {
        fingerprint = fingerprint.checked_add(decode_varint(&mut block).ok()?)?;
        let length = usize::try_from(decode_varint(&mut block).ok()?).ok()?;
        let (list, rest) = block.split_at_checked(length)?;
        if fingerprint >= u64::from(wanted.0) {
            let is_wanted = fingerprint == u64::from(wanted.0);
            return decode_rows(if is_wanted { list } else { &[] });
        }
        block = rest;
    }
    Some(Vec::new())
}

fn decode_rows(mut list: &[u8]) -> Option<Vec<u32>> {
    let mut rows = Vec::with_capacity(list.len());
    let mut row = 0_u32;
    while !list.is_empty() {
        row = u32::try_from(decode_varint(&mut list).ok()?.checked_add(row.into())?).ok()?;
        rows.push(row);
    }
    Some(rows)
}

/// The rows that are in all of `lists`, of which there is at least one.
pub(super) fn in_all(mut lists: Vec<Vec<u32>>) -> Vec<u32> {
    lists.sort_unstable_by_key(Vec::len);
    let mut lists = lists.into_iter();
    let mut rows = lists.next().unwrap_or_default();
    for list in lists {
        rows.retain(|row| list.binary_search(row).is_ok());
    }
    rows
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::{Consignment, Container};

    const SEED: u64 = 7;

    /// A consignment on vessel `number % 10` whose two containers are of one customer.
    fn body(number: u32) -> Vec<u8> {
        let container = Container {
            customer_id: format!("customer {number}"),
            ..Container::default()
        };
        let consignment = Consignment {
            vessel_id: format!("vessel {}", number % 10),
            containers: vec![container.clone(), container],
            ..Consignment::default()
        };
        consignment.encode_to_vec()
    }

    fn builder(rows: u32) -> Builder {
        let mut builder = Builder::default();
        for row in 0..rows {
            builder.add(SEED, i64::from(row), &body(row)).unwrap();
        }
        builder
    }

    #[test]
    fn blocks_give_the_rows_that_memory_gives() {
        for rows in [1, 2, 10, 5_000] {
            let builder = builder(rows);
            let mut blocks = Vec::new();
            builder
                .encode(|block| {
                    blocks.push(block.to_vec());
                    Ok::<_, ()>(())
                })
                .unwrap();
            assert_eq!(blocks.len(), builder.blocks() as usize);
            let longest = blocks.iter().map(Vec::len).max().unwrap();
            assert!(longest < 4 * BLOCK_BYTES, "{longest}");
            let texts = (0..rows + 3).map(|row| (Kind::Customer, format!("customer {row}")));
            let texts =
                texts.chain((0..11).map(|number| (Kind::Vessel, format!("vessel {number}"))));
            for (kind, text) in texts {
                let fingerprint = Fingerprint::new(SEED, kind, &text);
                let block = &blocks[fingerprint.block(builder.blocks()) as usize];
                let rows = rows_in_block(block, fingerprint).unwrap();
                assert_eq!(rows, builder.rows_of(fingerprint), "{text}");
            }
            let third = Fingerprint::new(SEED, Kind::Vessel, "vessel 3");
            let expected: Vec<u32> = (0..rows).filter(|row| row % 10 == 3).collect();
            assert_eq!(builder.rows_of(third), expected);
        }
    }

    #[test]
    fn a_segment_is_full_with_its_records_or_with_what_they_hold() {
        assert!(!builder(9).is_full(10));
        assert!(builder(10).is_full(10));
        let mut many = Builder::default();
        let container = |number| Container {
            customer_id: format!("customer {number}"),
            user_id: format!("user {number}"),
            ..Container::default()
        };
        let mut number = 0..;
        let mut rows = 0;
        while !many.is_full(u32::MAX) {
            let consignment = Consignment {
                containers: number.by_ref().take(1_000).map(container).collect(),
                ..Consignment::default()
            };
            many.add(SEED, 0, &consignment.encode_to_vec()).unwrap();
            rows += 1;
        }
        assert_eq!(rows, MOST_FINGERPRINTS / 2_000);
    }

    #[test]
    fn a_record_that_cannot_be_read_leaves_nothing_behind() {
        let mut builder = builder(1);
        let damaged = [&body(5)[..], &[0x22]].concat();
        builder.add(SEED, 99, &damaged).unwrap_err();
        assert_eq!((builder.rows(), builder.postings.len()), (1, 2));
        assert_eq!(builder.period(), Some(Period { from: 0, to: 0 }));
    }

    #[test]
    fn an_emptied_builder_begins_anew() {
        let mut builder = builder(10);
        builder.clear();
        builder.add(SEED, 3, &body(1)).unwrap();
        let first = Fingerprint::new(SEED, Kind::Vessel, "vessel 1");
        assert_eq!(builder.rows_of(first), [0]);
        assert_eq!(builder.period(), Some(Period { from: 3, to: 3 }));
    }

    #[test]
    fn what_is_in_all_lists_is_kept() {
        let lists = vec![vec![1, 3, 5, 7], vec![3, 4, 7], vec![0, 3, 7, 9, 11]];
        assert_eq!(in_all(lists), [3, 7]);
    }
}
