//! When two consignments are the same, whatever their senders' encodings and versions.

use prost::Message as _;
use shippy::proto::{Consignment, Container, ListRequest, Response};
use tonic::Code;

use super::{chunks, raw};
use crate::support::{Server, folder};

const CREATE: &str = "/go.micro.srv.consignment.ShippingService/CreateConsignment";

/// The contract's golden bytes, and the JSON that they encode.
const GOLDEN: &str = "121a546869732069732061207465737420636f6e7369676e6d656e7418a604222e1207637573743030311a1a4d\
    616e636865737465722c20556e69746564204b696e67646f6d2207757365723030312a0976657373656c303031";
const GOLDEN_JSON: &str = r#"{"description":"This is a test consignment","weight":550,"containers":[{"customer_id":
    "cust001","user_id":"user001","origin":"Manchester, United Kingdom"}],"vessel_id":"vessel001"}"#;

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// A field of a message: its number with its wire type, and its value.
fn field(number: u32, value: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    prost::encoding::encode_key(
        number,
        prost::encoding::WireType::LengthDelimited,
        &mut encoded,
    );
    prost::encoding::encode_varint(value.len() as u64, &mut encoded);
    encoded.extend_from_slice(value);
    encoded
}

/// Weight 550 as it is always written.
const WEIGHT: &[u8] = &[0x18, 0xa6, 0x04];

/// The canonical encoding that all of [`variants`] stand for.
fn canonical() -> Vec<u8> {
    let container = [field(1, b"c1"), field(3, b"Leith")].concat();
    [
        field(1, b"tea-1"),
        field(2, b"Tea"),
        WEIGHT.to_vec(),
        field(4, &container),
        field(5, b"vessel001"),
    ]
    .concat()
}

/// Encodings of one consignment, as clients of other languages and versions may send it.
fn variants() -> Vec<(&'static str, Vec<u8>)> {
    let container = [field(1, b"c1"), field(3, b"Leith")].concat();
    let reordered = [field(3, b"Leith"), field(1, b"c1")].concat();
    let extended = [container.clone(), field(9, b"new"), field(2, b"")].concat();
    let (id, tea, vessel) = (field(1, b"tea-1"), field(2, b"Tea"), field(5, b"vessel001"));
    let with = |parts: &[&[u8]]| parts.concat();
    let canonical = canonical();
    vec![
        ("canonical", canonical.clone()),
        (
            "fields in another order",
            with(&[&vessel, &field(4, &reordered), WEIGHT, &tea, &id]),
        ),
        (
            "a field twice, of which the last counts",
            with(&[&field(5, b"other"), &[0x18, 1], &canonical]),
        ),
        (
            "a number in more bytes than it needs",
            with(&[
                &id,
                &tea,
                &[0x18, 0xa6, 0x84, 0x80, 0x00],
                &field(4, &container),
                &vessel,
            ]),
        ),
        (
            "explicit defaults in a container, and a field of a later version",
            with(&[&id, &tea, WEIGHT, &field(4, &extended), &vessel]),
        ),
        (
            "a text of a later version",
            with(&[&canonical, &field(18, b"later")]),
        ),
        (
            "a number of a later version, before the rest",
            with(&[&[0x98, 0x01, 0x07], &canonical]),
        ),
        (
            "server fields, as `list` printed them",
            with(&[&canonical, &field(16, &[0x08, 0x01]), &[0x88, 0x01, 0x63]]),
        ),
    ]
}

#[tokio::test]
async fn a_consignment_is_the_same_in_every_encoding() {
    let home = folder();
    let server = Server::start(home.path());
    let channel = raw::channel(&server).await;
    for (round, (what, message)) in variants().into_iter().enumerate() {
        let reply = raw::call(&channel, CREATE, message).await;
        let reply = reply.unwrap_or_else(|status| panic!("{what}: {status:?}"));
        let reply = Response::decode(reply.into_inner()).unwrap();
        assert_eq!(reply.created, round == 0, "{what}");
        assert_eq!(reply.consignment.unwrap().sequence, 1, "{what}");
    }
}

#[tokio::test]
async fn each_encoding_is_stored_as_the_canonical_one() {
    let home = folder();
    for (round, (what, message)) in variants().into_iter().enumerate() {
        let home = home.path().join(round.to_string());
        std::fs::create_dir(&home).unwrap();
        let server = Server::start(&home);
        let channel = raw::channel(&server).await;
        raw::call(&channel, CREATE, message).await.unwrap();
        is_listed_as(&canonical(), &server, what).await;
    }
}

#[tokio::test]
async fn what_differs_is_not_the_same() {
    let home = folder();
    let server = Server::start(home.path());
    let channel = raw::channel(&server).await;
    raw::call(&channel, CREATE, canonical()).await.unwrap();
    for (what, rest) in [
        ("a second container", field(4, b"")),
        ("another vessel", field(5, b"vessel002")),
        ("no vessel", field(5, b"")),
        ("another weight", vec![0x18, 1]),
    ] {
        let message = [canonical(), rest].concat();
        let refused = raw::call(&channel, CREATE, message).await;
        let refused = refused.expect_err(what);
        assert_eq!(refused.code(), Code::AlreadyExists, "{what}");
    }
}

#[tokio::test]
async fn the_golden_bytes_are_the_golden_consignment_and_are_what_is_kept() {
    let home = folder();
    let server = Server::start(home.path());
    let channel = raw::channel(&server).await;
    let golden = bytes(GOLDEN);
    let sent = [field(1, b"golden"), golden.clone()].concat();
    let reply = raw::call(&channel, CREATE, sent.clone()).await.unwrap();
    let stored = Response::decode(reply.into_inner()).unwrap();
    let stored = stored.consignment.unwrap();
    let expected = Consignment {
        id: "golden".into(),
        description: "This is a test consignment".into(),
        weight: 550,
        containers: vec![Container {
            customer_id: "cust001".into(),
            origin: "Manchester, United Kingdom".into(),
            user_id: "user001".into(),
            ..Container::default()
        }],
        vessel_id: "vessel001".into(),
        created_at: stored.created_at,
        sequence: 1,
        created_by: String::new(),
    };
    assert_eq!(stored, expected);
    is_listed_as(&sent, &server, "golden").await;
    let from_json: Consignment = serde_json::from_str(GOLDEN_JSON).unwrap();
    assert_eq!(from_json.encode_to_vec(), golden);
}

/// Fails the test unless the only listed consignment is `canonical` with nothing but the server's fields behind it.
async fn is_listed_as(canonical: &[u8], server: &Server, what: &str) {
    let mut client = server.connect().await;
    let chunks = chunks(&mut client, ListRequest::default()).await.unwrap();
    let listed: Vec<_> = (chunks.into_iter())
        .flat_map(|chunk| chunk.consignments)
        .collect();
    let [only] = &listed[..] else {
        panic!("{what}: {} are listed", listed.len());
    };
    let whole = Consignment::decode(only.clone()).unwrap();
    let server_fields = Consignment {
        created_at: whole.created_at,
        sequence: 1,
        ..Consignment::default()
    };
    let expected = [canonical, &server_fields.encode_to_vec()].concat();
    assert_eq!(only[..], expected[..], "{what}");
}

#[tokio::test]
async fn what_is_no_consignment_is_refused_and_the_connection_lives_on() {
    let home = folder();
    let server = Server::start(home.path());
    let channel = raw::channel(&server).await;
    for (what, message) in [
        ("a text that is not UTF-8", field(2, &[0xff, 0xfe])),
        ("a length past the end", vec![0x0a, 0x7f, b'x']),
        ("a field of another type", field(3, b"550")),
    ] {
        let refused = raw::call(&channel, CREATE, message).await.expect_err(what);
        assert_ne!(refused.code(), Code::Unavailable, "{what}: {refused:?}");
    }
    raw::call(&channel, CREATE, canonical()).await.unwrap();
}
