//! Several floods at once: all that there are, and those of a server that speaks TLS.

use std::sync::{Arc, LazyLock};

use rustls::{ClientConfig, ClientConnection, RootCertStore};
use shippy::tls::{HTTP2, SERVER_NAME, provider};

use super::{
    attacker::{Attack, Attacker, Target, hello, nothing},
    floods::{RAPID_RESET, STREAM_OPEN, create_headers},
    idle::HOLD,
    strangers::{check, without_window},
};
use crate::support::http2::{DATA, END_HEADERS, END_STREAM, HEADERS, frame, path, request};

/// Messages that come a byte at a time, two a second each.
const SLOW: Attack = Attack {
    name: "a byte at a time",
    first: || [hello(), create_headers(END_HEADERS, 1)].concat(),
    each: |_| frame(DATA, 0, 1, &[0]),
    rate: 400,
    connections: 200,
    renewed_after: u32::MAX,
};

/// Replies that are asked for and not taken: the whole register, lists of it, and health checks.
const UNREAD: Attack = Attack {
    name: "replies that are not taken",
    first: without_window,
    each: |stream| {
        let method = match stream / 2 % 3 {
            0 => "GetConsignments",
            1 => "ListConsignments",
            _ => return check(stream),
        };
        let headers = frame(HEADERS, END_HEADERS, stream, &request(&path(method)));
        [headers, frame(DATA, END_STREAM, stream, &[0; 5])].concat()
    },
    rate: 1_000,
    connections: 8,
    renewed_after: 250,
};

/// Handshakes that are opened, and cut once the server has work with them.
const CUT: Attack = Attack {
    name: "handshakes cut",
    first: client_hello,
    each: |_| nothing(),
    rate: 500,
    connections: 50,
    renewed_after: 1,
};

/// Handshakes of which the rest never comes.
const UNFINISHED: Attack = Attack {
    name: "handshakes never finished",
    first: || {
        let all = client_hello();
        all[..all.len() / 2].to_vec()
    },
    each: |_| nothing(),
    rate: 400,
    connections: 200,
    renewed_after: u32::MAX,
};

/// What a TLS handshake begins with.
fn client_hello() -> Vec<u8> {
    static HELLO: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = vec![HTTP2.to_vec()];
        let name = SERVER_NAME.try_into().unwrap();
        let mut begun = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut hello = Vec::new();
        begun.write_tls(&mut hello).unwrap();
        hello
    });
    HELLO.clone()
}

/// Every flood at once.
pub(super) fn all_at_once(target: &Target) -> Vec<Attacker> {
    [RAPID_RESET, STREAM_OPEN, SLOW, HOLD, UNREAD]
        .map(|attack| Attacker::start(target.clone(), attack))
        .into()
}

/// Those of a server that speaks TLS.
pub(super) fn by_tls(target: &Target) -> Vec<Attacker> {
    let raw = |attack| Attacker::start(target.address, attack);
    vec![
        raw(CUT),
        raw(UNFINISHED),
        Attacker::start(target.clone(), RAPID_RESET),
    ]
}
