//! The write-ahead log beside the register: bounded while it is written, gone when it is closed.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::join_all;
use prost::Message as _;
use shippy::proto::Consignment;
use uuid::Uuid;

use super::{Subject, everything, new, read_all};
use crate::support::eventually;

const MIB: u64 = 1024 * 1024;
/// The log's bound, one checkpoint's share and a group of commits.
const LONGEST_LOG: u64 = (64 + 16 + 8) * MIB;

fn register(subject: &Subject) -> PathBuf {
    subject.folder().path().join("register.db")
}

fn log_of(register: &Path) -> PathBuf {
    register.with_extension("db-wal")
}

fn names(subject: &Subject) -> Vec<String> {
    let home = subject.folder().path();
    let entries = std::fs::read_dir(home).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// An id whose beginning is random: a UUIDv7 ends so.
fn random_id() -> String {
    let id = Uuid::now_v7().simple().to_string();
    id.chars().rev().collect()
}

/// Writes `total` small consignments from many tasks at once. Their ids are random, so that each touches a page of the
/// index of its own: the log then grows many times faster than what is stored.
async fn write_without_a_pause(subject: &Subject, total: usize) {
    let consignment = Consignment {
        description: "x".repeat(180),
        vessel_id: "vessel001".into(),
        ..Consignment::default()
    };
    let body = Bytes::from(consignment.encode_to_vec());
    let written = Arc::new(AtomicUsize::new(0));
    let writers = (0..64).map(|_| {
        let (store, written) = (Arc::clone(&subject.store), Arc::clone(&written));
        let body = body.clone();
        tokio::spawn(async move {
            while written.fetch_add(8, Ordering::Relaxed) < total {
                let batch = (0..8).map(|_| new(random_id(), body.clone()));
                store.append(batch.collect()).await.unwrap();
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
}

/// Lists the beginning of the register again and again until `done`.
async fn list_without_a_pause(subject: &Subject, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        subject.store.scan(&everything(1_000)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_bounded_under_writes_and_reads_that_never_pause() {
    let subject = Subject::sqlite();
    let done = AtomicBool::new(false);
    let writing = async {
        write_without_a_pause(&subject, 80_000).await;
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(writing, list_without_a_pause(&subject, &done));
    // The file is never shortened while the register is open, so its length is the log's greatest.
    let longest = log_of(&register(&subject)).metadata().unwrap().len();
    eprintln!("longest log: {} MiB", longest / MIB);
    assert!(longest <= LONGEST_LOG, "{} MiB", longest / MIB);
    // The index follows behind, and closing does not wait for it.
    let index = subject.folder().path().join("register.db.index");
    eventually("an index", || index.exists().then_some(()));
    subject.store.close().await;
    let kept = ["register.db", "register.db.index", "register.db.lock"];
    assert_eq!(names(&subject), kept);
}

#[tokio::test]
async fn closing_leaves_the_register_in_one_file() {
    let subject = Subject::sqlite();
    subject.store.append(vec![new("a", "a")]).await.unwrap();
    assert!(log_of(&register(&subject)).metadata().unwrap().len() > 0);
    subject.store.close().await;
    assert_eq!(names(&subject), ["register.db", "register.db.lock"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_amid_scans_leaves_the_register_in_one_file_too() {
    let subject = Subject::sqlite();
    let batch = (0..1_000).map(|id| new(id.to_string(), vec![7; 200]));
    subject.store.append(batch.collect()).await.unwrap();
    let listers = [(); 16].map(|()| {
        let store = Arc::clone(&subject.store);
        tokio::spawn(async move { while store.scan(&everything(1_000)).await.is_ok() {} })
    });
    read_all(&*subject.store).await;
    subject.store.close().await;
    assert_eq!(names(&subject), ["register.db", "register.db.lock"]);
    for lister in listers {
        lister.await.unwrap();
    }
}
