//! `ListConsignments`: which consignments, in what chunks, and from where.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use prost::Message as _;
use shippy::proto::{Consignment, ListRequest, Position};
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{Client, all, chunks, create, ids, limits::of_size, listed, sample, sequences};
use crate::support::{Server, folder};

/// Most consignments of a chunk, and about its largest size in bytes.
const CHUNK: usize = 256;
const CHUNK_BYTES: usize = 64 * 1024;

/// Stores `count` consignments, in no order: `tea-1` and so on.
async fn fill(client: &Client, count: usize) {
    let creates = (1..=count).map(|number| {
        let mut client = client.clone();
        async move { create(&mut client, sample(&format!("tea-{number}"))).await }
    });
    join_all(creates).await;
}

fn of_ids(ids: &[&str]) -> ListRequest {
    ListRequest {
        ids: ids.iter().map(ToString::to_string).collect(),
        ..ListRequest::default()
    }
}

fn after(register: &str, sequence: u64) -> ListRequest {
    let register = register.into();
    ListRequest {
        after: Some(Position { register, sequence }),
        ..ListRequest::default()
    }
}

#[tokio::test]
async fn a_list_of_an_empty_register_says_that_it_was_searched() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    for request in [ListRequest::default(), after("", 0), of_ids(&["tea-1"])] {
        let chunks = chunks(&mut client, request).await.unwrap();
        assert_eq!(chunks.len(), 1);
        assert!(chunks[0].consignments.is_empty());
        assert_eq!(chunks[0].through_sequence, 0);
    }
}

#[tokio::test]
async fn chunks_of_small_consignments_hold_up_to_256() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    fill(&client, 600).await;
    let chunks = chunks(&mut client, ListRequest::default()).await.unwrap();
    let sizes: Vec<_> = chunks
        .iter()
        .map(|chunk| chunk.consignments.len())
        .collect();
    assert_eq!(sizes, [CHUNK, CHUNK, 600 - 2 * CHUNK]);
    let through: Vec<_> = chunks.iter().map(|chunk| chunk.through_sequence).collect();
    assert_eq!(through, [256, 512, 600]);
    assert_eq!(
        sequences(&all(&mut client).await),
        (1..=600).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_list_longer_than_what_is_read_at_a_time_is_whole_both_ways_and_up_to_its_limit() {
    const COUNT: u64 = 2 * shippy::store::PAGE_RECORDS as u64 + 300;
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    fill(&client, usize::try_from(COUNT).unwrap()).await;
    for limit in [0, 1_024, 1_025, COUNT - 1, COUNT, COUNT + 1] {
        for newest_first in [false, true] {
            let request = ListRequest {
                limit,
                newest_first,
                ..ListRequest::default()
            };
            let count = if limit == 0 { COUNT } else { limit.min(COUNT) };
            let expected: Vec<_> = if newest_first {
                (COUNT - count + 1..=COUNT).rev().collect()
            } else {
                (1..=count).collect()
            };
            let chunks = chunks(&mut client, request.clone()).await.unwrap();
            for chunk in &chunks {
                let last = chunk.consignments.iter().last().unwrap();
                let last = Consignment::decode(last).unwrap();
                assert_eq!(chunk.through_sequence, last.sequence);
            }
            let listed = listed(&mut client, request).await;
            assert_eq!(sequences(&listed), expected, "{limit} {newest_first}");
        }
    }
}

#[tokio::test]
async fn chunks_of_large_consignments_hold_about_64_kib() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    for number in 0..8 {
        create(&mut client, of_size(&number.to_string(), 20 * 1024)).await;
    }
    create(&mut client, of_size("full", 256 * 1024)).await;
    let chunks = chunks(&mut client, ListRequest::default()).await.unwrap();
    assert_eq!(chunks.last().unwrap().through_sequence, 9);
    for chunk in chunks {
        let sizes: Vec<_> = chunk.consignments.iter().map(<[u8]>::len).collect();
        let (_, before_last) = sizes.split_last().unwrap();
        assert!(before_last.iter().sum::<usize>() < CHUNK_BYTES, "{sizes:?}");
    }
}

#[tokio::test]
async fn a_list_of_ids_passes_over_what_is_not_there() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    for id in ["a", "b", "c", "d"] {
        create(&mut client, sample(id)).await;
    }
    for (asked, found) in [
        (vec!["c", "nobody", "a"], vec!["a", "c"]),
        (vec!["b", "b", "b"], vec!["b"]),
        (vec!["A", "b ", "", "%", "'"], vec![]),
    ] {
        let found_now = listed(&mut client, of_ids(&asked)).await;
        assert_eq!(ids(&found_now), found, "{asked:?}");
        let chunks = chunks(&mut client, of_ids(&asked)).await.unwrap();
        assert_eq!(chunks.last().unwrap().through_sequence, 4, "{asked:?}");
    }
}

#[tokio::test]
async fn a_list_of_very_many_ids_is_refused() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    create(&mut client, sample("tea-7")).await;
    let names: Vec<_> = (0..1_001).map(|number| format!("tea-{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let found = listed(&mut client, of_ids(&names[..1_000])).await;
    assert_eq!(ids(&found), ["tea-7"]);
    let refused = chunks(&mut client, of_ids(&names)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, "ids");
}

#[tokio::test]
async fn a_list_begins_after_a_position_and_ends_at_its_limit() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    fill(&client, 300).await;
    for (position, limit, expected) in [
        (0, 0, 1..=300),
        (0, 1, 1..=1),
        (0, 257, 1..=257),
        (10, 5, 11..=15),
        (299, 5, 300..=300),
        (0, u64::MAX, 1..=300),
    ] {
        for register in ["", &server.register] {
            let request = ListRequest {
                limit,
                ..after(register, position)
            };
            let listed = listed(&mut client, request).await;
            let expected = expected.clone().collect::<Vec<_>>();
            assert_eq!(
                sequences(&listed),
                expected,
                "after {position}, limit {limit}"
            );
        }
    }
    let at_the_end = chunks(&mut client, after("", 300)).await.unwrap();
    assert_eq!(at_the_end.len(), 1);
    assert!(at_the_end[0].consignments.is_empty());
    assert_eq!(at_the_end[0].through_sequence, 300);
}

#[tokio::test]
async fn a_limit_counts_what_is_found_and_says_how_far_was_searched() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    for id in ["a", "b", "c", "d", "e"] {
        create(&mut client, sample(id)).await;
    }
    let mut request = ListRequest {
        limit: 1,
        ..of_ids(&["b", "d"])
    };
    let mut found = Vec::new();
    loop {
        let chunks = chunks(&mut client, request.clone()).await.unwrap();
        let page = listed(&mut client, request.clone()).await;
        assert!(page.len() <= 1);
        let Some(consignment) = page.into_iter().next() else {
            break;
        };
        let through = chunks.last().unwrap().through_sequence;
        assert!(through >= consignment.sequence);
        found.push(consignment.id);
        request.after = after("", through).after;
    }
    assert_eq!(found, ["b", "d"]);
}

#[tokio::test]
async fn a_position_that_this_register_does_not_have_is_out_of_range() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    create(&mut client, sample("tea-1")).await;
    let other = Uuid::now_v7().to_string();
    for (request, said) in [
        (after("", 2), "newest"),
        (after(&server.register, u64::MAX), "newest"),
        (after(&other, 1), &server.register),
        (after(&other, 0), &server.register),
        // Only the whole id names the register of a position.
        (after(&server.register[..8], 1), &server.register),
    ] {
        let refused = chunks(&mut client, request.clone()).await;
        let refused = refused.expect_err(&format!("{request:?}"));
        assert_eq!(refused.code(), Code::OutOfRange, "{request:?}");
        assert!(refused.message().contains(said), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_holds_all_that_was_acknowledged_before_it_began_while_creates_run() {
    let home = folder();
    let server = Server::start(home.path());
    let stop = AtomicBool::new(false);
    let acknowledged = std::sync::Mutex::new(Vec::new());
    let (client, stop, acknowledged) = (server.connect().await, &stop, &acknowledged);
    let creating = join_all((0..16).map(|writer| {
        let mut client = client.clone();
        async move {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let id = format!("tea-{writer}-{number}");
                let reply = create(&mut client, sample(&id)).await;
                let stored = reply.consignment.unwrap();
                acknowledged.lock().unwrap().push(stored.sequence);
                number += 1;
            }
        }
    }));
    let mut reader = server.connect().await;
    let listing = async {
        for _ in 0..20 {
            let before = acknowledged.lock().unwrap().clone();
            let listed = sequences(&all(&mut reader).await);
            assert_eq!(listed, (1..=listed.len() as u64).collect::<Vec<_>>());
            let newest = before.iter().max().copied().unwrap_or_default();
            assert!(listed.len() as u64 >= newest, "{newest} is missing");
        }
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(creating, listing);
}
