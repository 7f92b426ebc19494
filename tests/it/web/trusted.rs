//! HTTP under the server's tokens and TLS.

use std::io::{Read as _, Write as _};

use super::{CONSIGNMENTS, JSON};
use crate::{
    cli::file,
    security::{Authority, serve, token},
    support::{
        Server,
        answer::{Answer, get, open, open_by_tls, send},
        eventually, folder,
    },
};

#[test]
fn where_tokens_are_set_each_request_takes_the_scope_of_its_rpc() {
    let home = folder();
    let (write, write_line) = token(home.path(), "crane", "write");
    let (read, read_line) = token(home.path(), "desk", "read");
    let tokens = file(
        home.path(),
        "tokens",
        format!("{write_line}\n{read_line}\n"),
    );
    let server = serve(home.path(), &["--tokens", &tokens]);
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    for (token, list, create) in [
        (None, 401, 401),
        (Some(bearer("else")), 401, 401),
        (Some("Authorization: Basic eDp5".to_owned()), 401, 401),
        (Some(bearer(&read)), 200, 403),
        (Some(bearer(&write)), 200, 201),
    ] {
        let mut headers: Vec<&str> = token.as_deref().into_iter().collect();
        get(server.address, "/metrics", &headers).is(list);
        for path in ["/healthz", "/readyz"] {
            get(server.address, path, &headers).is(200);
        }
        let listed = get(server.address, CONSIGNMENTS, &headers).is(list);
        if list == 401 {
            assert_eq!(listed.header("www-authenticate"), Some("Bearer"));
            assert_eq!(listed.refusal().0, "UNAUTHENTICATED");
            assert!(listed.body.contains("Authorization: Bearer"));
            assert_eq!(listed.header("x-content-type-options"), Some("nosniff"));
        }
        headers.push(JSON);
        let created = send(server.address, "POST", CONSIGNMENTS, &headers, "{}").is(create);
        match create {
            403 => assert_eq!(created.refusal().0, "PERMISSION_DENIED"),
            // Who it was is kept.
            201 => assert_eq!(created.json()["created_by"], "crane"),
            _ => {}
        }
    }
    let log = server.logged();
    assert!(!log.contains(&write) && !log.contains(&read), "{log}");
}

#[test]
fn events_end_when_their_token_is_taken_back() {
    let home = folder();
    let (token, line) = token(home.path(), "desk", "read");
    let tokens = file(home.path(), "tokens", line);
    let server = serve(home.path(), &["--tokens", &tokens]);
    let mut stream = open(server.address);
    write!(
        stream,
        "GET {CONSIGNMENTS}?follow=true HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    std::fs::write(&tokens, "").unwrap();
    let mut rest = first.to_vec();
    let _ = stream.read_to_end(&mut rest);
    assert!(!Answer::parse(&rest).is_whole, "it did not end as a whole");
    let bearer = format!("Authorization: Bearer {token}");
    get(server.address, CONSIGNMENTS, &[&bearer]).is(401);
}

/// A request by TLS with what is agreed on by ALPN, if anything.
fn by_tls(
    server: &Server,
    authority: &Authority,
    protocols: &[&[u8]],
) -> (Option<Vec<u8>>, Answer) {
    let mut stream = open_by_tls(server.address, &authority.file, protocols);
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let agreed = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
    (agreed, Answer::parse(&bytes))
}

#[test]
fn http_is_spoken_within_tls_and_not_beside_it() {
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let pair = authority.server(home.path(), "shippy");
    let server = serve(home.path(), &pair.args());
    for protocols in [&[&b"http/1.1"[..]][..], &[]] {
        let (agreed, answer) = by_tls(&server, &authority, protocols);
        assert_eq!(agreed.as_deref(), protocols.first().copied());
        assert_eq!(answer.is(200).json()["status"], "ready");
    }
    let mut clear = open(server.address);
    write!(clear, "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = clear.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{}", said.escape_ascii());
    eventually("a line in the log", || {
        server.logged().contains("does not speak TLS").then_some(())
    });
}
