//! `ListConsignments` with `follow`: what is there, and then what comes.

use rustix::process::Signal;
use shippy::proto::{Consignment, ListChunk, ListRequest};
use tonic::{Code, Status, Streaming};

use super::{Client, create, sample};
use crate::support::{SOON, Server, folder};

fn follow() -> ListRequest {
    ListRequest {
        follow: true,
        ..ListRequest::default()
    }
}

async fn begin(client: &mut Client, request: ListRequest) -> Streaming<ListChunk> {
    client
        .list_consignments(request)
        .await
        .unwrap()
        .into_inner()
}

/// The next chunk, which must come soon.
async fn next(list: &mut Streaming<ListChunk>) -> Result<Option<ListChunk>, Status> {
    let chunk = tokio::time::timeout(SOON, list.message()).await;
    chunk.expect("a followed list is not silent")
}

/// Reads on until `count` consignments have come; their ids.
async fn read(list: &mut Streaming<ListChunk>, count: usize) -> Vec<String> {
    use prost::Message as _;
    let mut ids = Vec::new();
    while ids.len() < count {
        let chunk = next(list).await.unwrap().expect("it does not end");
        for encoded in chunk.consignments {
            ids.push(Consignment::decode(encoded).unwrap().id);
        }
    }
    ids
}

#[tokio::test]
async fn what_is_stored_comes_first_and_then_what_is_stored_meanwhile() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    for id in ["one", "two"] {
        create(&mut client, sample(id)).await;
    }
    let mut list = begin(&mut client, follow()).await;
    assert_eq!(read(&mut list, 2).await, ["one", "two"]);
    for id in ["three", "four"] {
        create(&mut client, sample(id)).await;
        assert_eq!(read(&mut list, 1).await, [id]);
    }
}

#[tokio::test]
async fn beside_writers_nothing_is_missed_or_repeated() {
    let home = folder();
    let server = Server::start(home.path());
    let client = server.connect().await;
    let mut list = begin(&mut client.clone(), follow()).await;
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let mut client = client.clone();
            tokio::spawn(async move {
                for number in 0..40 {
                    create(&mut client, sample(&format!("{writer}-{number}"))).await;
                }
            })
        })
        .collect();
    let followed = read(&mut list, 16 * 40).await;
    for writer in writers {
        writer.await.unwrap();
    }
    let listed = super::all(&mut client.clone()).await;
    assert_eq!(followed, super::ids(&listed));
}

#[tokio::test]
async fn while_nothing_comes_it_says_that_nothing_is_missed() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    create(&mut client, sample("one")).await;
    let mut list = begin(&mut client, follow()).await;
    read(&mut list, 1).await;
    let chunk = next(&mut list).await.unwrap().expect("it does not end");
    assert_eq!((chunk.consignments.len(), chunk.through_sequence), (0, 1));
}

#[tokio::test]
async fn a_limit_ends_it() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let two = ListRequest {
        limit: 2,
        ..follow()
    };
    let mut list = begin(&mut client, two).await;
    for id in ["one", "two", "three"] {
        create(&mut client, sample(id)).await;
    }
    assert_eq!(read(&mut list, 2).await, ["one", "two"]);
    assert_eq!(next(&mut list).await.unwrap(), None);
}

// On several threads, as waiting for the server's end blocks one, and the connection has its part in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_ends_it_at_once() {
    let home = folder();
    let mut server = Server::start(home.path());
    let mut client = server.connect().await;
    let mut list = begin(&mut client, follow()).await;
    next(&mut list).await.unwrap();
    server.signal(Signal::TERM);
    let ended = loop {
        match next(&mut list).await {
            Ok(Some(_)) => {}
            ended => break ended,
        }
    };
    assert_eq!(ended.unwrap_err().code(), Code::Unavailable);
    assert!(server.wait().success());
    assert!(!server.logged().contains("cut"), "{}", server.logged());
}
