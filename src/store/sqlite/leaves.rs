//! Records read from the table's pages themselves, several of them with one call of the system. SQLite reads page by page
//! and steps through each row, which takes four times as long.
//!
//! Only what cannot change any more is read so ([`Settled`]). SQLite says which pages those are, and reads whatever is
//! not as it is expected here, so that its errors are told in its words
//! (<https://www.sqlite.org/fileformat2.html#b_tree_pages>).

use std::{
    ops::{
        ControlFlow::{self, Break, Continue},
        RangeInclusive,
    },
    sync::Arc,
};

use rusqlite::Connection;

use super::{
    btree::{self, Child, Value},
    settled::Settled,
};
use crate::store::{
    MalformedBody,
    page::{PageBuilder, Record},
};

#[cfg(test)]
mod tests;

/// Pages read at once at most, those of the index of ids that are between them included.
const SPAN_PAGES: usize = 16;
/// Fewer records are not worth looking for their pages.
const FEWEST_RECORDS: usize = 128;
/// Levels of pages at most: SQLite takes more for damage.
const MOST_LEVELS: usize = 20;
/// Where the file's header says how many bytes of a page SQLite leaves to others.
const RESERVED_AT: usize = 20;

/// Where the table's records are.
#[derive(Debug)]
pub(super) struct Leaves {
    settled: Arc<Settled>,
    /// `None` until it is looked for.
    table: Option<Table>,
    /// Some that are settled, one after the other.
    known: Vec<Leaf>,
    buffer: Vec<u8>,
}

/// How the table is kept.
#[derive(Debug, Clone, Copy)]
struct Table {
    root: usize,
    /// In bytes.
    page_size: usize,
}

/// A page with all records from `first` to `last`.
#[derive(Debug, Clone, Copy)]
struct Leaf {
    page: usize,
    first: u64,
    last: u64,
}

impl Leaves {
    pub(super) fn new(settled: Arc<Settled>) -> Self {
        Self {
            settled,
            table: None,
            known: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Offers the records of `range` to `page`, in ascending order, as long as they are settled; the sequence number to go
    /// on with, or `None` once the page is full.
    pub(super) fn search(
        &mut self,
        register: &Connection,
        range: &RangeInclusive<u64>,
        page: &mut PageBuilder<'_>,
    ) -> Result<Option<u64>, MalformedBody> {
        let (mut next, end) = (*range.start(), *range.end());
        let Some((file, through)) =
            (self.settled.look()).filter(|_| page.scan.limit >= FEWEST_RECORDS)
        else {
            return Ok(Some(next));
        };
        while end.min(through).saturating_sub(next) >= FEWEST_RECORDS as u64 {
            let Some((page_size, leaves)) = self.find(register, next, through) else {
                break;
            };
            let start = leaves[0].page;
            let pages = leaves[leaves.len() - 1].page + 1 - start;
            self.buffer.resize(pages * page_size, 0);
            let offset = (start - 1) as u64 * page_size as u64;
            if file.read_exact_at(&mut self.buffer, offset).is_err() {
                break;
            }
            for leaf in leaves {
                let bytes = &self.buffer[(leaf.page - start) * page_size..][..page_size];
                match leaf.offer(bytes, next, end, page)? {
                    Continue(after) => next = after,
                    Break(result) => return Ok(result),
                }
            }
        }
        Ok(Some(next))
    }

    /// Leaves from the one on that has the record `sequence`, close enough to be read at once, and how large each is.
    fn find(
        &mut self,
        register: &Connection,
        sequence: u64,
        through: u64,
    ) -> Option<(usize, Vec<Leaf>)> {
        let table = match self.table {
            Some(table) => table,
            None => *self.table.insert(Table::of(register)?),
        };
        let place = |known: &[Leaf]| {
            let at = known.partition_point(|leaf| leaf.last < sequence);
            (known.get(at)?.first <= sequence).then_some(at)
        };
        if place(&self.known).is_none() {
            self.known = table.leaves(register, sequence, through)?;
        }
        let at = place(&self.known)?;
        let known = &self.known[at..];
        let close = known.windows(2).take_while(|pair| {
            let [this, next] = [pair[0], pair[1]];
            this.page < next.page
                && next.page - known[0].page < SPAN_PAGES
                && next.first.checked_sub(this.last) == Some(1)
        });
        Some((table.page_size, known[..=close.count()].to_vec()))
    }
}

impl Table {
    /// As `register` says; `None` where its pages are others than they are read as here.
    fn of(register: &Connection) -> Option<Self> {
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'consignment'";
        let header = page(register, 1)?;
        Some(Self {
            root: register.query_row(root, [], |row| row.get(0)).ok()?,
            page_size: (header.get(RESERVED_AT) == Some(&0)).then_some(header.len())?,
        })
    }

    /// The settled ones of the leaves that have one parent with the one that has the record `sequence`.
    fn leaves(self, register: &Connection, sequence: u64, through: u64) -> Option<Vec<Leaf>> {
        let mut siblings = Vec::new();
        let mut at = Leaf {
            page: self.root,
            first: 1,
            last: u64::MAX,
        };
        for _ in 0..MOST_LEVELS {
            let bytes = page(register, at.page)?;
            if btree::rows(&bytes).is_some() {
                siblings.retain(|leaf: &Leaf| leaf.is_possible() && leaf.last < through);
                return Some(siblings);
            }
            siblings = at.split(btree::children(&bytes)?);
            at = *siblings.iter().find(|child| child.last >= sequence)?;
        }
        None
    }
}

impl Leaf {
    /// Whether it is one that a file without damage can have.
    fn is_possible(&self) -> bool {
        self.page > 0 && self.first <= self.last
    }

    /// Offers its records from `next` on, which `bytes` have, up to `end`; the sequence number to go on with, or what ends the
    /// search.
    fn offer(
        self,
        bytes: &[u8],
        mut next: u64,
        end: u64,
        page: &mut PageBuilder<'_>,
    ) -> Result<ControlFlow<Option<u64>, u64>, MalformedBody> {
        let count = self.last - self.first + 1;
        if btree::rows(bytes).is_none_or(|rows| rows as u64 != count) {
            return Ok(Break(Some(next)));
        }
        while next <= self.last.min(end) {
            let Some(record) = record(bytes, next, self.first) else {
                return Ok(Break(Some(next)));
            };
            if !page.has_room() {
                return Ok(Break(None));
            }
            page.offer(record)?;
            next += 1;
        }
        Ok(Continue(next))
    }

    /// The parts of it, when it is none, but has these children.
    fn split(self, children: Vec<Child>) -> Vec<Self> {
        let mut first = self.first;
        let part = |child: Child| {
            let last = child.last.unwrap_or(self.last);
            let part = Self {
                page: child.page,
                first,
                last,
            };
            first = last.saturating_add(1);
            part
        };
        children.into_iter().map(part).collect()
    }
}

/// A page as `register` sees it, its log included.
fn page(register: &Connection, number: usize) -> Option<Vec<u8>> {
    let select = "SELECT data FROM sqlite_dbpage WHERE pgno = ?1";
    let mut select = register.prepare_cached(select).ok()?;
    select.query_row([number], |row| row.get(0)).ok()
}

/// The record `sequence` in the leaf `page`, which begins with the record `first` and has all those after it.
fn record(page: &[u8], sequence: u64, first: u64) -> Option<Record<'_>> {
    let at = usize::try_from(sequence.checked_sub(first)?).ok()?;
    let (key, mut columns) = btree::row(page, at)?;
    // The key stands before the columns, and where its own would be there is nothing.
    let (Value::Null, Value::Text(_)) = (columns.next()?, columns.next()?) else {
        return None;
    };
    let (Value::Integer(created_at), Value::Blob(body)) = (columns.next()?, columns.next()?) else {
        return None;
    };
    let created_by = match columns.next() {
        Some(Value::Text(name)) => str::from_utf8(name).ok()?,
        Some(Value::Null) => "",
        // Before version 2 there was none.
        None if columns.is_empty() => "",
        _ => return None,
    };
    (key == sequence).then_some(Record {
        sequence,
        created_at,
        created_by,
        body,
    })
}
