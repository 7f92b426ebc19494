//! Connections that speak HTTP/1.1: what they may do, and how long they may do nothing.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
};

use rustix::process::Signal;

use crate::support::{
    Server,
    answer::{Answer, open},
    folder,
};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Reads what is said until the connection's end, and fails the test when that does not come.
#[track_caller]
fn read_out(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("still open: {error}"),
        _ => String::from_utf8(said).unwrap(),
    }
}

#[test]
fn requests_follow_one_another_in_one_connection_however_they_come() {
    let home = folder();
    let server = Server::start(home.path());
    let mut stream = open(server.address);
    let last = HEALTH.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    // All at once, and one a byte at a time.
    write!(stream, "{HEALTH}{HEALTH}").unwrap();
    for byte in HEALTH.bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    write!(stream, "{last}").unwrap();
    let said = read_out(stream);
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 4, "{said}");
}

#[test]
fn who_has_no_more_to_say_still_hears_the_answer() {
    let home = folder();
    let server = Server::start(home.path());
    let mut stream = open(server.address);
    write!(stream, "{HEALTH}").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    Answer::read(&mut stream).is(200);
}

#[test]
fn who_says_nothing_or_half_a_request_is_let_go() {
    let home = folder();
    let server = Server::start(home.path());
    let mut kept = open(server.address);
    write!(kept, "{HEALTH}").unwrap();
    let mut waiting = vec![kept];
    for said in ["G", "GET / HT", &HEALTH[..HEALTH.len() - 2]] {
        let mut stream = open(server.address);
        stream.write_all(said.as_bytes()).unwrap();
        waiting.push(stream);
    }
    for stream in waiting {
        read_out(stream);
    }
}

#[test]
fn what_is_too_long_or_makes_no_sense_is_refused() {
    let home = folder();
    let server = Server::start(home.path());
    for (said, status) in [
        (
            format!("GET /{} HTTP/1.1\r\n", "x".repeat(40_000)),
            "HTTP/1.1 4",
        ),
        (
            format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(40_000)),
            "HTTP/1.1 431",
        ),
        (
            format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500)),
            "HTTP/1.1 431",
        ),
        ("NONSENSE\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
                .to_owned(),
            "HTTP/1.1 400",
        ),
        ("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_owned(), ""),
    ] {
        let mut stream = open(server.address);
        let _ = stream.write_all(said.as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let heard = read_out(stream);
        assert!(
            heard.starts_with(status),
            "{:.40}: {heard}",
            said.escape_debug()
        );
    }
    let log = server.logged();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}

#[test]
fn nothing_else_is_switched_to() {
    let home = folder();
    let server = Server::start(home.path());
    for protocol in ["h2c", "websocket"] {
        let mut stream = open(server.address);
        write!(
            stream,
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: {protocol}\r\n\
             HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        .unwrap();
        Answer::read(&mut stream).is(200);
    }
    // gRPC is spoken over HTTP/2 alone.
    let mut stream = open(server.address);
    write!(
        stream,
        "POST /go.micro.srv.consignment.ShippingService/GetConsignments HTTP/1.1\r\nHost: localhost\r\n\
         Connection: close\r\nContent-Type: application/grpc\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0"
    )
    .unwrap();
    Answer::read(&mut stream).is(404);
}

#[test]
fn connections_without_a_request_do_not_hold_a_server() {
    let home = folder();
    let mut server = Server::start(home.path());
    let mut idle = open(server.address);
    write!(idle, "{HEALTH}").unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    let mut half = open(server.address);
    write!(half, "GET /healthz HTTP/1.1\r\nHo").unwrap();
    let mut body = open(server.address);
    write!(
        body,
        "POST /v1/consignments HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: 10\r\n\r\n{{"
    )
    .unwrap();
    // Accepted after those.
    let mut last = open(server.address);
    write!(last, "{HEALTH}").unwrap();
    last.read_exact(&mut first).unwrap();
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let log = server.logged();
    assert!(log.contains("stopped") && !log.contains("cut"), "{log}");
}
