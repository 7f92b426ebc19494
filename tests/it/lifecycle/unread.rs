//! A peer that asks for much and reads nothing: what it makes the server hold is bounded.

use std::{
    fs,
    io::Write as _,
    net::TcpStream,
    time::{Duration, Instant},
};

use super::many;
use crate::{
    cli::file,
    support::{Server, eventually, folder, run},
};

/// Whole replies of nearly 4 MiB that are asked for at once: without a bound they would take 800 MB.
const REQUESTS: u32 = 200;
/// What the server may come to hold beside what it held before, in KiB.
const ALLOWED_KIB: u64 = 160 * 1024;
/// How long to look: the server can have written all of the replies in a third of it.
const LOOK: Duration = Duration::from_secs(3);

/// An HTTP/2 frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header in HPACK's plainest form (RFC 7541 §6.2.2).
fn header(name: &str, value: &str) -> Vec<u8> {
    let mut header = vec![0];
    for text in [name, value] {
        header.push(u8::try_from(text.len()).unwrap());
        header.extend(text.bytes());
    }
    header
}

/// Opens a connection whose windows let the server send all it likes.
fn open(server: &Server) -> TcpStream {
    let most = 0x7fff_ffff_u32;
    let window = [&[0, 4][..], &most.to_be_bytes()].concat();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    stream.write_all(&frame(4, 0, 0, &window)).unwrap();
    let more = (most - 65_535).to_be_bytes();
    stream.write_all(&frame(8, 0, 0, &more)).unwrap();
    stream
}

fn ask_for_everything(mut stream: &TcpStream) {
    let path = format!("/{}/GetConsignments", shippy::proto::SERVICE);
    let headers = [
        header(":method", "POST"),
        header(":scheme", "http"),
        header(":path", &path),
        header("content-type", "application/grpc"),
        header("te", "trailers"),
    ]
    .concat();
    for number in 0..REQUESTS {
        let id = 2 * number + 1;
        stream.write_all(&frame(1, 4, id, &headers)).unwrap();
        stream.write_all(&frame(0, 1, id, &[0; 5])).unwrap();
    }
}

fn resident_kib(server: &Server) -> u64 {
    let status = format!("/proc/{}/status", server.pid().as_raw_nonzero());
    let status = fs::read_to_string(status).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap()
}

#[test]
fn replies_that_nobody_reads_take_a_bounded_amount_of_memory() {
    let home = folder();
    let server = Server::start(home.path());
    let path = file(home.path(), "much.ndjson", many(20, 50));
    run(&mut server.ask(home.path(), &["create", &path])).exits(0);
    let before = resident_kib(&server);
    let stream = open(&server);
    ask_for_everything(&stream);
    let mut most = 0;
    let mut look = || {
        most = most.max(resident_kib(&server));
        assert!(most < before + ALLOWED_KIB, "{before} KiB became {most}");
        most
    };
    // It did ask: replies are made, and one is there to be read.
    eventually("replies", || (look() > before + 8 * 1024).then_some(()));
    assert!(stream.peek(&mut [0]).unwrap() > 0);
    let begun = Instant::now();
    while begun.elapsed() < LOOK {
        look();
        std::thread::sleep(Duration::from_millis(20));
    }
    run(&mut server.ask(home.path(), &["list", "-o", "ndjson"])).exits(0);
}
