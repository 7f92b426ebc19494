//! Where a page ends.

use prost::Message as _;
use shippy::{
    proto::Consignment,
    store::{Filter, PAGE_BYTES, PAGE_RECORDS, PAGE_SEARCHED, Scan},
};
use tokio::sync::mpsc;

use super::{Subject, everything, new, read_all, read_on};

/// How many records each page of everything has, when each record's body has `bytes` bytes.
async fn page_lengths(subject: &Subject, records: usize, bytes: usize) -> Vec<usize> {
    let body = vec![7; bytes];
    let batch = (0..records).map(|number| new(number.to_string(), body.clone()));
    subject.store.append(batch.collect()).await.unwrap();
    let mut scan = everything(records as u64);
    let mut lengths = Vec::new();
    while scan.after < scan.through {
        let page = subject.store.scan(&scan).await.unwrap();
        lengths.push(page.records.len());
        scan.after = page.through;
    }
    lengths
}

on_each_store! {
    async fn a_page_ends_with_as_many_records_as_it_may_hold(subject: Subject) {
        let lengths = page_lengths(&subject, 2 * PAGE_RECORDS + 1, 10).await;
        assert_eq!(lengths, [PAGE_RECORDS, PAGE_RECORDS, 1]);
    }

    async fn the_last_page_is_known_as_the_last_also_when_it_is_full(subject: Subject) {
        assert_eq!(
            page_lengths(&subject, PAGE_RECORDS, 10).await,
            [PAGE_RECORDS]
        );
    }

    async fn a_page_ends_with_the_record_that_reaches_its_bytes(subject: Subject) {
        // Two are just below the bound, with what the server says of each, so the third reaches it.
        let lengths = page_lengths(&subject, 7, PAGE_BYTES / 2 - 32).await;
        assert_eq!(lengths, [3, 3, 1]);
    }

    async fn a_record_larger_than_a_page_has_one_to_itself(subject: Subject) {
        assert_eq!(page_lengths(&subject, 3, PAGE_BYTES * 4).await, [1, 1, 1]);
    }

    async fn a_long_list_is_read_on_in_both_directions_and_up_to_its_limit(subject: Subject) {
        let count = 9 * PAGE_RECORDS;
        let batch = (0..count).map(|number| new(number.to_string(), "a"));
        subject.store.append(batch.collect()).await.unwrap();
        let all = read_all(&*subject.store).await;
        for limit in [usize::MAX, 7 * PAGE_RECORDS + 3] {
            let mut expected = all.clone();
            let mut scan = Scan { limit, ..everything(count as u64) };
            expected.truncate(limit);
            assert_eq!(read_on(&*subject.store, scan.clone()).await, expected);
            scan.newest_first = true;
            expected = all.iter().rev().take(limit).cloned().collect();
            assert_eq!(read_on(&*subject.store, scan).await, expected);
        }
    }

    async fn a_list_that_nobody_takes_is_not_read_on(subject: Subject) {
        let batch = (0..9 * PAGE_RECORDS).map(|number| new(number.to_string(), "a"));
        subject.store.append(batch.collect()).await.unwrap();
        let (sender, mut pages) = mpsc::channel(2);
        let rest = subject.store.scan_on(everything(9 * PAGE_RECORDS as u64), &sender).await;
        let first = pages.recv().await.unwrap();
        assert_eq!(first.records.len(), PAGE_RECORDS);
        drop(pages);
        let rest = rest.unwrap().unwrap();
        assert!(rest.after >= first.through && rest.after <= 2 * first.through);
        let after = rest.after;
        let left = subject.store.scan_on(rest, &sender).await.unwrap();
        assert!(left.unwrap().after <= after + first.through);
        subject.store.close().await;
    }

    async fn a_scan_beyond_the_end_finds_nothing_and_says_so(subject: Subject) {
        subject.store.append(vec![new("a", "a")]).await.unwrap();
        let beyond = Scan {
            after: u64::MAX,
            ids: vec!["a".into()],
            ..everything(u64::MAX)
        };
        let page = subject.store.scan(&beyond).await.unwrap();
        assert_eq!((page.records.len(), page.through), (0, u64::MAX));
        assert_eq!(read_all(&*subject.store).await.len(), 1);
    }

    async fn a_page_ends_when_enough_was_searched_also_when_nothing_was_found(subject: Subject) {
        let count = 2 * PAGE_SEARCHED + 1;
        let body = Consignment {
            vessel_id: "some".into(),
            ..Consignment::default()
        };
        let batch = (0..count).map(|number| new(number.to_string(), body.encode_to_vec()));
        subject.store.append(batch.collect()).await.unwrap();
        for newest_first in [false, true] {
            // What is absent is in no index, so each record has to be looked at.
            let rare = Filter {
                vessel_id: Some(String::new()),
                ..Filter::default()
            };
            let mut scan = Scan {
                filter: rare,
                newest_first,
                ..everything(count as u64)
            };
            let mut ends = Vec::new();
            loop {
                let page = subject.store.scan(&scan).await.unwrap();
                assert!(page.records.is_empty());
                ends.push(page.through);
                if page.is_last {
                    break;
                }
                if newest_first {
                    scan.through = page.through - 1;
                } else {
                    scan.after = page.through;
                }
            }
            let expected = if newest_first {
                [4_098, 2, 1]
            } else {
                [4_096, 8_192, 8_193]
            };
            assert_eq!(ends, expected);
        }
    }
}
