//! The standard health service.

use rustix::process::Signal;
use tokio::time::timeout;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};

use super::raw;
use crate::support::{SOON, Server, folder};

const NAMES: [&str; 3] = [
    "",
    "go.micro.srv.consignment.ShippingService",
    "consignment.ShippingService",
];

fn of(name: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: name.into(),
    }
}

async fn next(stream: &mut tonic::Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    let message = timeout(SOON, stream.message())
        .await
        .expect("a change soon");
    // A stream that a stopping server cuts has ended as well.
    Some(message.ok()??.status())
}

#[tokio::test]
async fn the_server_and_the_service_under_both_names_are_serving() {
    let home = folder();
    let server = Server::start(home.path());
    let mut health = HealthClient::new(raw::channel(&server).await);
    for name in NAMES {
        let reply = health.check(of(name)).await.unwrap().into_inner();
        assert_eq!(reply.status(), ServingStatus::Serving, "{name:?}");
    }
}

#[tokio::test]
async fn the_process_is_alive() {
    let home = folder();
    let server = Server::start(home.path());
    let mut health = HealthClient::new(raw::channel(&server).await);
    let reply = health.check(of("liveness")).await.unwrap().into_inner();
    assert_eq!(reply.status(), ServingStatus::Serving);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_not_found() {
    let home = folder();
    let server = Server::start(home.path());
    let mut health = HealthClient::new(raw::channel(&server).await);
    for name in ["nobody", "ShippingService", "go.micro.srv.consignment"] {
        let refused = health.check(of(name)).await.expect_err(name);
        assert_eq!(refused.code(), Code::NotFound, "{name}");
    }
}

// On several threads, as waiting for the server's end blocks one, and the connections have their part in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_watches_is_told_that_the_server_stops() {
    let home = folder();
    let mut server = Server::start(home.path());
    let mut watches = Vec::new();
    for name in NAMES {
        let mut health: HealthClient<Channel> = HealthClient::new(raw::channel(&server).await);
        let mut watch = health.watch(of(name)).await.unwrap().into_inner();
        assert_eq!(next(&mut watch).await, Some(ServingStatus::Serving));
        watches.push(watch);
    }
    server.signal(Signal::TERM);
    for watch in &mut watches {
        assert_eq!(next(watch).await, Some(ServingStatus::NotServing));
        assert_eq!(next(watch).await, None, "the watch did not end");
    }
    assert!(server.wait().success());
    // A watch is nothing to wait for: no connection had to be cut.
    assert!(!server.logged().contains("cut"), "{}", server.logged());
}
