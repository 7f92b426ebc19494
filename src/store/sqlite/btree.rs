//! The pages of a table, as SQLite's file format has them (<https://www.sqlite.org/fileformat2.html#b_tree_pages>), for
//! tables that have a number for their key and keep their rows within a page.

/// How pages say what they are.
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;
/// Where a page says how many cells it has, and where what says that ends.
const CELLS_AT: usize = 3;
const LAST_CHILD_AT: usize = 8;
const INTERIOR_HEADER: usize = 12;
const LEAF_HEADER: usize = 8;
/// A row is within its page where it is at least so many bytes shorter; of a longer one, some is on other pages.
const OVERFLOW_MARGIN: usize = 35;

/// Where the rows up to a key are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) page: usize,
    /// `None` in the last child of a page, which has all rows that come later.
    pub(super) last: Option<u64>,
}

/// What an interior page leads to; `None` where `page` is none.
pub(super) fn children(page: &[u8]) -> Option<Vec<Child>> {
    let count = cells(page, INTERIOR)?;
    let child = |cell| {
        let (child, key) = page.get(cell..)?.split_at_checked(4)?;
        let (last, _) = varint(key)?;
        Some(Child {
            page: number(child)?,
            last: Some(last),
        })
    };
    let mut children: Vec<_> = (0..count)
        .map(|at| child(pointer(page, INTERIOR_HEADER, at)?))
        .collect::<Option<_>>()?;
    children.push(Child {
        page: number(page.get(LAST_CHILD_AT..INTERIOR_HEADER)?)?,
        last: None,
    });
    Some(children)
}

/// How many rows a leaf has; `None` where `page` is none.
pub(super) fn rows(page: &[u8]) -> Option<usize> {
    cells(page, LEAF)
}

/// The key of a leaf's row and its columns; `None` where `page` has no such row, or not all of it.
#[inline]
pub(super) fn row(page: &[u8], at: usize) -> Option<(u64, Columns<'_>)> {
    let cell = page.get(pointer(page, LEAF_HEADER, at)?..)?;
    let (length, cell) = varint(cell)?;
    let (key, cell) = varint(cell)?;
    let length = usize::try_from(length).ok()?;
    if length > page.len().checked_sub(OVERFLOW_MARGIN)? {
        return None;
    }
    let record = cell.get(..length)?;
    let (header, types) = varint(record)?;
    let (header, values) = record.split_at_checked(usize::try_from(header).ok()?)?;
    let types = header.get(record.len() - types.len()..)?;
    Some((key, Columns { types, values }))
}

/// The columns of a row, first to last.
#[derive(Debug)]
pub(super) struct Columns<'p> {
    types: &'p [u8],
    values: &'p [u8],
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'p> {
    Null,
    Integer(i64),
    Blob(&'p [u8]),
    Text(&'p [u8]),
}

impl<'p> Columns<'p> {
    /// The next one. `None` behind the last, and where it is of another type than these.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Value<'p>> {
        let (kind, types) = varint(self.types)?;
        let kind = usize::try_from(kind).ok()?;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 => 8,
            12.. => (kind - 12) / 2,
            _ => return None,
        };
        let (value, values) = self.values.split_at_checked(length)?;
        (self.types, self.values) = (types, values);
        Some(match kind {
            0 => Value::Null,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            1..=6 => Value::Integer(integer(value)),
            _ if kind % 2 == 0 => Value::Blob(value),
            _ => Value::Text(value),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.types.is_empty()
    }
}

/// How many cells `page` has, when it is of `kind`.
fn cells(page: &[u8], kind: u8) -> Option<usize> {
    let count = page.get(CELLS_AT..CELLS_AT + 2)?;
    (page[0] == kind).then(|| usize::from(u16::from_be_bytes([count[0], count[1]])))
}

/// Where a cell of `page` begins, whose header is `header` long.
fn pointer(page: &[u8], header: usize, at: usize) -> Option<usize> {
    let pointer = page.get(header + 2 * at..header + 2 * at + 2)?;
    Some(usize::from(u16::from_be_bytes([pointer[0], pointer[1]])))
}

fn number(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
}

/// Big-endian, of at most 8 bytes, with its sign.
fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if negative { -1 } else { 0 };
    (bytes.iter()).fold(start, |value, &byte| value << 8 | i64::from(byte))
}

/// Seven bits a byte, the highest first, and eight in the ninth; and what comes after it.
#[inline]
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((u64::from(first), rest));
    }
    let mut value = u64::from(first & 0x7f);
    for (at, &byte) in rest.iter().take(8).enumerate() {
        if at == 7 {
            return Some((value << 8 | u64::from(byte), &rest[8..]));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((value, &rest[at + 1..]));
        }
    }
    None
}
