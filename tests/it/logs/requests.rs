//! One line a request.

use std::io::{BufRead as _, BufReader, Write as _};

use prost::Message as _;
use serde_json::json;
use tonic::{Request, metadata::MetadataValue};

use super::{Server, answer, eventually, folder, in_json, request, saying, whole_lines};
use crate::{
    cli::file,
    contract::{raw, sample},
    security::{serve, token},
    support::run,
};

const CREATE: &str = "/consignment.ShippingService/CreateConsignment";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A create with `metadata`; the id in the reply.
async fn create(server: &Server, metadata: &[(&'static str, &str)]) -> Option<String> {
    let channel = raw::channel(server).await;
    let mut request = Request::new(sample("tea-1").encode_to_vec().into());
    for (name, value) in metadata {
        let value = MetadataValue::try_from(*value).unwrap();
        request.metadata_mut().insert(*name, value);
    }
    let reply = raw::call_with(&channel, CREATE, request).await.unwrap();
    let id = reply.metadata().get("x-request-id");
    id.map(|id| id.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_call_is_one_line_with_all_that_is_known_of_it() {
    let home = folder();
    let (crane, line) = token(home.path(), "crane", "write");
    let tokens = file(home.path(), "tokens", line);
    let levels = "info,shippy::requests=debug";
    let args = [
        "--tokens",
        &tokens,
        "--log-format",
        "json",
        "--log-level",
        levels,
    ];
    let server = serve(home.path(), &args);
    let bearer = format!("Bearer {crane}");
    let said = create(
        &server,
        &[("x-request-id", "mine-1"), ("authorization", &bearer)],
    )
    .await;
    assert_eq!(said.as_deref(), Some("mine-1"));
    let line = request(&server, |line| line["id"] == "mine-1");
    let peer = line["peer"].as_str().unwrap();
    assert!(peer.starts_with("127.0.0.1:"), "{line}");
    let seconds = line["seconds"].as_f64().unwrap();
    assert!(
        seconds > 0.0 && line["bytes"].as_u64().unwrap() > 40,
        "{line}"
    );
    let expected = json!({
        "message": "request", "id": "mine-1", "rpc": "CreateConsignment", "path": CREATE, "peer": peer,
        "caller": "crane", "code": "OK", "bytes": line["bytes"], "seconds": seconds,
    });
    assert_eq!(line, expected);
    // One that is refused has no caller that is known.
    let channel = raw::channel(&server).await;
    let refused = raw::call(&channel, CREATE, Vec::new()).await;
    assert!(refused.is_err());
    let line = request(&server, |line| line["code"] == "UNAUTHENTICATED");
    assert_eq!((&line["caller"], &line["bytes"]), (&json!(null), &json!(0)));
}

#[test]
fn a_request_over_http_has_its_method_and_status() {
    let home = folder();
    let server = Server::start_with(home.path(), in_json);
    let list = answer::get(
        server.address,
        "/v1/consignments?limit=3",
        &["X-Request-ID: mine-2"],
    );
    assert_eq!(list.header("x-request-id"), Some("mine-2"));
    let line = request(&server, |line| line["id"] == "mine-2");
    for (name, value) in [
        ("rpc", json!("ListConsignments")),
        ("method", json!("GET")),
        ("path", json!("/v1/consignments")),
        ("status", json!(200)),
        ("code", json!("OK")),
        ("bytes", json!(list.body.len())),
    ] {
        assert_eq!(line[name], value, "{name} of {line}");
    }
    let long = format!("/{}", "x".repeat(2_000));
    answer::get(server.address, &long, &[]).is(404);
    let line = request(&server, |line| line["status"] == 404);
    assert_eq!(
        (&line["rpc"], &line["code"]),
        (&json!("other"), &json!("NOT_FOUND"))
    );
    assert_eq!(
        line["path"].as_str().map(|path| path.chars().count()),
        Some(257),
        "{line}"
    );
    // Its id was made here.
    assert_eq!(line["id"].as_str().map(str::len), Some(36), "{line}");
}

#[test]
fn in_text_it_is_one_line_too() {
    let home = folder();
    let server = Server::start_with(home.path(), |command| {
        command.args(["--log-level", "info,shippy::requests=debug"]);
    });
    let quoted = r#"X-Request-ID: a"code="OK"#;
    answer::get(server.address, "/healthz", &[quoted]).is(200);
    let line = eventually("the request is logged", || {
        let log = whole_lines(&server.log);
        log.lines()
            .find(|line| line.contains("/healthz"))
            .map(str::to_owned)
    });
    for text in [
        " DEBUG request id=\"a\\\"code=\\\"OK\" rpc=\"Check\" method=\"GET\" path=\"/healthz\" peer=127.0.0.1:",
        " code=\"OK\" status=200 bytes=",
        " seconds=",
    ] {
        assert!(line.contains(text), "no {text} in {line}");
    }
}

#[test]
fn a_followed_list_is_logged_when_it_ends() {
    let home = folder();
    let server = Server::start_with(home.path(), in_json);
    let mut follower = answer::open(server.address);
    let asked = "GET /v1/consignments?follow=true HTTP/1.0\r\nX-Request-ID: follower\r\n";
    write!(follower, "{asked}Host: {}\r\n\r\n", server.address).unwrap();
    let mut reply = BufReader::new(follower).lines().map(Result::unwrap);
    assert!(reply.any(|line| line.starts_with("retry:")), "it begins");
    let before = saying(&server, "request");
    assert!(
        before.iter().all(|line| line["id"] != "follower"),
        "{before:#?}"
    );
    drop(reply);
    let line = request(&server, |line| line["id"] == "follower");
    assert_eq!(
        (&line["code"], &line["rpc"]),
        (&json!("CANCELLED"), &json!("ListConsignments"))
    );
}

#[tokio::test]
async fn a_trace_is_an_id_too_and_what_is_not_sound_is_none() {
    let home = folder();
    let server = Server::start_with(home.path(), in_json);
    let said = create(&server, &[("traceparent", TRACED)]).await;
    assert_eq!(said.as_deref(), Some(TRACE));
    request(&server, |line| line["id"] == TRACE);
    let longest = "x".repeat(128);
    let said = create(&server, &[("x-request-id", &longest)]).await;
    assert_eq!(said, Some(longest));
    let long = "x".repeat(129);
    for bad in [&*long, "two words", ""] {
        let said = create(&server, &[("x-request-id", bad)]).await;
        assert_eq!(said, None, "{bad:?}");
    }
    // What no client would send.
    for bad in ["\u{9b}31m", "\u{202e}", "a\u{1b}[2J"] {
        let header = format!("X-Request-ID: {bad}");
        let got = answer::get(server.address, "/healthz", &[&header]);
        assert_eq!(got.header("x-request-id"), None, "{bad:?}");
    }
    let shown = |char: char| char == '\n' || (' '..='~').contains(&char) || char == '…';
    let logged = std::fs::read_to_string(&server.log).unwrap();
    assert_eq!(logged.chars().find(|&char| !shown(char)), None);
    assert!(
        !logged.contains(&long) && !logged.contains("two words"),
        "{logged}"
    );
}

#[test]
fn nothing_is_said_of_requests_unless_it_is_asked_for() {
    let home = folder();
    let server = Server::start(home.path());
    let sent = ["X-Request-ID: mine"];
    let got = answer::get(server.address, "/healthz", &sent).is(200);
    assert_eq!(got.header("x-request-id"), Some("mine"));
    assert_eq!(
        answer::get(server.address, "/healthz", &[]).header("x-request-id"),
        None
    );
    run(&mut server.ask(home.path(), &["list"])).exits(0);
    let log = std::fs::read_to_string(&server.log).unwrap();
    assert!(!log.contains("mine") && !log.contains("Check"), "{log}");
}
