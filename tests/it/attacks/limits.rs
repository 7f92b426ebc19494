//! Each limit that is set, as a peer meets it.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use futures_util::stream;
use shippy::proto::{Consignment, CreateChunk, GetRequest};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::attacker::connect;
use crate::{
    cli::file,
    lifecycle::many,
    support::{
        SOON, Server, eventually, folder,
        http2::{
            DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, SETTINGS, frame, header, path,
            request,
        },
        run, shippy,
    },
};

fn serve(home: &Path, args: &[&str]) -> Server {
    Server::start_with(home, |command| {
        command.args(args);
    })
}

/// A connection that has said that it speaks HTTP/2, and `more`.
fn speak(server: &Server, number: usize, more: &[u8]) -> TcpStream {
    let mut stream = connect(server.address, number).unwrap();
    let said = [PREFACE, &frame(SETTINGS, 0, 0, &[]), more].concat();
    // It may have been closed.
    let _ = stream.write_all(&said);
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// What the server said until it closed the connection; fails the test if it does not.
#[track_caller]
fn closed(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => said,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => said,
        Err(error) => panic!("still open: {error}"),
    }
}

/// Whether the server answers on the connection.
fn is_open(mut stream: &TcpStream) -> bool {
    matches!(stream.read(&mut [0; 9]), Ok(9))
}

#[test]
fn one_peer_has_no_more_connections_than_it_may() {
    let home = folder();
    let server = serve(home.path(), &["--max-connections-per-peer", "2"]);
    let two = [1, 1].map(|number| speak(&server, number, &[]));
    assert!(two.iter().all(is_open));
    assert!(closed(speak(&server, 1, &[])).is_empty());
    assert!(is_open(&speak(&server, 2, &[])));
    drop(two);
    // Its places are free again.
    eventually("a place", || is_open(&speak(&server, 1, &[])).then_some(()));
}

#[test]
fn a_connection_that_asks_for_nothing_is_closed_in_time() {
    let home = folder();
    let server = serve(home.path(), &["--idle-timeout", "1s"]);
    let said = closed(speak(&server, 1, &[]));
    // Politely: with a GOAWAY.
    let farewell = [7, 0, 0, 0, 0, 0];
    assert!(
        said.windows(farewell.len()).any(|part| part == farewell),
        "{said:?}"
    );
    // One that waits for what comes is not idle.
    let mut follow = server.ask(home.path(), &["list", "--follow", "-o", "ndjson"]);
    let mut following = crate::running::Running::start(&mut follow);
    for _ in 0..3 {
        closed(speak(&server, 1, &[]));
    }
    assert!(following.child.try_wait().unwrap().is_none());
    assert!(!server.logged().contains("WARN"), "{}", server.logged());
}

#[test]
fn what_is_asked_while_a_connection_is_being_closed_is_answered() {
    let home = folder();
    let server = serve(home.path(), &["--idle-timeout", "1s"]);
    let mut stream = speak(&server, 1, &[]);
    // Until it is told to ask for nothing more, which it may not have heard when it asks.
    let next = |stream: &mut TcpStream| {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).unwrap();
        head[3]
    };
    while next(&mut stream) != GOAWAY {}
    let headers = request(&path("CreateConsignment"));
    let headers = frame(HEADERS, END_HEADERS, 1, &headers);
    stream.write_all(&headers).unwrap();
    // Another one is told and closed meanwhile.
    closed(speak(&server, 2, &[]));
    let message = frame(DATA, END_STREAM, 1, &[0; 5]);
    stream.write_all(&message).unwrap();
    while next(&mut stream) != HEADERS {}
}

#[test]
fn a_peer_that_does_not_read_what_it_asked_for_is_let_go() {
    let home = folder();
    let server = serve(home.path(), &["--stall-timeout", "2s"]);
    let many = file(home.path(), "much.ndjson", many(20, 50));
    run(&mut server.ask(home.path(), &["create", &many])).exits(0);
    for method in ["ListConsignments", "GetConsignments"] {
        let ask = [
            frame(HEADERS, END_HEADERS, 1, &request(&path(method))),
            frame(DATA, END_STREAM, 1, &[0; 5]),
        ]
        .concat();
        // It gets as much as a window holds, and asks for no more.
        let said = closed(speak(&server, 1, &ask));
        assert!(said.len() > 1000, "{}", said.len());
    }
}

#[tokio::test]
async fn a_load_that_sends_nothing_gives_its_place_to_the_next() {
    let home = folder();
    let server = serve(home.path(), &["--max-loads", "1"]);
    let mut client = server.connect().await;
    let silent = client.create_consignments(stream::pending::<CreateChunk>());
    let mut silent = silent.await.unwrap().into_inner();
    let mut other = server.connect().await;
    let refused = loop {
        let none = stream::empty::<CreateChunk>();
        match other.create_consignments(none).await {
            Ok(_) => break silent.message().await.unwrap_err(),
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted);
                assert!(status.get_details_retry_info().is_some(), "{status:?}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.get_details_retry_info().is_some(), "{refused:?}");
}

#[tokio::test]
async fn a_message_is_no_larger_than_it_may_be() {
    let home = folder();
    let server = serve(home.path(), &["--max-message-bytes", "384KiB"]);
    let mut client = server.connect().await;
    let large = |bytes| Consignment {
        description: "x".repeat(bytes),
        ..Consignment::default()
    };
    let refused = client
        .create_consignment(large(384 * 1024))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("393216 bytes"), "{refused:?}");
    let read = client
        .create_consignment(large(383 * 1024))
        .await
        .unwrap_err();
    assert_eq!(read.code(), Code::InvalidArgument, "{read:?}");
    client.get_consignments(GetRequest {}).await.unwrap();
}

#[test]
fn headers_and_streams_are_no_more_than_they_may_be() {
    let home = folder();
    let limits = ["--max-header-bytes", "2KiB", "--max-streams", "3"];
    let server = serve(home.path(), &limits);
    let mut long = request(&path("GetConsignments"));
    for number in 0..30 {
        long.extend(header(&format!("x-{number}"), &"y".repeat(100)));
    }
    let mut stream = speak(&server, 1, &frame(HEADERS, END_HEADERS, 1, &long));
    let mut said: Vec<u8> = Vec::new();
    // What the server takes comes with its settings, and then that these are too large (RFC 6585 §5): 431 in HPACK's
    // Huffman code.
    let status: &[u8] = &[0x83, 0x69, 0x90, 0xff];
    eventually("431", || {
        let mut more = [0; 4096];
        let count = stream.read(&mut more).unwrap();
        said.extend(&more[..count]);
        said.windows(4).any(|part| part == status).then_some(())
    });
    for setting in [[0, 3, 0, 0, 0, 3], [0, 6, 0, 0, 8, 0]] {
        assert!(said.windows(6).any(|part| part == setting), "{said:?}");
    }
}

#[test]
fn a_limit_that_makes_no_sense_is_refused() {
    let home = folder();
    for (flag, value, said) in [
        ("--max-connections", "0", "1.."),
        ("--max-connections-per-peer", "0", "1.."),
        ("--max-requests", "-1", "-1"),
        ("--max-lists", "many", "many"),
        ("--max-streams", "0", "1.."),
        ("--max-message-bytes", "1KiB", "384 KiB to 16 MiB"),
        ("--max-header-bytes", "0", "2 KiB"),
        ("--max-queue-bytes", "32MB", "32MB"),
        ("--idle-timeout", "0s", "like 1m30s, from 1s to a day"),
        ("--stall-timeout", "100ms", "from 1s"),
    ] {
        let argument = format!("{flag}={value}");
        run(shippy(home.path()).args(["serve", &argument]))
            .exits(2)
            .says(&[flag, said]);
        let variable = format!("SHIPPY_{}", flag[2..].replace('-', "_").to_uppercase());
        run(shippy(home.path()).arg("serve").env(&variable, value))
            .exits(2)
            .says(&[flag, said, &variable]);
    }
}

/// The documentation has each limit with the default that it has.
#[test]
fn the_table_of_limits_is_true() {
    let home = folder();
    let help = run(shippy(home.path()).args(["serve", "--help"]))
        .exits(0)
        .stdout;
    let (_, help) = help.split_once("\nLimits:\n").unwrap();
    // Up to the next heading.
    let section = help
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with(' '));
    let help = section.collect::<Vec<_>>().join("\n");
    let folded = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let flags: Vec<_> = (folded
        .split(" --")
        .map(|part| part.trim_start_matches("--")))
    .filter(|part| part.contains("[env: SHIPPY_"))
    .collect();
    assert!(flags.len() >= 11, "{flags:?}");
    let table = include_str!("../../../docs/operations.md");
    for entry in flags {
        let flag = entry.split_whitespace().next().unwrap();
        let after = |mark: &str| {
            let (_, rest) = entry.split_once(mark)?;
            rest.split(']').next()
        };
        let row = table
            .lines()
            .find(|line| line.starts_with(&format!("| `--{flag}`")))
            .unwrap_or_else(|| panic!("no row for --{flag}"));
        let default = after("[default: ").unwrap();
        assert!(row.contains(&format!("| {default} |")), "{row}: {default}");
    }
}
