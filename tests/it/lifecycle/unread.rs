//! A peer that asks for much and reads nothing: what it makes the server hold is bounded.

use std::{
    io::Write as _,
    net::TcpStream,
    time::{Duration, Instant},
};

use super::many;
use crate::{
    cli::file,
    support::{
        Server, eventually, folder,
        http2::{PREFACE, frame, path, request},
        run,
    },
};

/// How often each is asked for: whole replies of nearly 4 MiB would take 1 GB without a bound. As many as one connection
/// may ask for at once, and one short of as many lists as there may be, so that none gives way.
const REQUESTS: u32 = 255;
/// How long to look: the server can have written all that is asked for in a third of it.
const LOOK: Duration = Duration::from_secs(3);

/// Opens a connection whose windows let the server send all it likes.
fn open(server: &Server) -> TcpStream {
    let most = 0x7fff_ffff_u32;
    let window = [&[0, 4][..], &most.to_be_bytes()].concat();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(PREFACE).unwrap();
    stream.write_all(&frame(4, 0, 0, &window)).unwrap();
    let more = (most - 65_535).to_be_bytes();
    stream.write_all(&frame(8, 0, 0, &more)).unwrap();
    stream
}

fn ask(mut stream: &TcpStream, method: &str) {
    let headers = request(&path(method));
    for number in 0..REQUESTS {
        let id = 2 * number + 1;
        stream.write_all(&frame(1, 4, id, &headers)).unwrap();
        stream.write_all(&frame(0, 1, id, &[0; 5])).unwrap();
    }
}

/// Fails the test if a server of a register of `consignments` comes to hold more than `allowed` KiB beside what it held
/// before, when many call `method` and read nothing.
fn take_at_most(consignments: &str, method: &str, allowed: u64) {
    let home = folder();
    let server = Server::start(home.path());
    let path = file(home.path(), "much.ndjson", consignments);
    run(&mut server.ask(home.path(), &["create", &path])).exits(0);
    let before = server.memory_kib("VmRSS:");
    let stream = open(&server);
    ask(&stream, method);
    let mut most = 0;
    let mut look = || {
        most = most.max(server.memory_kib("VmRSS:"));
        assert!(most < before + allowed, "{before} KiB became {most}");
        most
    };
    // It did ask: replies are made, and one is there to be read.
    eventually("replies", || (look() > before + allowed / 4).then_some(()));
    assert!(stream.peek(&mut [0]).unwrap() > 0);
    let begun = Instant::now();
    while begun.elapsed() < LOOK {
        look();
        std::thread::sleep(Duration::from_millis(20));
    }
    run(&mut server.ask(home.path(), &["list", "-o", "ndjson"])).exits(0);
}

#[test]
fn whole_replies_that_nobody_reads_take_a_bounded_amount_of_memory() {
    take_at_most(&many(20, 50), "GetConsignments", 64 * 1024);
}

#[test]
fn lists_that_nobody_reads_take_a_bounded_amount_of_memory() {
    // Small ones, of each of which the server remembers where it is.
    let description = "x".repeat(150);
    let one = |number| format!("{{\"id\":\"{number}\",\"description\":\"{description}\"}}\n");
    let consignments: String = (0..20_000).map(one).collect();
    take_at_most(&consignments, "ListConsignments", 128 * 1024);
}
