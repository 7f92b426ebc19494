//! Many who write at once, a queue that is full, and a store that closes.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{join, join_all},
};
use shippy::store::{Condition, NewConsignment, Outcome, StoreError, StoredConsignment};

use super::{Subject, everything, new, read_all};

/// What one writer sent and was told.
type Told = Vec<(NewConsignment, Outcome)>;

/// Batches of `writer`: ids of its own and ids that others use too, with the same contents and with others.
fn batches(writer: usize) -> impl Iterator<Item = Vec<NewConsignment>> {
    (0..15).map(move |turn| {
        vec![
            new(format!("own-{writer}-{turn}"), format!("{writer}")),
            new(format!("same-{turn}"), "the same from everybody"),
            new(format!("other-{turn}"), format!("{}", writer % 3)),
        ]
    })
}

async fn write_at_once(subject: &Subject) -> Told {
    let writers = (0..32).map(|writer| {
        let store = Arc::clone(&subject.store);
        tokio::spawn(async move {
            let mut told = Told::new();
            for batch in batches(writer) {
                let outcomes = store.append(batch.clone()).await.unwrap();
                told.extend(batch.into_iter().zip(outcomes));
            }
            told
        })
    });
    let told = join_all(writers).await.into_iter();
    told.flat_map(Result::unwrap).collect()
}

fn check_truth(told: &Told, records: &[StoredConsignment]) {
    let at = |sequence: u64| &records[usize::try_from(sequence).unwrap() - 1];
    let mut stored = BTreeSet::new();
    let mut sequence_of = BTreeMap::new();
    for (new, outcome) in told {
        let (receipt, same) = match outcome {
            Outcome::Stored(receipt) => {
                assert!(stored.insert(receipt.sequence), "stored once: {new:?}");
                (receipt, true)
            }
            Outcome::AlreadyThere(receipt) => (receipt, true),
            Outcome::Conflict(receipt) => (receipt, false),
        };
        assert_eq!(at(receipt.sequence).receipt, *receipt, "{new:?}");
        assert_eq!(at(receipt.sequence).body == new.body, same, "{new:?}");
        let known = *sequence_of.entry(&new.id).or_insert(receipt.sequence);
        assert_eq!(known, receipt.sequence, "one place for each id: {new:?}");
    }
    assert_eq!(stored.len(), records.len(), "nobody else stored anything");
}

on_each_store! {
    async fn many_who_write_at_once_are_each_told_the_truth(subject: Subject) {
        let told = write_at_once(&subject).await;
        let records = read_all(&*subject.store).await;
        assert_eq!(records.len(), 32 * 15 + 15 + 15);
        check_truth(&told, &records);
    }

    async fn batches_are_numbered_in_the_order_in_which_they_were_handed_over(subject: Subject) {
        let batch = |turn| [0, 1, 2].map(|place| new(format!("{turn}-{place}"), ""));
        let appends = (0..500).map(|turn| subject.store.append(batch(turn).into()));
        let outcomes = join_all(appends).await.into_iter();
        for (expected, outcome) in (1..).zip(outcomes.flat_map(Result::unwrap)) {
            let Outcome::Stored(receipt) = outcome else {
                panic!("{outcome:?}")
            };
            assert_eq!(receipt.sequence, expected);
        }
    }

    async fn what_was_handed_over_is_stored_although_nobody_waits_for_it(subject: Subject) {
        let _gone = subject.store.append(vec![new("a", "a")]).now_or_never();
        subject.store.append(vec![new("b", "b")]).await.unwrap();
        let bodies = read_all(&*subject.store).await;
        let bodies: Vec<_> = bodies.into_iter().map(|record| record.body).collect();
        assert_eq!(bodies, ["a", "b"].map(Bytes::from));
    }

    async fn closing_commits_what_waits_and_refuses_what_comes_later(subject: Subject) {
        let appends = (0..200).map(|id| subject.store.append(vec![new(id.to_string(), "")]));
        let (appended, ()) = join(join_all(appends), subject.store.close()).await;
        assert!(appended.into_iter().all(|result| result.is_ok()));
        let late = subject.store.append(vec![new("late", "")]).await;
        assert!(matches!(late, Err(StoreError::Closed)), "{late:?}");
        assert_eq!(*subject.store.condition().borrow(), Condition::Closed);
        subject.store.close().await;
        if subject.is_kept() {
            subject.reopen().await;
            assert_eq!(read_all(&*subject.store).await.len(), 200);
        }
    }

    async fn a_closed_store_answers_no_scan(subject: Subject) {
        subject.store.close().await;
        let page = subject.store.scan(&everything(0)).await;
        assert!(matches!(page, Err(StoreError::Closed)), "{page:?}");
    }
}

/// Runs `act` while another connection holds the file's write lock, so that the writer can commit nothing.
async fn while_the_writer_is_held<T>(subject: &Subject, act: impl Future<Output = T>) -> T {
    let home = subject.folder().path();
    let holder = rusqlite::Connection::open(home.join("register.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let result = act.await;
    holder.execute_batch("ROLLBACK").unwrap();
    result
}

/// As much as may wait (`QUEUE_BYTES`).
const QUEUE: usize = 32 * 1024 * 1024;

#[tokio::test]
async fn what_waits_to_be_written_is_bounded_and_writing_goes_on_afterwards() {
    let subject = Subject::sqlite();
    let store = Arc::clone(&subject.store);
    let waiting = while_the_writer_is_held(&subject, async {
        let body = Bytes::from(vec![7; 1024 * 1024]);
        let mut waiting = Vec::new();
        loop {
            let id = waiting.len().to_string();
            let append = {
                let (store, batch) = (Arc::clone(&store), vec![new(id, body.clone())]);
                tokio::spawn(async move { store.append(batch).await })
            };
            tokio::task::yield_now().await;
            if append.is_finished() {
                let refused = append.await.unwrap();
                assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
                return waiting;
            }
            waiting.push(append);
            assert!(waiting.len() <= QUEUE / (1024 * 1024), "no bound");
        }
    })
    .await;
    // Each also takes its overhead, so one less fits than the bodies alone would say.
    assert_eq!(waiting.len(), QUEUE / (1024 * 1024) - 1);
    for append in waiting {
        append.await.unwrap().unwrap();
    }
    subject.store.append(vec![new("next", "")]).await.unwrap();
    assert_eq!(read_all(&*subject.store).await.len(), 32);
}

#[tokio::test]
async fn reading_goes_on_while_the_writer_is_held() {
    let subject = Subject::sqlite();
    subject.store.append(vec![new("a", "a")]).await.unwrap();
    let records = while_the_writer_is_held(&subject, async {
        let reading = read_all(&*subject.store);
        tokio::time::timeout(Duration::from_secs(20), reading).await
    });
    assert_eq!(records.await.expect("read while held").len(), 1);
}
