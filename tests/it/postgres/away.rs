//! A database that crashes, hangs, cuts connections and comes back.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use shippy::proto::{Consignment, GetRequest};
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    command, listed, on_own_database,
    proxy::Proxy,
    serve,
    writers::{Writers, check, hardly_sent_again},
};
use crate::{
    cli::file,
    running::Printing,
    support::{SOON, Server, answer::get, eventually, folder, own_name, postgres::Cluster},
};

/// How long whoever creates while the database is away may wait for an answer: 3 s, or 8 s where it hangs, and what a
/// busy machine adds. After 20 s it would be told that time is up.
const ANSWERED: Duration = Duration::from_secs(18);

#[test]
#[ignore = "needs PostgreSQL"]
fn what_is_created_while_the_database_crashes_and_returns_is_stored_once() {
    let (cluster, home) = (Cluster::start(), folder());
    let server = serve(home.path(), &cluster.url("postgres"), &own_name());
    let record = |number| format!("{{\"id\":\"bulk-{number}\"}}\n");
    let records: String = (0..60_000).map(record).collect();
    let path = file(home.path(), "bulk.ndjson", records);
    let arguments = ["create", "--timeout", "60s", "--quiet", &path];
    let bulk = Printing::start(&mut server.ask(home.path(), &arguments));
    let writers = Writers::start(&[server.address], 8);
    for _ in 0..3 {
        writers.wait_for(50);
        cluster.stop();
        thread::sleep(Duration::from_millis(400));
        cluster.run();
    }
    writers.wait_for(200);
    let ended = writers.end();
    let (bulk, ids) = bulk.end();
    bulk.exits(0);
    assert_eq!(ids.lines().count(), 60_000);
    let all = listed(&server, home.path());
    check(&ended, &all);
    let of_bulk = all.iter().filter(|(_, id)| id.starts_with("bulk-"));
    assert_eq!(of_bulk.count(), 60_000);
    let logged = server.logged();
    // Once for each time, and a busy machine has a time or two of its own.
    assert!(logged.matches("/postgres is back").count() <= 6, "{logged}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_create_whose_connection_is_cut_is_told_what_became_of_it() {
    let (cluster, home) = (Cluster::shared(), folder());
    let (server, database) = on_own_database(home.path(), &cluster);
    let writers = Writers::start(&[server.address], 16);
    let cut = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = '{database}' AND application_name = 'shippy'"
    );
    let mut cuts = 0;
    for _ in 0..40 {
        writers.wait_for(40);
        cuts += cluster.sql("postgres", &cut).parse::<u32>().unwrap();
    }
    let ended = writers.end();
    assert!(cuts >= 40, "{cuts}");
    check(&ended, &listed(&server, home.path()));
    hardly_sent_again(&ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_commit_whose_answer_is_lost_is_told_as_what_it_was() {
    let (cluster, home) = (Cluster::shared(), folder());
    let proxy = Proxy::to(cluster.port);
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port);
    let server = serve(home.path(), &url, &own_name());
    let mut client = server.connect().await;
    for sequence in 1..=5 {
        let id = format!("tea-{sequence}");
        proxy.lose_an_answer();
        let reply = client.create_consignment(consignment(&id)).await.unwrap();
        let reply = reply.into_inner();
        assert!(proxy.has_lost_it());
        assert!(reply.created, "{id} was new");
        assert_eq!(reply.consignment.unwrap().sequence, sequence);
        let again = client.create_consignment(consignment(&id)).await.unwrap();
        assert!(!again.into_inner().created, "{id} is there now");
    }
    let all = client.get_consignments(GetRequest {}).await.unwrap();
    assert_eq!(all.into_inner().consignments.len(), 5);
}

async fn status_becomes(server: &Server, wanted: ServingStatus) {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    let request = HealthCheckRequest::default();
    let mut watch = health.watch(request).await.unwrap().into_inner();
    let change = async {
        while let Some(message) = watch.message().await.unwrap() {
            if message.status() == wanted {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, change)
        .await
        .unwrap_or_else(|_| panic!("never {wanted:?}"));
}

async fn liveness(server: &Server) -> ServingStatus {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    let service = "liveness".to_owned();
    let reply = health.check(HealthCheckRequest { service }).await.unwrap();
    reply.into_inner().status()
}

fn consignment(id: &str) -> Consignment {
    Consignment {
        id: id.into(),
        ..Consignment::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn health_follows_the_database_and_whoever_asks_meanwhile_is_told_to_try_again() {
    for hangs in [false, true] {
        let (cluster, home) = (Cluster::start(), folder());
        let server = serve(home.path(), &cluster.url("postgres"), &own_name());
        let mut client = server.connect().await;
        client.create_consignment(consignment("a")).await.unwrap();
        if hangs {
            cluster.signal_all(Signal::STOP);
        } else {
            cluster.stop();
        }
        let begun = Instant::now();
        let refused = client.create_consignment(consignment("b")).await;
        let refused = refused.unwrap_err();
        assert!(begun.elapsed() < ANSWERED, "{:?}", begun.elapsed());
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        assert!(refused.message().contains("database"), "{refused}");
        status_becomes(&server, ServingStatus::NotServing).await;
        // Nothing is gained by starting it again.
        assert_eq!(liveness(&server).await, ServingStatus::Serving);
        get(server.address, "/readyz", &[]).is(503);
        get(server.address, "/healthz", &[]).is(200);
        let begun = Instant::now();
        let refused = client.get_consignments(GetRequest {}).await.unwrap_err();
        assert!(begun.elapsed() < ANSWERED, "{:?}", begun.elapsed());
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        if hangs {
            cluster.signal_all(Signal::CONT);
        } else {
            cluster.run();
        }
        status_becomes(&server, ServingStatus::Serving).await;
        let reply = client.create_consignment(consignment("b")).await.unwrap();
        assert_eq!(reply.into_inner().consignment.unwrap().sequence, 2);
        let all = client.get_consignments(GetRequest {}).await.unwrap();
        assert_eq!(all.into_inner().consignments.len(), 2);
        // Once, however many ask meanwhile; a busy machine may have a time of its own.
        let logged = server.logged();
        for word in ["/postgres is away", "/postgres is back"] {
            assert!((1..=2).contains(&logged.matches(word).count()), "{logged}");
        }
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_server_that_is_not_announced_says_nothing_of_being_withdrawn() {
    let cluster = Cluster::start();
    for (registry, is_told) in [("static", false), ("dns", false), ("mdns", true)] {
        let home = folder();
        let mut command = command(home.path(), &cluster.url("postgres"), &own_name());
        command.args(["--registry", registry]);
        let server = Server::spawn(command, home.path());
        let says = |text: &str| {
            eventually(text, || server.logged().contains(text).then_some(()));
        };
        cluster.stop();
        says("is away, and is asked again and again");
        if is_told {
            says("withdrawn from the registry");
        }
        cluster.run();
        says("is back");
        let log = server.log.clone();
        assert!(server.stop().success());
        let log = std::fs::read_to_string(log).unwrap();
        let said =
            ["withdrawn", "announced again", "the store is back"].map(|text| log.contains(text));
        assert_eq!(said.contains(&true), is_told, "{registry}: {log}");
    }
}
