//! A register that lives as long as its server, for tests and for trying out.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{
    Condition, NewConsignment, Outcome, Page, PageBuilder, Receipt, Record, Scan, Store,
    StoreError, StoredConsignment, log, micros,
};
use crate::consignment;

/// Keeps everything in memory and nothing anywhere else.
#[derive(Debug)]
pub struct MemoryStore {
    register: String,
    records: Mutex<Records>,
    newest: watch::Sender<u64>,
    condition: watch::Sender<Condition>,
}

/// The record with sequence number n is at n - 1.
#[derive(Debug, Default)]
struct Records {
    by_sequence: Vec<StoredConsignment>,
    by_id: HashMap<String, usize>,
}

impl MemoryStore {
    /// An empty register with an id of its own.
    #[must_use]
    pub fn new() -> Self {
        Self {
            register: consignment::new_id(),
            records: Mutex::default(),
            newest: watch::channel(0).0,
            condition: watch::channel(Condition::Good).0,
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Records) -> T) -> T {
        // Records are pushed whole, so what a panicking thread left behind is consistent.
        act(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Records {
    fn append(&mut self, new: NewConsignment, created_at: i64) -> Outcome {
        if let Some(&index) = self.by_id.get(&new.id) {
            let known = &self.by_sequence[index];
            return if known.body == new.body {
                Outcome::AlreadyThere(known.receipt.clone())
            } else {
                log::conflict(&new, &known.receipt);
                Outcome::Conflict(known.receipt.clone())
            };
        }
        let receipt = Receipt {
            sequence: self.by_sequence.len() as u64 + 1,
            created_at,
            created_by: new.created_by,
        };
        self.by_id.insert(new.id, self.by_sequence.len());
        self.by_sequence.push(StoredConsignment {
            receipt: receipt.clone(),
            body: new.body,
        });
        Outcome::Stored(receipt)
    }

    /// The indexes of what `scan` may be after, in its order.
    fn in_range(&self, scan: &Scan) -> Box<dyn Iterator<Item = usize>> {
        let end = usize::try_from(scan.through).map_or(self.by_sequence.len(), |through| {
            through.min(self.by_sequence.len())
        });
        let start = usize::try_from(scan.after).map_or(end, |after| after.min(end));
        let range = start..end;
        if scan.ids.is_empty() {
            return in_order(range, scan.newest_first);
        }
        let known = scan.ids.iter().filter_map(|id| self.by_id.get(id).copied());
        let indexes: BTreeSet<usize> = known.filter(|index| range.contains(index)).collect();
        in_order(indexes, scan.newest_first)
    }
}

fn in_order<I: DoubleEndedIterator<Item = usize> + 'static>(
    ascending: impl IntoIterator<IntoIter = I>,
    newest_first: bool,
) -> Box<dyn Iterator<Item = usize>> {
    let ascending = ascending.into_iter();
    if newest_first {
        Box::new(ascending.rev())
    } else {
        Box::new(ascending)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn register(&self) -> &str {
        &self.register
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn append(&self, batch: Vec<NewConsignment>) -> Result<Vec<Outcome>, StoreError> {
        if *self.condition.borrow() == Condition::Closed {
            return Err(StoreError::Closed);
        }
        let created_at = micros(SystemTime::now());
        Ok(self.with(|records| {
            let outcomes = (batch.into_iter())
                .map(|new| records.append(new, created_at))
                .collect();
            let newest = records.by_sequence.len() as u64;
            self.newest
                .send_if_modified(|known| std::mem::replace(known, newest) != newest);
            outcomes
        }))
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        if *self.condition.borrow() == Condition::Closed {
            return Err(StoreError::Closed);
        }
        self.with(|records| {
            let mut page = PageBuilder::new(scan);
            for index in records.in_range(scan) {
                if !page.has_room() {
                    break;
                }
                let StoredConsignment { receipt, body } = &records.by_sequence[index];
                let record = Record {
                    sequence: receipt.sequence,
                    created_at: receipt.created_at,
                    created_by: receipt.created_by.as_deref().unwrap_or_default(),
                    body,
                };
                page.offer(record)
                    .map_err(|error| StoreError::Damaged(Arc::new(error)))?;
            }
            Ok(page.finish())
        })
    }

    async fn last_sequence(&self) -> Result<u64, StoreError> {
        Ok(self.with(|records| records.by_sequence.len() as u64))
    }

    fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    async fn close(&self) {
        self.condition.send_replace(Condition::Closed);
    }
}
