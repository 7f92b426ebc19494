//! How a server ends: in order, in time, and with everything that it acknowledged.

use std::{
    collections::HashSet,
    error::Error as _,
    io::Write as _,
    net::TcpStream,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use prost::Message as _;
use rustix::process::Signal;
use shippy::proto::{Consignment, GetRequest, ListRequest, Position};
use tokio::time::timeout;
use tonic::Code;

use super::{GRACE, KILLED_AFTER, begun, fill, many};
use crate::{
    cli::{file, stored},
    support::{SOON, Server, eventually, folder},
};

/// Stops the server; how long that took. Fails the test unless it ended well and by itself.
fn stop(mut server: Server, signal: Signal) -> Duration {
    let log = server.log.clone();
    let begun = Instant::now();
    server.signal(signal);
    let status = server.wait();
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped"), "{log}");
    begun.elapsed()
}

#[test]
fn a_server_without_clients_ends_at_once_on_either_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = folder();
        assert!(stop(Server::start(home.path()), signal) < GRACE);
    }
}

#[tokio::test]
async fn idle_and_silent_clients_do_not_hold_a_server() {
    let home = folder();
    let server = Server::start(home.path());
    let mut idle = server.connect().await;
    idle.get_consignments(GetRequest {}).await.unwrap();
    let silent = TcpStream::connect(server.address).unwrap();
    let mut hesitant = TcpStream::connect(server.address).unwrap();
    hesitant.write_all(b"PRI * HTTP/2.0\r\n").unwrap();
    // A second answer shows that the server has accepted those before.
    let mut last = server.connect().await;
    last.get_consignments(GetRequest {}).await.unwrap();
    let stopped = tokio::task::spawn_blocking(|| stop(server, Signal::TERM));
    let took = stopped.await.unwrap();
    assert!(took < GRACE, "{took:?}");
    drop((idle, last, silent, hesitant));
}

/// How long a server takes to end that has a suspended client, and what it logs.
fn end_beside_a_suspended_client() -> (Duration, String) {
    let home = folder();
    let server = Server::start(home.path());
    fill(&server, home.path());
    let (client, ..) = begun(&server, home.path(), &["list", "-o", "ndjson"]);
    client.send(Signal::STOP);
    let log = server.log.clone();
    let took = stop(server, Signal::TERM);
    (took, std::fs::read_to_string(log).unwrap())
}

#[test]
fn a_suspended_client_holds_a_server_no_longer_than_the_grace() {
    let (mut is_in_time, mut is_said) = (false, false);
    let mut ends = Vec::new();
    // A machine may stand still for longer than is left between the grace and Docker's, but not each time.
    for _ in 0..5 {
        let (took, log) = end_beside_a_suspended_client();
        is_in_time |= took < KILLED_AFTER;
        is_said |= log.contains("cut 1 connections");
        if is_in_time && is_said {
            return;
        }
        ends.push((took, log));
    }
    panic!("within {KILLED_AFTER:?}: {is_in_time}, cut: {is_said}: {ends:#?}");
}

#[test]
fn a_second_signal_ends_a_server_that_still_waits() {
    let home = folder();
    let mut server = Server::start(home.path());
    fill(&server, home.path());
    let (client, ..) = begun(&server, home.path(), &["list", "-o", "ndjson"]);
    client.send(Signal::STOP);
    server.signal(Signal::TERM);
    let log = server.log.clone();
    let logged = || std::fs::read_to_string(&log).unwrap();
    eventually("the first signal's word", || {
        logged().contains("SIGTERM: stopping").then_some(())
    });
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(130));
    assert!(
        !logged().contains("stopped"),
        "it ended in order: {}",
        logged()
    );
    // What it had acknowledged is there all the same.
    let server = Server::start(home.path());
    assert_eq!(stored(&server, home.path()).len(), 60);
}

/// Creates until the server refuses; the ids that were acknowledged.
async fn create_until_refused(
    server: &Server,
    round: usize,
    worker: usize,
    acknowledged: &Mutex<Vec<String>>,
) {
    let mut client = server.connect().await;
    for number in 0.. {
        let id = format!("tea-{round}-{worker}-{number}");
        let consignment = Consignment {
            id: id.clone(),
            ..Consignment::default()
        };
        match client.create_consignment(consignment).await {
            Ok(reply) => {
                assert!(reply.into_inner().created);
                acknowledged.lock().unwrap().push(id);
            }
            Err(status) => {
                let is_retried = status.code() == Code::Unavailable || status.source().is_some();
                assert!(is_retried, "no client tries again after {status:?}");
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_while_the_server_stopped_is_there_afterwards() {
    let home = folder();
    let acknowledged = Mutex::new(Vec::new());
    for round in 0..4 {
        let mut server = Server::start(home.path());
        let before = acknowledged.lock().unwrap().len();
        let creating = join_all(
            (0..32).map(|worker| create_until_refused(&server, round, worker, &acknowledged)),
        );
        let stopping = async {
            let enough = async {
                while acknowledged.lock().unwrap().len() < before + 200 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            (timeout(SOON, enough).await).expect("the clients get somewhere");
            server.signal(Signal::TERM);
        };
        tokio::join!(creating, stopping);
        assert_eq!(server.wait().code(), Some(0), "{}", server.logged());
        let server = Server::start(home.path());
        let there = stored(&server, home.path());
        for id in &*acknowledged.lock().unwrap() {
            assert!(there.contains(id), "{id} was acknowledged and lost");
        }
        assert!(server.stop().success());
    }
}

/// How many follow the list while the server is stopped, and how many create.
const FOLLOWERS: usize = 100;
const WRITERS: usize = 16;
/// What [`fill`] creates.
const FILL: u64 = 60;

/// What a follower has seen when the server has ended its list: so many, without a gap.
async fn follow_to_the_end(server: &Server, following: &AtomicUsize) -> u64 {
    let mut client = server.connect().await;
    let request = ListRequest {
        follow: true,
        after: Some(Position {
            sequence: FILL,
            ..Position::default()
        }),
        ..ListRequest::default()
    };
    let mut chunks = client
        .list_consignments(request)
        .await
        .unwrap()
        .into_inner();
    following.fetch_add(1, Ordering::Relaxed);
    let mut last = FILL;
    loop {
        match chunks.message().await {
            Ok(Some(chunk)) => {
                for encoded in chunk.consignments {
                    last += 1;
                    assert_eq!(Consignment::decode(encoded).unwrap().sequence, last);
                }
            }
            Ok(None) => panic!("a followed list does not end by itself"),
            Err(status) => {
                let is_told = status.code() == Code::Unavailable || status.source().is_some();
                assert!(is_told, "{status:?}");
                return last;
            }
        }
    }
}

/// How long a server takes to end beside followers, writers and a suspended client, none of which loses anything.
async fn end_beside_a_crowd() -> Duration {
    let home = folder();
    let mut server = Server::start(home.path());
    fill(&server, home.path());
    let (suspended, ..) = begun(&server, home.path(), &["list", "-o", "ndjson"]);
    suspended.send(Signal::STOP);
    let (following, acknowledged) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let followers = join_all((0..FOLLOWERS).map(|_| follow_to_the_end(&server, &following)));
    let writers =
        (0..WRITERS).map(|worker| create_until_refused(&server, 0, worker, &acknowledged));
    let stopping = async {
        let enough = async {
            while following.load(Ordering::Relaxed) < FOLLOWERS
                || acknowledged.lock().unwrap().len() < 1_000
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        (timeout(SOON, enough).await).expect("the clients get somewhere");
        server.signal(Signal::TERM);
        Instant::now()
    };
    let (seen, _, signalled) = tokio::join!(followers, join_all(writers), stopping);
    assert_eq!(server.wait().code(), Some(0), "{}", server.logged());
    let took = signalled.elapsed();

    let server = Server::start(home.path());
    let there = stored(&server, home.path());
    let ids: HashSet<_> = there.iter().collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.iter().all(|id| ids.contains(id)));
    assert!(seen.iter().all(|&last| last <= there.len() as u64));
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_followers_writers_and_a_suspended_client_do_not_hold_a_server() {
    let mut ends = Vec::new();
    // A machine may stand still for longer than is left between the grace and Docker's, but not each time.
    for _ in 0..3 {
        let took = end_beside_a_crowd().await;
        if took < KILLED_AFTER {
            return;
        }
        ends.push(took);
    }
    panic!("never within {KILLED_AFTER:?}: {ends:?}");
}

#[test]
fn a_create_that_a_stop_interrupts_says_how_much_is_stored_and_can_be_repeated() {
    let home = folder();
    let server = Server::start(home.path());
    let path = file(home.path(), "many.ndjson", many(30_000, 0));
    let (command, first, rest) = begun(&server, home.path(), &["create", &path]);
    assert!(server.stop().success());
    let printed: Vec<_> = std::iter::once(first)
        .chain(rest.map(Result::unwrap))
        .collect();
    let ran = command.end().exits(3);
    let ran = ran.says(&[
        "of 30,000 are stored",
        "what is stored already is not stored twice",
    ]);
    let count = printed.len();
    assert!(
        ran.stderr
            .replace(',', "")
            .contains(&format!("({count} of 30000")),
        "{ran:#?}"
    );

    let server = Server::start(home.path());
    assert!(stored(&server, home.path()).starts_with(&printed));
    crate::support::run(&mut server.ask(home.path(), &["create", &path])).exits(0);
    assert_eq!(stored(&server, home.path()).len(), 30_000);
}
