//! `CreateConsignment`: once per id.

use shippy::proto::Consignment;
use tonic::Code;
use uuid::Uuid;

use super::{all, create, ids, sample, sequences};
use crate::support::{Server, folder};

#[tokio::test]
async fn an_empty_id_is_replaced_by_a_uuid_of_version_7() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let first = create(&mut client, sample("")).await.consignment.unwrap();
    let second = create(&mut client, sample("")).await.consignment.unwrap();
    assert_eq!(first.id.parse::<Uuid>().unwrap().get_version_num(), 7);
    assert_ne!(first.id, second.id);
    assert_eq!(ids(&all(&mut client).await), [first.id, second.id]);
}

#[tokio::test]
async fn the_reply_carries_what_was_stored() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let reply = create(&mut client, sample("tea-1")).await;
    assert!(reply.created);
    assert!(reply.consignments.is_empty());
    let stored = reply.consignment.unwrap();
    assert_eq!(stored.sequence, 1);
    assert!(stored.created_at.is_some());
    let sent = Consignment {
        sequence: stored.sequence,
        created_at: stored.created_at,
        ..sample("tea-1")
    };
    assert_eq!(stored, sent);
    assert_eq!(all(&mut client).await, [stored]);
}

#[tokio::test]
async fn a_repeat_is_answered_and_not_stored_again() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let first = create(&mut client, sample("tea-1")).await;
    create(&mut client, sample("tea-2")).await;
    let again = create(&mut client, sample("tea-1")).await;
    assert!(first.created && !again.created);
    assert_eq!(again.consignment, first.consignment);
    assert_eq!(ids(&all(&mut client).await), ["tea-1", "tea-2"]);
}

#[tokio::test]
async fn the_same_id_with_other_contents_is_refused() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let first = create(&mut client, sample("tea-1")).await.consignment;
    let other = Consignment {
        weight: 551,
        ..sample("tea-1")
    };
    let refused = client.create_consignment(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    for text in ["tea-1", "sequence number 1"] {
        assert!(refused.message().contains(text), "{refused:?}");
    }
    assert_eq!(all(&mut client).await, Vec::from_iter(first));
}

#[tokio::test]
async fn what_only_a_server_sets_is_ignored_in_a_request() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let elsewhere = Consignment {
        sequence: 77,
        created_at: Some(shippy::consignment::timestamp(1_000_000)),
        created_by: "somebody".into(),
        ..sample("tea-1")
    };
    let first = create(&mut client, elsewhere.clone()).await;
    let stored = first.consignment.clone().unwrap();
    assert_eq!(stored.sequence, 1);
    assert_ne!(stored.created_at, elsewhere.created_at);
    // Nobody says here who they are.
    assert_eq!(stored.created_by, "");
    for repeat in [stored, elsewhere, sample("tea-1")] {
        let again = create(&mut client, repeat).await;
        assert!(!again.created);
        assert_eq!(again.consignment, first.consignment);
    }
}

#[tokio::test]
async fn many_at_once_get_sequence_numbers_without_gaps() {
    let home = folder();
    let server = Server::start(home.path());
    let client = server.connect().await;
    let creates = (0..200).map(|number| {
        let mut client = client.clone();
        async move { create(&mut client, sample(&format!("tea-{number}"))).await }
    });
    let replies = futures_util::future::join_all(creates).await;
    assert!(replies.iter().all(|reply| reply.created));
    let all = all(&mut client.clone()).await;
    assert_eq!(sequences(&all), (1..=200).collect::<Vec<_>>());
    for stored in replies.into_iter().filter_map(|reply| reply.consignment) {
        assert!(
            all.contains(&stored),
            "{stored:?} is not listed as it was acknowledged"
        );
    }
}

#[tokio::test]
async fn of_one_consignment_sent_many_times_at_once_one_is_stored() {
    let home = folder();
    let server = Server::start(home.path());
    let client = server.connect().await;
    let creates = (0..50).map(|_| {
        let mut client = client.clone();
        async move { create(&mut client, sample("tea-1")).await }
    });
    let replies = futures_util::future::join_all(creates).await;
    assert_eq!(replies.iter().filter(|reply| reply.created).count(), 1);
    assert_eq!(all(&mut client.clone()).await.len(), 1);
}
