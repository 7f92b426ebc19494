//! Peers that are no clients, and clients that want much: neither disturbs the others.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use futures_util::future::join_all;
use rustix::process::Signal;
use shippy::proto::{Consignment, GetRequest, ListRequest};

use super::MARGIN;
use crate::support::{Server, folder};

/// How long a peer may take to say that it speaks HTTP/2.
const PATIENCE: Duration = Duration::from_secs(10);

/// What peers say that mistake the port, or mean harm.
const NOISE: [&[u8]; 6] = [
    b"\0",
    b"GET / HTTP/1.1\r\nHost: depot\r\n\r\n",
    b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"SSH-2.0-OpenSSH_9.9\r\n and so on, until it is longer than a preface",
];

fn connect(server: &Server, say: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(say).unwrap();
    stream.set_read_timeout(Some(PATIENCE + MARGIN)).unwrap();
    stream
}

/// Reads until the server has closed the connection, and fails the test if it does not.
fn closed(mut stream: TcpStream, what: &[u8]) {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!(
            "still open after {:?}: {error}",
            what.escape_ascii().to_string()
        ),
    }
}

#[tokio::test]
async fn peers_that_speak_something_else_are_let_go_and_disturb_nobody() {
    let home = folder();
    let mut server = Server::start(home.path());
    let mut client = server.connect().await;
    let noisy: Vec<_> = (0..10)
        .flat_map(|_| NOISE)
        .map(|noise| (connect(&server, noise), noise))
        .collect();
    client.get_consignments(GetRequest {}).await.unwrap();
    let mut other = server.connect().await;
    other.get_consignments(GetRequest {}).await.unwrap();
    for (stream, noise) in noisy {
        closed(stream, noise);
    }
    client.get_consignments(GetRequest {}).await.unwrap();
    let log = server.logged();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    server.signal(Signal::TERM);
    assert!(server.wait().success());
}

#[test]
fn a_peer_that_does_not_say_what_it_wants_is_let_go() {
    let home = folder();
    let server = Server::start(home.path());
    let half: &[u8] = b"PRI * HTTP/2.0\r\n";
    let waiting = [&b""[..], b"P", half].map(|said| (connect(&server, said), said));
    for (stream, said) in waiting {
        closed(stream, said);
    }
}

#[tokio::test]
async fn many_requests_at_once_on_one_connection_are_all_answered() {
    let home = folder();
    let server = Server::start(home.path());
    let client = server.connect().await;
    let creates = join_all((0..600).map(|number| {
        let mut client = client.clone();
        let id = format!("tea-{number}");
        async move {
            let consignment = Consignment {
                id,
                ..Consignment::default()
            };
            client.create_consignment(consignment).await.unwrap()
        }
    }));
    assert!(creates.await.iter().all(|reply| reply.get_ref().created));
    let lists = join_all((0..300).map(|_| {
        let mut client = client.clone();
        async move {
            let stream = client.list_consignments(ListRequest::default()).await;
            let mut stream = stream.unwrap().into_inner();
            let mut count = 0;
            while let Some(chunk) = stream.message().await.unwrap() {
                count += chunk.consignments.len();
            }
            count
        }
    }));
    assert!(lists.await.iter().all(|&count| count == 600));
}

#[tokio::test]
async fn many_connections_at_once_are_all_answered() {
    let home = folder();
    let server = Server::start(home.path());
    let clients = join_all((0..200).map(|_| server.connect())).await;
    let answers = join_all(clients.into_iter().map(|mut client| async move {
        client.get_consignments(GetRequest {}).await.map(|_| client)
    }));
    assert!(answers.await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_list_that_nobody_reads_holds_up_no_one_else() {
    let home = folder();
    let server = Server::start(home.path());
    super::fill(&server, home.path());
    let mut client = server.connect().await;
    let unread = client
        .list_consignments(ListRequest::default())
        .await
        .unwrap();
    for _ in 0..20 {
        let mut other = server.connect().await;
        let id = vec!["tea-1".into()];
        let only = ListRequest {
            ids: id,
            ..ListRequest::default()
        };
        let stream = other.list_consignments(only).await.unwrap();
        let chunk = stream.into_inner().message().await.unwrap().unwrap();
        assert_eq!(chunk.consignments.len(), 1);
    }
    drop(unread);
}
