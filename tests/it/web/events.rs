//! A followed list as server-sent events.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
};

use rustix::process::Signal;
use serde_json::Value;

use super::{CONSIGNMENTS, JSON};
use crate::support::{
    Server,
    answer::{self, get, send},
    folder,
};

/// Events under way.
struct Events(BufReader<TcpStream>);

/// One of them, or what stands between two empty lines.
#[derive(Debug, Default, PartialEq)]
struct Event {
    id: String,
    name: String,
    data: String,
    is_comment: bool,
}

impl Events {
    #[track_caller]
    fn open(server: &Server, query: &str, headers: &str) -> Self {
        let mut stream = answer::open(server.address);
        // Of HTTP/1.0 the body is not in chunks.
        let host = server.address;
        write!(
            stream,
            "GET {CONSIGNMENTS}{query} HTTP/1.0\r\nHost: {host}\r\n{headers}\r\n"
        )
        .unwrap();
        let mut events = Self(BufReader::new(stream));
        let head = events.lines();
        assert!(head[0].contains("200"), "{head:?}");
        let media_type = "content-type: text/event-stream";
        assert!(head.iter().any(|line| line == media_type), "{head:?}");
        assert_eq!(events.lines(), ["retry: 500"]);
        events
    }

    /// Up to the next empty line; none at the end.
    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if line.trim_end().is_empty() {
                return lines;
            }
            lines.push(line.trim_end().to_owned());
        }
    }

    /// The next with something in it, heartbeats passed over.
    fn next(&mut self) -> Event {
        loop {
            let event = self.next_of_any_kind();
            if !event.is_comment {
                return event;
            }
        }
    }

    fn next_of_any_kind(&mut self) -> Event {
        let mut event = Event::default();
        for line in self.lines() {
            match line.split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut event.id),
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("data", data)) => data.clone_into(&mut event.data),
                _ if line.starts_with(':') => event.is_comment = true,
                _ => panic!("{line:?} is in no event"),
            }
        }
        event
    }
}

fn create(server: &Server, consignment: &str) {
    send(server.address, "POST", CONSIGNMENTS, &[JSON], consignment).is(201);
}

fn sequence(event: &Event) -> String {
    assert_eq!(event.name, "consignment", "{event:?}");
    let data: Value = serde_json::from_str(&event.data).unwrap();
    data["sequence"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_there_and_what_comes_is_sent_with_its_position() {
    let home = folder();
    let server = Server::start(home.path());
    create(&server, r#"{"description": "two\nlines"}"#);
    let mut events = Events::open(&server, "", "Accept: text/event-stream\r\n");
    let first = events.next();
    assert_eq!(first.id, format!("{}:1", server.register));
    assert_eq!(sequence(&first), "1");
    create(&server, "{}");
    assert_eq!(sequence(&events.next()), "2");
    // While nothing comes it says that it is there.
    assert!(events.next_of_any_kind().is_comment);
}

#[test]
fn it_goes_on_where_it_broke_off() {
    let home = folder();
    let server = Server::start(home.path());
    for _ in 0..3 {
        create(&server, "{}");
    }
    let last = format!("Last-Event-ID: {}:2\r\n", server.register);
    // It counts before what was asked for at first.
    let mut events = Events::open(&server, "?follow=true&after=1", &last);
    assert_eq!(sequence(&events.next()), "3");
    let refused = get(
        server.address,
        "/v1/consignments?follow=true",
        &["Last-Event-ID: another:2"],
    );
    assert_eq!(refused.is(400).refusal().0, "OUT_OF_RANGE");
    let refused = get(
        server.address,
        "/v1/consignments?follow=true",
        &["Last-Event-ID: x"],
    );
    assert_eq!(refused.is(400).refusal().1, ["Last-Event-ID"]);
}

#[test]
fn what_is_passed_over_moves_the_position_too() {
    let home = folder();
    let server = Server::start(home.path());
    let mut events = Events::open(&server, "?follow=true&vessel_id=v", "");
    create(&server, r#"{"vessel_id": "else"}"#);
    let passed = events.next();
    assert_eq!(passed.id, format!("{}:1", server.register));
    assert_eq!((&*passed.name, &*passed.data), ("", ""));
    create(&server, r#"{"vessel_id": "v"}"#);
    assert_eq!(sequence(&events.next()), "2");
}

#[test]
fn a_server_that_stops_says_so_and_is_not_held() {
    let home = folder();
    let mut server = Server::start(home.path());
    let mut all: Vec<_> = (0..20)
        .map(|_| Events::open(&server, "?follow=true", ""))
        .collect();
    server.signal(Signal::TERM);
    for events in &mut all {
        let end = events.next();
        assert_eq!(end.name, "end");
        let said: Value = serde_json::from_str(&end.data).unwrap();
        assert_eq!(said["code"], "UNAVAILABLE");
        assert_eq!(events.lines(), [""; 0], "the end of the connection");
    }
    assert!(server.wait().success());
    assert!(!server.logged().contains("cut"), "{}", server.logged());
}
