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
        http2::{PREFACE, frame, request},
        run,
    },
};

/// Whole replies of nearly 4 MiB that are asked for at once: without a bound they would take 800 MB.
const REQUESTS: u32 = 200;
/// What the server may come to hold beside what it held before, in KiB.
const ALLOWED_KIB: u64 = 160 * 1024;
/// How long to look: the server can have written all of the replies in a third of it.
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

fn ask_for_everything(mut stream: &TcpStream) {
    let path = format!("/{}/GetConsignments", shippy::proto::SERVICE);
    let headers = request(&path);
    for number in 0..REQUESTS {
        let id = 2 * number + 1;
        stream.write_all(&frame(1, 4, id, &headers)).unwrap();
        stream.write_all(&frame(0, 1, id, &[0; 5])).unwrap();
    }
}

#[test]
fn replies_that_nobody_reads_take_a_bounded_amount_of_memory() {
    let home = folder();
    let server = Server::start(home.path());
    let path = file(home.path(), "much.ndjson", many(20, 50));
    run(&mut server.ask(home.path(), &["create", &path])).exits(0);
    let before = server.memory_kib("VmRSS:");
    let stream = open(&server);
    ask_for_everything(&stream);
    let mut most = 0;
    let mut look = || {
        most = most.max(server.memory_kib("VmRSS:"));
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
