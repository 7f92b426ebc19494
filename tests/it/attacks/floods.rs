//! Floods of what HTTP/2 allows.

use tonic::transport::Endpoint;

use super::{
    attacker::{Attack, Attacker, hello},
    honest::Honest,
    is_normal,
    together::{all_at_once, by_tls},
    way::Way,
};
use crate::support::{
    Server, folder,
    http2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, frame, path, request,
    },
};

/// What CANCEL is (RFC 9113 §7).
const CANCEL: [u8; 4] = [0, 0, 0, 8];

pub(super) fn create_headers(flags: u8, stream: u32) -> Vec<u8> {
    frame(HEADERS, flags, stream, &request(&path("CreateConsignment")))
}

/// CVE-2023-44487: each request is taken back at once, so that no number of streams is ever exceeded.
pub(super) const RAPID_RESET: Attack = Attack {
    name: "rapid reset",
    first: hello,
    each: |stream| {
        let opened = create_headers(END_HEADERS, stream);
        [opened, frame(RST_STREAM, 0, stream, &CANCEL)].concat()
    },
    rate: 5_000,
    connections: 8,
    renewed_after: u32::MAX,
};

/// Requests whose messages never come.
pub(super) const STREAM_OPEN: Attack = Attack {
    name: "streams opened",
    first: hello,
    each: |stream| create_headers(END_HEADERS, stream),
    rate: 5_000,
    connections: 16,
    renewed_after: u32::MAX,
};

/// The smaller ones, which the HTTP/2 layer is to bear.
const OTHERS: [Attack; 6] = [
    // CVE-2024-27316: headers without an end.
    Attack {
        name: "CONTINUATION",
        first: || [hello(), create_headers(0, 1)].concat(),
        each: |_| frame(CONTINUATION, 0, 1, &[b'x'; 1024]),
        rate: 5_000,
        connections: 4,
        renewed_after: u32::MAX,
    },
    // CVE-2019-9512 and CVE-2019-9515: each asks for an answer.
    Attack {
        name: "PING",
        first: hello,
        each: |_| frame(PING, 0, 0, &[7; 8]),
        rate: 10_000,
        connections: 4,
        renewed_after: u32::MAX,
    },
    Attack {
        name: "SETTINGS",
        first: hello,
        each: |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        rate: 10_000,
        connections: 4,
        renewed_after: u32::MAX,
    },
    // Which is an error each time.
    Attack {
        name: "WINDOW_UPDATE by 0",
        first: hello,
        each: |_| frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        rate: 1_000,
        connections: 8,
        renewed_after: u32::MAX,
    },
    // CVE-2019-9518: work for nothing.
    Attack {
        name: "DATA without data",
        first: || [hello(), create_headers(END_HEADERS, 1)].concat(),
        each: |_| frame(DATA, 0, 1, &[]),
        rate: 10_000,
        connections: 4,
        renewed_after: u32::MAX,
    },
    // Requests that are refused at once, as many as can be sent.
    Attack {
        name: "requests for what is not there",
        first: hello,
        each: |stream| {
            let headers = request("/depot.Depot/Rob");
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &headers)
        },
        rate: 5_000,
        connections: 16,
        renewed_after: u32::MAX,
    },
];

/// Has those at work whom `flood` begins, beside honest clients that come before them and amid the flood.
#[track_caller]
fn beside(endpoint: Endpoint, flood: impl FnOnce() -> Vec<Attacker>) {
    let honest = Honest::start_at(endpoint.clone(), None);
    let attackers = flood();
    for attacker in &attackers {
        attacker.goes_on();
    }
    let late = Honest::start_at(endpoint, None);
    honest.gets_on();
    let done: Vec<_> = attackers.into_iter().map(Attacker::stop).collect();
    honest.gets_on();
    for fared in [honest.stop(), late.stop()] {
        println!("{done:?}, beside it {fared:?}");
        // And as a rule at once.
        assert!(fared.again * 2 < fared.created, "{fared:?}");
    }
}

fn attacked_by(attack: Attack) {
    let home = folder();
    let server = Server::start(home.path());
    let endpoint = Way::in_clear().endpoint(&server);
    beside(endpoint, || vec![Attacker::start(server.address, attack)]);
    is_normal(&server, home.path(), &[]);
}

#[test]
fn honest_clients_are_answered_beside_a_flood_of_resets() {
    attacked_by(RAPID_RESET);
}

#[test]
fn honest_clients_are_answered_beside_a_flood_of_streams() {
    attacked_by(STREAM_OPEN);
}

#[test]
fn honest_clients_are_answered_beside_other_floods() {
    for attack in OTHERS {
        attacked_by(attack);
    }
}

#[test]
fn honest_clients_are_answered_beside_all_floods_at_once() {
    let home = folder();
    let server = Server::start(home.path());
    let endpoint = Way::in_clear().endpoint(&server);
    beside(endpoint, || all_at_once(&server.address.into()));
    is_normal(&server, home.path(), &[]);
}

#[test]
fn honest_clients_are_answered_beside_floods_of_a_server_with_tls() {
    let home = folder();
    let way = Way::by_tls(home.path());
    let server = Server::start_with(home.path(), |command| {
        command.args(way.serve_args());
    });
    beside(way.endpoint(&server), || by_tls(&way.target(&server)));
    is_normal(&server, home.path(), &way.ask_args());
}
