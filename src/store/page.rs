//! Pages: what one scan reads at a time.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{MalformedBody, Receipt, Scan, StoredConsignment};
use crate::{consignment::ServerFields, proto::EncodedConsignments};

/// Most records of one page: several chunks of a stream, so that what a scan takes beside its records is shared by
/// many of them.
pub const PAGE_RECORDS: usize = 768;
/// About the largest page, in bytes of records as they are listed: a page ends with the record that reaches it.
pub const PAGE_BYTES: usize = 192 * 1024;
/// Most records that are searched for one page, so that a condition that few meet holds no reader for long.
pub const PAGE_SEARCHED: usize = 4_096;

/// What the server says of a record and what stands before it in a chunk take so many bytes at most in this century, below
/// a trillion of them and without the creator's name.
const AROUND_BODY: usize = 28;

/// A run of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// By sequence number: ascending, or descending where the newest come first.
    pub records: Records,
    /// How far the range has been searched, this sequence number included; the next page comes after it, or before it
    /// where the newest come first.
    pub through: u64,
    /// Whether all of the range has been searched.
    pub is_last: bool,
}

/// The records of a page, one behind the other in one buffer, as a list sends them ([`EncodedConsignments`],
/// [`ServerFields`]): it moves them without touching them one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    fields: Bytes,
    places: Vec<Place>,
}

/// Where a record is in the buffer: where the one before ends its field begins, then comes its body, and behind it up to
/// its end what the server says of it, last of which is the creator's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    sequence: u64,
    created_at: i64,
    body_start: usize,
    body_end: usize,
    name_start: usize,
    end: usize,
}

/// A record as a store finds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'f> {
    pub(super) sequence: u64,
    pub(super) created_at: i64,
    /// Empty where it is not known.
    pub(super) created_by: &'f str,
    pub(super) body: &'f [u8],
}

impl Records {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Each as it is stored.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = StoredConsignment> {
        let stored = |place: &Place| StoredConsignment {
            receipt: Receipt {
                sequence: place.sequence,
                created_at: place.created_at,
                created_by: self.name(place),
            },
            body: self.fields.slice(place.body_start..place.body_end),
        };
        self.places.iter().map(stored)
    }

    /// The sequence number of each, and how long it is as it is listed.
    pub fn lengths(&self) -> impl Iterator<Item = (u64, usize)> {
        (self.places.iter()).map(|place| (place.sequence, place.end - place.body_start))
    }

    /// Those of `range` as they are listed.
    #[must_use]
    pub fn listed(&self, range: Range<usize>) -> EncodedConsignments {
        let end = |count: usize| count.checked_sub(1).map_or(0, |last| self.places[last].end);
        let fields = self.fields.slice(end(range.start)..end(range.end));
        EncodedConsignments::of(fields, range.len())
    }

    fn name(&self, place: &Place) -> Option<Arc<str>> {
        let name = str::from_utf8(&self.fields[place.name_start..place.end]).ok();
        name.filter(|name| !name.is_empty()).map(Arc::from)
    }
}

/// Gathers one page of a scan, in the order of the scan.
pub(super) struct PageBuilder<'s> {
    pub(super) scan: &'s Scan,
    /// Whether every record is asked for.
    takes_all: bool,
    searched: usize,
    /// The last record that was looked at, once the page is full.
    full_at: Option<u64>,
    last: u64,
    fields: Vec<u8>,
    places: Vec<Place>,
    server_fields: ServerFields,
}

impl<'s> PageBuilder<'s> {
    pub(super) fn new(scan: &'s Scan) -> Self {
        Self {
            scan,
            takes_all: scan.filter.is_open(),
            searched: 0,
            full_at: None,
            last: 0,
            fields: Vec::new(),
            places: Vec::new(),
            server_fields: ServerFields::default(),
        }
    }

    /// Whether there is room for one more record. Asked only when there is one: where the answer is no, the page ends
    /// with the record before.
    pub(super) fn has_room(&mut self) -> bool {
        let room = self.places.len() < self.scan.limit.min(PAGE_RECORDS)
            && self.fields.len() < PAGE_BYTES
            && self.searched < PAGE_SEARCHED;
        if !room {
            self.full_at = Some(self.last);
        }
        room
    }

    /// Takes `record` if it is asked for.
    pub(super) fn offer(&mut self, record: Record<'_>) -> Result<(), MalformedBody> {
        let Record {
            sequence,
            created_at,
            created_by,
            body,
        } = record;
        self.searched += 1;
        self.last = sequence;
        if self.takes_all || self.scan.filter.admits(created_at, body)? {
            if self.places.is_empty() {
                self.make_room(body.len());
            }
            let (fields, said) = (&mut self.fields, &mut self.server_fields);
            let length = body.len() + said.length(sequence, created_at, created_by);
            EncodedConsignments::begin(length, fields);
            let body_start = fields.len();
            fields.extend_from_slice(body);
            let body_end = fields.len();
            said.write(fields, sequence, created_at, created_by);
            let end = fields.len();
            self.places.push(Place {
                sequence,
                created_at,
                body_start,
                body_end,
                name_start: end - created_by.len(),
                end,
            });
        }
        Ok(())
    }

    /// Makes room for as many records as will come, where that is known, if they are about as large as the first.
    fn make_room(&mut self, first: usize) {
        let scan = self.scan;
        if !self.takes_all || !scan.ids.is_empty() {
            return;
        }
        let range = usize::try_from(scan.through.saturating_sub(scan.after)).unwrap_or(usize::MAX);
        let each = first + AROUND_BODY;
        let count = (PAGE_BYTES / each + 1)
            .min(PAGE_RECORDS)
            .min(scan.limit)
            .min(range);
        self.fields.reserve(count * each);
        self.places.reserve(count);
    }

    /// Ends the page although there may be more: all up to `sequence`, this one included, has been searched.
    pub(super) fn stop_at(&mut self, sequence: u64) {
        self.full_at = Some(sequence);
    }

    pub(super) fn finish(self) -> Page {
        let end = if self.scan.newest_first {
            self.scan.after.saturating_add(1)
        } else {
            self.scan.through
        };
        Page {
            records: Records {
                fields: self.fields.into(),
                places: self.places,
            },
            through: self.full_at.unwrap_or(end),
            is_last: self.full_at.is_none(),
        }
    }
}
