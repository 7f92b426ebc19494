//! Which register answers, under which names.

use bytes::Bytes;
use prost::Message as _;
use shippy::proto::{ListChunk, ListRequest, REGISTER_KEY, Response};
use tonic::{Code, Request, Status, metadata::MetadataMap};
use tonic_health::pb::HealthCheckRequest;

use super::{all, raw, sample};
use crate::support::{Server, folder};

const NAMES: [[&str; 3]; 2] = [
    [
        "/go.micro.srv.consignment.ShippingService/CreateConsignment",
        "/go.micro.srv.consignment.ShippingService/GetConsignments",
        "/go.micro.srv.consignment.ShippingService/ListConsignments",
    ],
    [
        "/consignment.ShippingService/CreateConsignment",
        "/consignment.ShippingService/GetConsignments",
        "/consignment.ShippingService/ListConsignments",
    ],
];
const CHECK: &str = "/grpc.health.v1.Health/Check";

#[tokio::test]
async fn the_service_answers_under_both_of_its_names() {
    let home = folder();
    let server = Server::start(home.path());
    let channel = raw::channel(&server).await;
    for (round, [create, get, list]) in NAMES.into_iter().enumerate() {
        let sent = sample("tea-1").encode_to_vec();
        let reply = raw::call(&channel, create, sent).await.unwrap();
        let reply = Response::decode(reply.into_inner()).unwrap();
        // Both are names of one service over one register.
        assert_eq!(reply.created, round == 0);
        let reply = raw::call(&channel, get, Bytes::new()).await.unwrap();
        let reply = Response::decode(reply.into_inner()).unwrap();
        assert_eq!(reply.consignments.len(), 1);
        let reply = raw::stream(&channel, list, Bytes::new()).await.unwrap();
        let chunk = reply.into_inner().message().await.unwrap().unwrap();
        assert_eq!(ListChunk::decode(chunk).unwrap().consignments.len(), 1);
    }
}

#[tokio::test]
async fn what_the_service_does_not_have_is_unimplemented() {
    let home = folder();
    let server = Server::start(home.path());
    let channel = raw::channel(&server).await;
    for path in [
        "/go.micro.srv.consignment.ShippingService/DeleteConsignment",
        "/consignment.ShippingService/DeleteConsignment",
        "/consignment.ShippingService/",
        "/consignment.ShippingServiceX/GetConsignments",
        "/go.micro.srv.vessel.VesselService/FindAvailable",
        "/",
    ] {
        let refused = raw::call(&channel, path, Bytes::new())
            .await
            .expect_err(path);
        assert_eq!(refused.code(), Code::Unimplemented, "{path}: {refused:?}");
        assert_eq!(named(refused.metadata()), server.register, "{path}");
    }
}

#[tokio::test]
async fn every_reply_names_the_register_in_its_initial_metadata() {
    let home = folder();
    let server = Server::start(home.path());
    let channel = raw::channel(&server).await;
    let good = sample("tea-1").encode_to_vec();
    let mut bad = sample("tea-1");
    bad.weight = -1;
    let position = ListRequest {
        ids: vec![String::new(); 1_001],
        ..ListRequest::default()
    };
    for [create, get, list] in NAMES {
        for (path, message) in [
            (create, good.clone()),
            (create, bad.encode_to_vec()),
            (create, vec![0xff]),
            (get, Vec::new()),
            (CHECK, Vec::new()),
            (
                CHECK,
                HealthCheckRequest {
                    service: "no".into(),
                }
                .encode_to_vec(),
            ),
        ] {
            let reply = raw::call(&channel, path, message).await;
            let metadata = reply
                .as_ref()
                .map_or_else(Status::metadata, |reply| reply.metadata());
            assert_eq!(named(metadata), server.register, "{path}: {reply:?}");
        }
        for message in [Vec::new(), position.encode_to_vec()] {
            let reply = raw::stream(&channel, list, message).await;
            let metadata = reply
                .as_ref()
                .map_or_else(Status::metadata, |reply| reply.metadata());
            assert_eq!(named(metadata), server.register, "{list}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_request_for_another_register_is_refused_and_does_nothing() {
    let home = folder();
    let server = Server::start(home.path());
    let channel = raw::channel(&server).await;
    let longer = format!("{}0", server.register);
    for wanted in ["f", "zzz", &longer, &server.register.to_uppercase()[..]] {
        for [create, ..] in NAMES {
            let refused = raw::call_with(&channel, create, asking(wanted)).await;
            let refused = refused.expect_err(wanted);
            assert_eq!(refused.code(), Code::FailedPrecondition, "{wanted}");
            assert!(refused.message().contains(wanted), "{refused:?}");
            assert_eq!(named(refused.metadata()), server.register, "{wanted}");
        }
    }
    assert_eq!(all(&mut server.connect().await).await, []);
}

#[tokio::test]
async fn a_request_for_this_register_or_the_beginning_of_its_id_is_answered() {
    let home = folder();
    let server = Server::start(home.path());
    let channel = raw::channel(&server).await;
    let id = server.register.as_str();
    for wanted in ["", &id[..1], &id[..8], id] {
        for [create, ..] in NAMES {
            let reply = raw::call_with(&channel, create, asking(wanted)).await;
            reply.unwrap_or_else(|status| panic!("{wanted:?}: {status:?}"));
        }
    }
    assert_eq!(all(&mut server.connect().await).await.len(), 1);
}

/// A create that only the register whose id begins with `wanted` may answer.
fn asking(wanted: &str) -> Request<Bytes> {
    let mut request = Request::new(sample("tea-1").encode_to_vec().into());
    let metadata = request.metadata_mut();
    metadata.insert(REGISTER_KEY, wanted.parse().unwrap());
    request
}

/// The register that a reply names.
fn named(metadata: &MetadataMap) -> &str {
    let named = metadata.get(REGISTER_KEY);
    named.map_or("none", |named| named.to_str().unwrap())
}
