//! `CreateConsignments`: many over one stream, each answered in its place.

use futures_util::stream;
use prost::Message as _;
use shippy::proto::{Consignment, CreateChunk, Outcome, OutcomeChunk, outcome::Result as Is};
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{Client, all, create, ids, sample, sequences};
use crate::support::{Server, folder};

/// Bulk loads that a server takes on at once.
const LOADS: usize = 64;

fn chunk(consignments: &[Consignment]) -> CreateChunk {
    let encoded = consignments.iter().map(|one| one.encode_to_vec().into());
    CreateChunk {
        consignments: encoded.collect(),
    }
}

/// Sends all of `chunks` at once; what came back until the stream ended.
async fn load(
    client: &mut Client,
    chunks: Vec<CreateChunk>,
) -> (Vec<OutcomeChunk>, Option<Status>) {
    let reply = client.create_consignments(stream::iter(chunks)).await;
    let mut stream = reply.unwrap().into_inner();
    let mut answers = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(answer)) => answers.push(answer),
            Ok(None) => return (answers, None),
            Err(status) => return (answers, Some(status)),
        }
    }
}

/// Sends all of `chunks`, which are all good ones; the outcomes, chunk by chunk.
async fn loaded(client: &mut Client, chunks: Vec<CreateChunk>) -> Vec<Vec<Outcome>> {
    let (answers, status) = load(client, chunks).await;
    assert!(status.is_none(), "{status:?}");
    answers.into_iter().map(|one| one.outcomes).collect()
}

fn outcome(result: Is, sequence: u64) -> Outcome {
    Outcome {
        result: result.into(),
        sequence,
        ..Outcome::default()
    }
}

/// A load whose chunks are sent one by one.
async fn open(client: &mut Client) -> (mpsc::Sender<CreateChunk>, Streaming<OutcomeChunk>) {
    let (sender, receiver) = mpsc::channel::<CreateChunk>(1);
    let chunks = stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?, receiver))
    });
    let reply = client.create_consignments(chunks).await.unwrap();
    (sender, reply.into_inner())
}

#[tokio::test]
async fn each_consignment_is_answered_in_its_place() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    create(&mut client, sample("known")).await;
    let heavier = |id: &str, weight| Consignment {
        weight,
        ..sample(id)
    };
    let chunks = vec![
        chunk(&[sample("a"), sample("known"), heavier("known", 1)]),
        chunk(&[]),
        chunk(&[
            heavier("bad", -1),
            sample("b"),
            sample("b"),
            heavier("a", 2),
        ]),
    ];
    let answers = loaded(&mut client, chunks).await;
    assert_eq!(answers.len(), 3);
    let first = [
        outcome(Is::Created, 2),
        outcome(Is::AlreadyThere, 1),
        outcome(Is::Conflict, 1),
    ];
    assert_eq!(answers[0], first);
    assert_eq!(answers[1], []);
    let [invalid, rest @ ..] = &answers[2][..] else {
        panic!("{answers:?}");
    };
    assert_eq!((invalid.result(), invalid.sequence), (Is::Invalid, 0));
    assert_eq!(invalid.violations[0].field, "weight");
    assert!(invalid.violations[0].description.contains("below 0"));
    let rest_expected = [
        outcome(Is::Created, 3),
        outcome(Is::AlreadyThere, 3),
        outcome(Is::Conflict, 2),
    ];
    assert_eq!(rest, rest_expected);
    assert_eq!(ids(&all(&mut client).await), ["known", "a", "b"]);
}

#[tokio::test]
async fn an_id_that_is_made_here_is_told() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let answers = loaded(&mut client, vec![chunk(&[sample(""), sample("own")])]).await;
    let [made, own] = &answers[0][..] else {
        panic!("{answers:?}");
    };
    assert_eq!(made.id.parse::<Uuid>().unwrap().get_version_num(), 7);
    assert_eq!(own.id, "");
    assert_eq!(ids(&all(&mut client).await), [made.id.as_str(), "own"]);
}

#[tokio::test]
async fn chunks_are_stored_in_their_order_and_no_number_is_left_out() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let names: Vec<_> = (0..20_000).map(|number| format!("n{number}")).collect();
    let consignments: Vec<_> = names.iter().map(|name| sample(name)).collect();
    let chunks = consignments.chunks(250).map(chunk).collect();
    let answers = loaded(&mut client, chunks).await;
    assert_eq!(answers.len(), 80);
    let told: Vec<_> = answers.iter().flatten().map(|one| one.sequence).collect();
    assert!(told.iter().copied().eq(1..=20_000));
    let stored = all(&mut client).await;
    assert_eq!(ids(&stored), names);
    assert_eq!(sequences(&stored), told);
}

#[tokio::test]
async fn what_was_answered_is_stored_though_the_load_then_breaks() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let nothing = CreateChunk {
        consignments: vec![vec![0xff; 3].into()],
    };
    let too_many = chunk(&vec![Consignment::default(); 1_001]);
    for (number, bad) in [nothing, too_many].into_iter().enumerate() {
        let (mut sender, mut answers) = open(&mut client).await;
        let name = format!("before-{number}");
        sender.send(chunk(&[sample(&name)])).await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().outcomes.len(), 1);
        sender.send(bad).await.unwrap();
        let refused = answers.message().await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        sender = open(&mut client).await.0;
        drop(sender);
    }
    assert_eq!(ids(&all(&mut client).await), ["before-0", "before-1"]);
}

#[tokio::test]
async fn loads_beside_each_other_store_every_consignment_once() {
    let home = folder();
    let server = Server::start(home.path());
    let loads = (0..8).map(|load_number| {
        let server = &server;
        async move {
            let mut client = server.connect().await;
            // Every id is in two of the loads.
            let numbers = (load_number / 2 * 1_000)..(load_number / 2 * 1_000 + 1_000);
            let consignments: Vec<_> = numbers.map(|n| sample(&format!("n{n}"))).collect();
            let answers = loaded(&mut client, consignments.chunks(100).map(chunk).collect()).await;
            let is_created = |one: &&Outcome| one.result() == Is::Created;
            answers.iter().flatten().filter(is_created).count()
        }
    });
    let created: usize = futures_util::future::join_all(loads).await.iter().sum();
    assert_eq!(created, 4_000);
    let stored = all(&mut server.connect().await).await;
    assert!(sequences(&stored).into_iter().eq(1..=4_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_so_and_keeps_what_it_answered() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let _register = server.database();
    let (sender, mut answers) = open(&mut client).await;
    sender.send(chunk(&[sample("first")])).await.unwrap();
    assert!(answers.message().await.unwrap().is_some());
    assert!(server.stop().success());
    let ended = answers.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
    assert!(ended.message().contains("stopping"), "{ended:?}");
    let server = Server::start(home.path());
    assert_eq!(ids(&all(&mut server.connect().await).await), ["first"]);
}

#[tokio::test]
async fn a_load_too_many_is_told_to_come_again() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let mut loads = Vec::new();
    for _ in 0..LOADS {
        loads.push(open(&mut client).await);
    }
    let refused = client.create_consignments(stream::empty()).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.get_details_retry_info().is_some());
    // Single creates have places of their own, and a load that ends leaves its own to others.
    create(&mut client, sample("single")).await;
    let (sender, mut answers) = loads.pop().unwrap();
    drop(sender);
    assert_eq!(answers.message().await.unwrap(), None);
    assert_eq!(loaded(&mut client, vec![]).await, Vec::<Vec<_>>::new());
}
