//! Whatever becomes of the index, scans find what a search of every record finds.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use prost::Message as _;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{Distrusted, Index};
use crate::{
    consignment,
    proto::{Consignment, Container},
    store::{
        Filter, NewConsignment, OpenError, Outcome, QueueBound, Receipt, Scan, Store as _,
        StoredConsignment, sqlite::SqliteStore,
    },
};

mod damage;
mod model;
mod times;

/// So few that a handful of consignments fills several segments.
const ROWS: u32 = 8;
/// How long a thing that takes milliseconds may take on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);

impl Index {
    fn pause(&self, pause: bool) {
        self.shared
            .orders
            .send_modify(|orders| orders.pause = pause);
    }

    /// Up to where the register is indexed, and from where on in memory.
    fn through(&self) -> Option<(u64, u64)> {
        let tail = self.shared.tail();
        tail.as_ref().map(|tail| (tail.start, tail.through()))
    }
}

#[track_caller]
fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is() {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A register with small segments, and what it has to hold.
struct Subject {
    home: TempDir,
    store: SqliteStore,
    known: Vec<StoredConsignment>,
}

impl Subject {
    fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    fn at(home: TempDir) -> Self {
        let store = open(&home.path().join("register.db"));
        let known = Vec::new();
        Self { home, store, known }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("register.db")
    }

    fn index(&self) -> PathBuf {
        self.home.path().join("register.db.index")
    }

    async fn append(&mut self, bodies: Vec<Vec<u8>>) {
        let new = |body: &Vec<u8>| NewConsignment::new(consignment::new_id(), body.clone());
        let outcomes = self.store.append(bodies.iter().map(new).collect()).await;
        for (body, outcome) in bodies.into_iter().zip(outcomes.unwrap()) {
            let Outcome::Stored(receipt) = outcome else {
                panic!("{outcome:?}")
            };
            let body = body.into();
            self.known.push(StoredConsignment { receipt, body });
        }
    }

    /// `count` consignments that `sample` makes of their numbers.
    async fn fill(&mut self, count: usize) {
        let first = self.known.len();
        self.append((first..first + count).map(sample).collect())
            .await;
    }

    /// Waits until all that is stored is indexed.
    #[track_caller]
    fn catch_up(&self) {
        let last = self.known.len() as u64;
        eventually("the index has caught up", || {
            let through = self.store.index.through();
            through.is_some_and(|(_, through)| through == last)
        });
    }

    /// Takes in `count` more and indexes them, finds all, and closes.
    async fn goes_on(mut self, count: usize) {
        self.fill(count).await;
        self.catch_up();
        self.check_all().await;
        self.close().await;
    }

    async fn close(self) -> TempDir {
        self.store.close().await;
        self.home
    }

    /// Closes the register and opens it again after `change` has been made in its folder.
    async fn reopened_after(self, change: impl FnOnce(&Path)) -> Self {
        let known = self.known.clone();
        let home = self.close().await;
        change(home.path());
        Self {
            known,
            ..Self::at(home)
        }
    }

    /// Goes on with a copy of the files as they are at this moment, as after a kill.
    fn killed(self) -> Self {
        let copy = tempfile::tempdir().unwrap();
        // In this order the log has all that the register still lacks.
        for name in ["", "-wal", ".index", ".index-wal"] {
            let name = format!("register.db{name}");
            let from = self.home.path().join(&name);
            if from.exists() {
                fs::copy(from, copy.path().join(&name)).unwrap();
            }
        }
        let known = self.known.clone();
        drop(self);
        Self {
            known,
            ..Self::at(copy)
        }
    }

    /// All that `scan` asks for, page by page.
    async fn read(&self, mut scan: Scan) -> Vec<StoredConsignment> {
        let mut found = Vec::new();
        loop {
            let page = self.store.scan(&scan).await.unwrap();
            found.extend(page.records.iter());
            if page.is_last {
                return found;
            }
            assert!(page.through > scan.after && page.through <= scan.through);
            if scan.newest_first {
                scan.through = page.through - 1;
            } else {
                scan.after = page.through;
            }
        }
    }

    /// Fails unless `scan` finds what it has to.
    async fn check(&self, scan: Scan) {
        let mut expected: Vec<_> = (self.known.iter())
            .filter(|one| one.receipt.sequence > scan.after)
            .filter(|one| one.receipt.sequence <= scan.through)
            .filter(|one| meets(one, &scan.filter))
            .cloned()
            .collect();
        if scan.newest_first {
            expected.reverse();
        }
        let found = self.read(scan.clone()).await;
        assert!(
            found == expected,
            "{scan:?}\nfound {found:?}\nexpected {expected:?}"
        );
    }

    /// Checks each vessel and each customer, in both directions.
    async fn check_all(&self) {
        for number in 0..6 {
            for newest_first in [false, true] {
                let vessel = Filter {
                    vessel_id: Some(format!("vessel-{number}")),
                    ..Filter::default()
                };
                let customer = Filter {
                    customer_id: Some(format!("customer-{number}")),
                    ..Filter::default()
                };
                for filter in [vessel, customer] {
                    let filtered = Scan {
                        newest_first,
                        ..all(filter)
                    };
                    self.check(filtered).await;
                }
            }
        }
    }
}

/// A process that another test has just begun still holds, up to its exec, what was open here: the lock, too.
fn open(path: &Path) -> SqliteStore {
    let deadline = Instant::now() + SOON;
    loop {
        match SqliteStore::open_with(path, QueueBound::default(), ROWS) {
            Err(OpenError::InUse(_)) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            opened => return opened.unwrap(),
        }
    }
}

fn all(filter: Filter) -> Scan {
    Scan {
        after: 0,
        through: u64::MAX,
        ids: Vec::new(),
        filter,
        newest_first: false,
        limit: usize::MAX,
    }
}

fn sample(number: usize) -> Vec<u8> {
    let container = |part| Container {
        customer_id: format!("customer-{}", (number * 7 + part) % 11),
        user_id: format!("user-{}", number % 3),
        origin: format!("origin-{}", number / 20),
        ..Container::default()
    };
    let consignment = Consignment {
        vessel_id: format!("vessel-{}", number % 5),
        containers: (0..number % 3).map(container).collect(),
        ..Consignment::default()
    };
    consignment.encode_to_vec()
}

/// What a filter means, said in another way than the store says it.
fn meets(record: &StoredConsignment, filter: &Filter) -> bool {
    let consignment = Consignment::decode(record.body.clone()).unwrap();
    let of_containers = |field: fn(&Container) -> &String| {
        let texts = consignment.containers.iter().map(field);
        texts.cloned().collect::<Vec<_>>()
    };
    let texts = [
        (&filter.vessel_id, vec![consignment.vessel_id.clone()]),
        (&filter.customer_id, of_containers(|one| &one.customer_id)),
        (&filter.user_id, of_containers(|one| &one.user_id)),
        (&filter.origin, of_containers(|one| &one.origin)),
    ];
    let time = filter.created_from.unwrap_or(i64::MIN)..filter.created_until.unwrap_or(i64::MAX);
    (texts.iter()).all(|(wanted, has)| wanted.iter().all(|wanted| has.contains(wanted)))
        && time.contains(&record.receipt.created_at)
}

/// A register whose consignments were made at `times`, as a clock tells them that is set back and forth.
fn made_at(times: &[i64]) -> Subject {
    let mut subject = Subject::new();
    let direct = Connection::open(subject.path()).unwrap();
    for (number, &created_at) in times.iter().enumerate() {
        let body = sample(number);
        let insert = "INSERT INTO consignment (id, created_at, body) VALUES (?1, ?2, ?3)";
        let id = consignment::new_id();
        direct.execute(insert, (id, created_at, &body)).unwrap();
        let sequence = number as u64 + 1;
        subject.known.push(StoredConsignment {
            receipt: Receipt {
                sequence,
                created_at,
                created_by: None,
            },
            body: body.into(),
        });
    }
    // It is opened again before it knows of these.
    drop(direct);
    subject.killed()
}
