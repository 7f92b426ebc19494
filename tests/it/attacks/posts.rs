//! Peers that begin to send over HTTP and do not go on.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use super::{attacker::connect, honest::Honest, is_normal};
use crate::support::{
    SOON, Server,
    answer::{Answer, get, send},
    eventually, folder,
};

/// The largest body that is taken, of which these are all that fit into the memory for them.
const BODY: usize = 4 * 1024 * 1024;
const ALL: usize = 8;

const JSON: &str = "Content-Type: application/json";

/// Begins to create with a body of so many bytes, and sends as many of them.
fn begin(server: &Server, number: usize, (of, sent): (usize, usize)) -> TcpStream {
    let mut stream = connect(server.address, number).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    let head = format!(
        "POST /v1/consignments HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: {of}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&vec![b' '; sent]).unwrap();
    stream
}

fn post(server: &Server, body: &str) -> Answer {
    send(server.address, "POST", "/v1/consignments", &[JSON], body)
}

/// What the server has begun to say, if it has.
fn told(mut stream: &TcpStream) -> Option<[u8; 12]> {
    stream.set_nonblocking(true).unwrap();
    let mut said = [0; 12];
    stream.read_exact(&mut said).ok().map(|()| said)
}

#[test]
fn those_who_stop_in_the_middle_of_a_body_give_way() {
    let home = folder();
    let server = Server::start(home.path());
    let silent: Vec<_> = thread::scope(|scope| {
        let server = &server;
        let all: Vec<_> = (0..ALL)
            .map(|number| scope.spawn(move || begin(server, number, (BODY, BODY - 1))))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    // More than what is left beside those.
    let body = format!("{}{{}}", " ".repeat(1_000_000));
    eventually("room for another", || {
        let answer = post(&server, &body);
        (answer.status == 201).then_some(())
    });
    // One of them is told why, rather than that its time is over.
    let told = eventually("one that gave way", || silent.iter().find_map(told));
    assert_eq!(&told, b"HTTP/1.1 503");
    // What was refused meanwhile is counted, if something was.
    let metrics = get(server.address, "/metrics", &[]).is(200).body;
    assert!(metrics.contains("{reason=\"time\"} 0"), "{metrics}");
}

/// Holds a load's place again and again, each time for too short a time to be made to give way.
fn hold_loads(server: &Server, from: usize, stop: &AtomicBool) {
    let mut number = from;
    while !stop.load(Ordering::Relaxed) {
        let held = begin(server, number, (BODY, 1));
        thread::sleep(Duration::from_millis(300));
        drop(held);
        number += 1;
    }
}

#[test]
fn who_holds_all_places_of_loads_keeps_no_single_post_out() {
    const LOADS: usize = 4;
    const POSTS: usize = 200;
    let home = folder();
    let server = &Server::start_with(home.path(), |command| {
        command.args(["--max-loads", &LOADS.to_string()]);
    });
    let honest = Honest::start(server, None);
    let stop = &AtomicBool::new(false);
    let posted = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..4 * LOADS {
            scope.spawn(move || hold_loads(server, 10 * number, stop));
        }
        eventually("a load without a place", || {
            (post(server, "{}{}").status == 503).then_some(())
        });
        let posts = scope.spawn(|| {
            for _ in 0..POSTS {
                if post(server, r#"{"vessel_id": "board"}"#).status == 201 {
                    posted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let ended = posts.join();
        honest.gets_on();
        stop.store(true, Ordering::Relaxed);
        ended.unwrap();
    });
    // Not one of them had to come again.
    assert_eq!(posted.into_inner(), POSTS);
    println!("{:?}", honest.stop());
    is_normal(server, home.path(), &[]);
}

#[test]
fn those_who_do_not_send_a_small_body_give_way_to_the_next() {
    const PLACES: usize = 2;
    let home = folder();
    let server = Server::start_with(home.path(), |command| {
        command.args(["--max-requests", &PLACES.to_string()]);
    });
    let silent: Vec<_> = (0..=PLACES)
        .map(|number| begin(&server, number, (10, 1)))
        .collect();
    // One of them is one too many.
    let told = eventually("one that gave way", || silent.iter().find_map(told));
    assert_eq!(&told, b"HTTP/1.1 503");
    post(&server, "{}").is(201);
}

#[test]
fn who_breaks_a_small_body_off_is_told_so() {
    let home = folder();
    let server = Server::start(home.path());
    let mut stream = begin(&server, 1, (10, 1));
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = Answer::read(&mut stream).is(400);
    assert!(answer.body.contains("read to its end"), "{answer:?}");
}
