//! `GetConsignments`: everything in one reply, or an error that says what to use.

use prost::Message as _;
use shippy::proto::{Consignment, GetRequest, Response};
use tonic::{Code, Status};

use super::{Client, all, create, ids, limits::of_size, sample};
use crate::support::{Server, folder};

/// What stock clients accept in one message, in bytes.
const REPLY: usize = 4 * 1024 * 1024;
/// More than one consignment's key, length and server fields take in a reply.
const SLACK: usize = 128;

#[tokio::test]
async fn an_empty_register_answers_with_nothing() {
    let home = folder();
    let server = Server::start(home.path());
    let reply = get(&mut server.connect().await).await.unwrap();
    assert_eq!(reply, Response::default());
}

#[tokio::test]
async fn everything_comes_in_the_order_in_which_it_was_stored() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let given = ["c", "a", "b"];
    for id in given {
        create(&mut client, sample(id)).await;
    }
    let reply = get(&mut client).await.unwrap();
    let decoded = reply.consignments.into_iter().map(Consignment::decode);
    let decoded: Vec<_> = decoded.collect::<Result<_, _>>().unwrap();
    assert_eq!(ids(&decoded), given);
    assert_eq!(decoded, all(&mut client).await);
    assert!(!reply.created && reply.consignment.is_none());
}

#[tokio::test]
async fn a_reply_of_just_what_stock_clients_accept_is_given_and_one_of_more_is_not() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    for number in 0..20 {
        create(&mut client, of_size(&number.to_string(), 200 * 1024)).await;
    }
    let before = get(&mut client).await.unwrap().encoded_len();
    create(&mut client, of_size("last", REPLY - before - SLACK)).await;
    let reply = get(&mut client).await.unwrap();
    assert_eq!(reply.consignments.len(), 21);
    let size = reply.encoded_len();
    assert!((REPLY - SLACK..=REPLY).contains(&size), "{size}");

    // The second time nothing is read for it.
    for (count, id) in [(22, "one-more"), (23, "two-more")] {
        create(&mut client, sample(id)).await;
        let refused = get(&mut client).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(
            refused.message().contains(&format!("{count} consignments"))
                && refused.message().contains("ListConsignments"),
            "{refused:?}"
        );
    }
    assert_eq!(all(&mut client).await.len(), 23);
}

async fn get(client: &mut Client) -> Result<Response, Status> {
    let reply = client.get_consignments(GetRequest {}).await;
    reply.map(tonic::Response::into_inner)
}
