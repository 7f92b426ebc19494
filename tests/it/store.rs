//! What every store promises, held against a model of it, and what the embedded one promises besides.

use std::sync::Arc;

use bytes::Bytes;
use shippy::store::{
    Filter, NewConsignment, OpenError, Scan, Store, StoredConsignment, memory::MemoryStore,
    sqlite::SqliteStore,
};
use tempfile::TempDir;

use crate::support::{eventually, folder};

mod log;
mod model;
mod pages;
mod writing;

/// A store, and how to close and open it again.
struct Subject {
    store: Arc<dyn Store>,
    /// Where its file is, if it has one.
    home: Option<TempDir>,
}

impl Subject {
    fn memory() -> Self {
        let store = Arc::new(MemoryStore::new());
        Self { store, home: None }
    }

    fn sqlite() -> Self {
        let home = folder();
        Self {
            store: Self::open(&home),
            home: Some(home),
        }
    }

    fn both() -> [Self; 2] {
        [Self::memory(), Self::sqlite()]
    }

    /// A process that another test has just begun still holds, up to its exec, what was open here: the lock, too.
    fn open(home: &TempDir) -> Arc<dyn Store> {
        let path = home.path().join("register.db");
        eventually("the lock", || match SqliteStore::open(&path) {
            Err(OpenError::InUse(_)) => None,
            opened => Some(Arc::new(opened.unwrap())),
        })
    }

    /// Closes it and opens it again, if it outlives its closing.
    async fn reopen(&mut self) {
        if let Some(home) = &self.home {
            self.store.close().await;
            self.store = Self::open(home);
        }
    }
}

fn new(id: impl Into<String>, body: impl Into<Bytes>) -> NewConsignment {
    NewConsignment {
        id: id.into(),
        body: body.into(),
    }
}

fn everything(store_end: u64) -> Scan {
    Scan {
        after: 0,
        through: store_end,
        ids: Vec::new(),
        filter: Filter::default(),
        newest_first: false,
        limit: usize::MAX,
    }
}

/// Everything that `scan` asks for, page by page.
async fn read(store: &dyn Store, mut scan: Scan) -> Vec<StoredConsignment> {
    let mut records = Vec::new();
    loop {
        let page = store.scan(&scan).await.unwrap();
        records.extend(page.records);
        if page.is_last {
            return records;
        }
        assert!(page.through > scan.after, "a page goes on: {scan:?}");
        scan.after = page.through;
    }
}

/// The whole register, after a look at its numbers.
async fn read_all(store: &dyn Store) -> Vec<StoredConsignment> {
    let last = store.last_sequence().await.unwrap();
    let records = read(store, everything(last)).await;
    let sequences = records.iter().map(|record| record.receipt.sequence);
    assert!(sequences.eq(1..=last), "gapless from 1 to {last}");
    records
}
