//! Peers that hold connections and ask for nothing, or so slowly that it comes to the same.

use std::{io::Write as _, net::TcpStream, path::Path, thread, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    attacker::{Attack, Attacker, connect, hello},
    honest::Honest,
    is_normal,
};
use crate::support::{
    Server, eventually, folder,
    http2::{DATA, END_HEADERS, HEADERS, PING, frame, path, request},
};

/// More idle ones than there are places.
const IDLE: usize = 10_000;
/// As many who send a byte at a time.
const SLOW: usize = 1_000;
/// How often those send a byte, and how many times: together longer than the server waits for what a connection begins
/// with.
const DRIP: Duration = Duration::from_millis(500);
const DRIPS: usize = 30;

/// Those who hold a connection, answer when they are asked whether they are there, and come again when they are let go.
pub(super) const HOLD: Attack = Attack {
    name: "held connections",
    first: hello,
    // What h2 asks with.
    each: |_| {
        frame(
            PING,
            1,
            0,
            &[0x3b, 0x7c, 0xdb, 0x7a, 0x0b, 0x87, 0x16, 0xb4],
        )
    },
    rate: 400,
    connections: 200,
    renewed_after: u32::MAX,
};

/// Lets this process have `count` connections open.
fn allow(count: usize) {
    let wanted = u64::try_from(count).unwrap() + 500;
    let limit = getrlimit(Resource::Nofile);
    assert!(
        limit.maximum.is_none_or(|most| most >= wanted),
        "{wanted} open files are not allowed here: {limit:?}"
    );
    if limit.current.is_some_and(|now| now < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised).unwrap();
    }
}

/// `count` connections that have said that they speak HTTP/2, and no more.
fn hold(server: &Server, count: usize) -> Vec<TcpStream> {
    let hello = hello();
    let one = |number| {
        let mut stream = connect(server.address, number).unwrap();
        // It may have been closed for the next already.
        let _ = stream.write_all(&hello);
        stream
    };
    (0..count).map(one).collect()
}

fn serve(home: &Path, args: &[&str]) -> Server {
    Server::start_with(home, |command| {
        command.args(args);
    })
}

#[test]
fn those_who_hold_all_places_keep_nobody_out() {
    let home = folder();
    let server = serve(home.path(), &["--max-connections", "40"]);
    let holders = Attacker::start(server.address, HOLD);
    eventually("all places held", || (holders.times() > 200).then_some(()));
    let honest = Honest::start(&server, None);
    println!("{:?}, {:?}", honest.stop(), holders.stop());
    is_normal(&server, home.path(), &[]);
}

#[test]
#[ignore = "needs 10,500 open files"]
fn ten_thousand_idle_connections_keep_nobody_out() {
    allow(IDLE);
    let home = folder();
    let server = serve(home.path(), &[]);
    let honest = Honest::start(&server, None);
    let idle = hold(&server, IDLE);
    honest.gets_on();
    let beside = server.memory_kib("VmRSS:");
    let late = Honest::start(&server, None);
    println!(
        "{IDLE} idle connections: {beside} KiB, beside them {:?} and {:?}",
        honest.stop(),
        late.stop()
    );
    drop(idle);
    is_normal(&server, home.path(), &[]);
}

#[test]
#[ignore = "needs a quarter of a minute with 1,000 connections"]
fn a_thousand_who_send_a_byte_at_a_time_keep_nobody_out() {
    allow(SLOW);
    let home = folder();
    let server = serve(home.path(), &[]);
    let honest = Honest::start(&server, None);
    let hello = hello();
    let headers = frame(
        HEADERS,
        END_HEADERS,
        1,
        &request(&path("CreateConsignment")),
    );
    let message = frame(DATA, 0, 1, &[&[0, 0, 0, 1, 0][..], &[b'x'; 256]].concat());
    // At once, and then a byte at a time: nothing at all, the headers, the message.
    let kinds = [
        (Vec::new(), hello.clone()),
        (hello.clone(), headers.clone()),
        ([hello, headers].concat(), message),
    ];
    let mut slow: Vec<_> = (0..SLOW)
        .map(|number| {
            let (at_once, slowly) = &kinds[number % kinds.len()];
            let mut stream = connect(server.address, number).unwrap();
            stream.write_all(at_once).unwrap();
            (stream, slowly.clone())
        })
        .collect();
    for drip in 0..DRIPS {
        slow.retain_mut(|(stream, slowly)| {
            (slowly.get(drip)).is_none_or(|byte| stream.write_all(&[*byte]).is_ok())
        });
        thread::sleep(DRIP);
    }
    honest.gets_on();
    assert!(slow.len() < SLOW, "each is still there");
    println!(
        "{SLOW} slow connections, of which {} were let be: beside them {:?}",
        slow.len(),
        honest.stop()
    );
    drop(slow);
    is_normal(&server, home.path(), &[]);
}
