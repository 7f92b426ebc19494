//! Scans: by ids, by what the filter index proposes, or record by record.

use std::ops::RangeInclusive;

use rusqlite::{Connection, OptionalExtension as _, Row, types::Type};

use super::{
    index::{Index, Lookup, Piece, Rows, View, corrupt},
    leaves::Leaves,
    readers::Reader,
};
use crate::store::{MalformedBody, Page, PageBuilder, Record, Scan};

/// Most segments of the index that are looked at for one page, so that what few records have holds no reader for
/// long: about as long as searching a page's records does.
const SEGMENTS_SEARCHED: usize = 256;

/// The table of records, as it is for the length of a scan.
struct Table<'r> {
    register: &'r Connection,
    leaves: &'r mut Leaves,
}

/// The next page of what `scan` asks for.
pub(super) fn scan(reader: &mut Reader, index: &Index, scan: &Scan) -> rusqlite::Result<Page> {
    // One look at the register, which spares a lock for each record.
    let register = reader.register.unchecked_transaction()?;
    let mut table = Table {
        register: &register,
        leaves: &mut reader.leaves,
    };
    if !scan.ids.is_empty() {
        return by_ids(&register, scan);
    }
    if let Some(view) = index.view(&scan.filter) {
        match proposed(&mut table, &view, &mut reader.index, scan) {
            Ok(Some(page)) => return Ok(page),
            Ok(None) => {}
            Err(Fault::Register(error)) => return Err(error),
            Err(Fault::Index(error)) => {
                reader.index = None;
                index.distrust(&view, &error);
            }
        }
    }
    let mut page = PageBuilder::new(scan);
    if let Some(first) = scan.after.checked_add(1) {
        search(&mut table, &(first..=scan.through), &mut page)?;
    }
    Ok(page.finish())
}

/// What could not be read.
enum Fault {
    Register(rusqlite::Error),
    Index(rusqlite::Error),
}

/// The page out of what the index proposes; `None` when its file is no longer the one that `view` is of.
fn proposed(
    table: &mut Table<'_>,
    view: &View,
    kept: &mut Option<Lookup>,
    scan: &Scan,
) -> Result<Option<Page>, Fault> {
    let mut lookup = None;
    if view.asks_file(scan.after) {
        lookup = view.lookup(kept).map_err(Fault::Index)?;
        if lookup.is_none() {
            return Ok(None);
        }
    }
    let snapshot = lookup.map(Lookup::snapshot).transpose();
    let _snapshot = snapshot.map_err(Fault::Index)?;
    let mut page = PageBuilder::new(scan);
    let mut rest = Rest::of(scan);
    let mut pieces = 0;
    while let Some(next) = rest.next() {
        if pieces == SEGMENTS_SEARCHED || !page.has_room() {
            page.stop_at(rest.searched());
            break;
        }
        pieces += 1;
        let piece = view.piece(next, &scan.filter, lookup);
        let piece = piece.map_err(Fault::Index)?;
        let part = rest.take(&piece);
        let is_done = match piece.rows {
            Rows::All => search(table, &part, &mut page).map_err(Fault::Register)?,
            Rows::These(rows) => {
                let proposed = rows.iter().map(|&row| piece.first + u64::from(row));
                let mut proposed: Vec<u64> = proposed.filter(|one| part.contains(one)).collect();
                if scan.newest_first {
                    proposed.reverse();
                }
                look_at(table.register, &proposed, &mut page)?
            }
        };
        if !is_done {
            break;
        }
    }
    Ok(Some(page.finish()))
}

/// What of a scan's range has not been searched.
struct Rest {
    after: u64,
    through: u64,
    newest_first: bool,
}

impl Rest {
    fn of(scan: &Scan) -> Self {
        Self {
            after: scan.after,
            through: scan.through,
            newest_first: scan.newest_first,
        }
    }

    /// The sequence number to go on with.
    fn next(&self) -> Option<u64> {
        let next = if self.newest_first {
            self.through
        } else {
            self.after.saturating_add(1)
        };
        (self.after < self.through).then_some(next)
    }

    /// The sequence number up to which, this one included, all has been searched, once something has.
    fn searched(&self) -> u64 {
        if self.newest_first {
            self.through + 1
        } else {
            self.after
        }
    }

    /// Takes away what of it is in `piece`, which holds the sequence number to go on with.
    fn take(&mut self, piece: &Piece) -> RangeInclusive<u64> {
        let part = piece.first.max(self.after + 1)..=piece.last.min(self.through);
        if self.newest_first {
            self.through = part.start() - 1;
        } else {
            self.after = *part.end();
        }
        part
    }
}

/// Offers those of `sequences` to `page` that it has room for; whether that was all of them.
fn look_at(
    register: &Connection,
    sequences: &[u64],
    page: &mut PageBuilder<'_>,
) -> Result<bool, Fault> {
    let select =
        "SELECT sequence, created_at, body, created_by FROM consignment WHERE sequence = ?1";
    let mut select = register.prepare_cached(select).map_err(Fault::Register)?;
    for sequence in sequences {
        if !page.has_room() {
            return Ok(false);
        }
        let found = select.query_row([sequence], |row| offer(page, row));
        let found = found.optional().map_err(Fault::Register)?;
        found.ok_or_else(|| Fault::Index(corrupt("it proposes what is not there")))?;
    }
    Ok(true)
}

/// Offers all records of `range` to `page`, in its order, as long as it has room; whether that was all of them.
fn search(
    table: &mut Table<'_>,
    range: &RangeInclusive<u64>,
    page: &mut PageBuilder<'_>,
) -> rusqlite::Result<bool> {
    let (mut first, last) = (*range.start(), *range.end());
    if !page.scan.newest_first {
        let settled = table.leaves.search(table.register, range, page);
        let Some(next) = settled.map_err(damaged)? else {
            return Ok(false);
        };
        first = next;
    }
    let mut select = table.register.prepare_cached(if page.scan.newest_first {
        "SELECT sequence, created_at, body, created_by FROM consignment
         WHERE sequence BETWEEN ?1 AND ?2 ORDER BY sequence DESC"
    } else {
        "SELECT sequence, created_at, body, created_by FROM consignment
         WHERE sequence BETWEEN ?1 AND ?2 ORDER BY sequence"
    })?;
    // What SQLite cannot count to is past every end.
    let bounds = [first, last].map(|s| i64::try_from(s).unwrap_or(i64::MAX));
    let mut rows = select.query(bounds)?;
    while let Some(row) = rows.next()? {
        if !page.has_room() {
            return Ok(false);
        }
        offer(page, row)?;
    }
    Ok(true)
}

fn by_ids(register: &Connection, scan: &Scan) -> rusqlite::Result<Page> {
    let mut find = register.prepare_cached("SELECT sequence FROM consignment WHERE id = ?1")?;
    let mut sequences = Vec::new();
    for id in &scan.ids {
        let sequence: Option<u64> = find.query_row([id], |row| row.get(0)).optional()?;
        sequences.extend(sequence.filter(|&s| s > scan.after && s <= scan.through));
    }
    sequences.sort_unstable();
    sequences.dedup();
    if scan.newest_first {
        sequences.reverse();
    }
    let mut page = PageBuilder::new(scan);
    match look_at(register, &sequences, &mut page) {
        Ok(_) => Ok(page.finish()),
        Err(Fault::Register(error) | Fault::Index(error)) => Err(error),
    }
}

/// Offers the record that `row` is of, out of the engine's own memory.
fn offer(page: &mut PageBuilder<'_>, row: &Row<'_>) -> rusqlite::Result<()> {
    let sequence = row.get_ref(0)?.as_i64()?;
    let record = Record {
        sequence: u64::try_from(sequence)
            .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, sequence))?,
        created_at: row.get_ref(1)?.as_i64()?,
        created_by: row.get_ref(3)?.as_str_or_null()?.unwrap_or_default(),
        body: row.get_ref(2)?.as_blob()?,
    };
    page.offer(record).map_err(damaged)
}

/// A body that is no consignment, as the engine would tell it.
fn damaged(error: MalformedBody) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(2, Type::Blob, Box::new(error))
}
