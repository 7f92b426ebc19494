//! What every store promises, held against a model of it, and what the embedded one promises besides.

use std::sync::Arc;

use bytes::Bytes;
use shippy::store::{
    Filter, NewConsignment, QueueBound, Scan, Store, StoredConsignment,
    memory::MemoryStore,
    postgres::{PostgresStore, PostgresUrl},
    sqlite::SqliteStore,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::support::{folder, own_name, postgres::Cluster};

/// A test that each store is to pass, as tests of that name for each of them.
macro_rules! on_each_store {
    ($(async fn $name:ident($subject:ident: Subject) $body:block)+) => {$(
        mod $name {
            use super::*;

            async fn check(#[allow(unused_mut, reason = "few open it again")] mut $subject: Subject) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn in_memory() {
                check(Subject::memory()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn in_a_file() {
                check(Subject::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            #[ignore = "needs PostgreSQL"]
            async fn in_postgresql() {
                check(Subject::postgres().await).await;
            }
        }
    )+};
}

mod log;
mod model;
mod pages;
mod writing;

/// A store, and how to close and open it again.
struct Subject {
    store: Arc<dyn Store>,
    home: Home,
}

/// Where a store keeps its register.
enum Home {
    /// Nowhere.
    Memory,
    /// In a file here.
    Folder(TempDir),
    /// In a database, under a name.
    Database { cluster: Arc<Cluster>, name: String },
}

impl Subject {
    fn memory() -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            home: Home::Memory,
        }
    }

    fn sqlite() -> Self {
        let home = folder();
        Self {
            store: Self::open_file(&home),
            home: Home::Folder(home),
        }
    }

    async fn postgres() -> Self {
        let (cluster, name) = (Cluster::shared(), own_name());
        Self {
            store: Self::open_database(&cluster, &name).await,
            home: Home::Database { cluster, name },
        }
    }

    /// The folder of its file.
    fn folder(&self) -> &TempDir {
        match &self.home {
            Home::Folder(folder) => folder,
            _ => panic!("it is not in a file"),
        }
    }

    fn is_kept(&self) -> bool {
        !matches!(self.home, Home::Memory)
    }

    async fn open_database(cluster: &Cluster, name: &str) -> Arc<dyn Store> {
        let url: PostgresUrl = cluster.url("postgres").parse().unwrap();
        Arc::new(
            PostgresStore::open(&url, name, QueueBound::default())
                .await
                .unwrap(),
        )
    }

    fn open_file(home: &TempDir) -> Arc<dyn Store> {
        let path = home.path().join("register.db");
        Arc::new(SqliteStore::open(&path).unwrap())
    }

    /// Closes it and opens it again, if it outlives its closing.
    async fn reopen(&mut self) {
        if self.is_kept() {
            self.store.close().await;
        }
        match &self.home {
            Home::Memory => {}
            Home::Folder(home) => self.store = Self::open_file(home),
            Home::Database { cluster, name } => {
                self.store = Self::open_database(cluster, name).await;
            }
        }
    }
}

fn new(id: impl Into<String>, body: impl Into<Bytes>) -> NewConsignment {
    NewConsignment::new(id, body)
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
        records.extend(page.records.iter());
        if page.is_last {
            return records;
        }
        assert!(page.through > scan.after, "a page goes on: {scan:?}");
        scan.after = page.through;
    }
}

/// The same, as a list reads it: on and on, as long as there is room for what is found.
async fn read_on(store: &dyn Store, scan: Scan) -> Vec<StoredConsignment> {
    let (sender, mut pages) = mpsc::channel(2);
    let reading = async {
        let mut rest = Some(scan);
        while let Some(scan) = rest {
            drop(sender.reserve().await.unwrap());
            rest = store.scan_on(scan, &sender).await.unwrap();
        }
        drop(sender);
    };
    let taking = async {
        let mut records = Vec::new();
        while let Some(page) = pages.recv().await {
            records.extend(page.records.iter());
        }
        records
    };
    tokio::join!(reading, taking).1
}

/// The whole register, after a look at its numbers.
async fn read_all(store: &dyn Store) -> Vec<StoredConsignment> {
    let last = store.last_sequence().await.unwrap();
    let records = read(store, everything(last)).await;
    let sequences = records.iter().map(|record| record.receipt.sequence);
    assert!(sequences.eq(1..=last), "gapless from 1 to {last}");
    records
}
