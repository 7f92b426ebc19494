//! Peers that begin to send over HTTP and do not go on.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
};

use super::attacker::connect;
use crate::support::{
    SOON, Server,
    answer::{get, send},
    eventually, folder,
};

/// The largest body that is taken, of which these are all that fit into the memory for them.
const BODY: usize = 4 * 1024 * 1024;
const ALL: usize = 8;

/// Begins to create, and sends all of the body but its last byte.
fn begin(server: &Server, number: usize) -> TcpStream {
    let mut stream = connect(server.address, number).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    let head = format!(
        "POST /v1/consignments HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {BODY}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&vec![b' '; BODY - 1]).unwrap();
    stream
}

#[test]
fn those_who_stop_in_the_middle_of_a_body_give_way() {
    let home = folder();
    let server = Server::start(home.path());
    let silent: Vec<_> = thread::scope(|scope| {
        let server = &server;
        let all: Vec<_> = (0..ALL)
            .map(|number| scope.spawn(move || begin(server, number)))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    // More than what is left beside those.
    let body = format!("{}{{}}", " ".repeat(1_000_000));
    let json = "Content-Type: application/json";
    eventually("room for another", || {
        let answer = send(server.address, "POST", "/v1/consignments", &[json], &body);
        (answer.status == 201).then_some(())
    });
    // One of them is told why, rather than that its time is over.
    let told = eventually("one that gave way", || {
        silent.iter().find_map(|mut stream| {
            stream.set_nonblocking(true).unwrap();
            let mut said = [0; 12];
            stream.read_exact(&mut said).ok().map(|()| said)
        })
    });
    assert_eq!(&told, b"HTTP/1.1 503");
    // What was refused meanwhile is counted, if something was.
    let metrics = get(server.address, "/metrics", &[]).is(200).body;
    assert!(metrics.contains("{reason=\"time\"} 0"), "{metrics}");
}
