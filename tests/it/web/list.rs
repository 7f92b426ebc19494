//! `GET /v1/consignments`

use serde_json::Value;

use super::{CONSIGNMENTS, NDJSON};
use crate::{
    running::run_to_end,
    support::{
        Server,
        answer::{Answer, get, send},
        folder, run,
    },
};

const THREE: &str = r#"
    {"id": "a", "vessel_id": "v 1", "containers": [{"customer_id": "c", "user_id": "u", "origin": "Århus"}]}
    {"id": "b", "vessel_id": "v2", "description": "=1+1"}
    {"id": "c", "vessel_id": "v 1", "description": "\u001b[2J"}"#;

fn serving(home: &std::path::Path) -> Server {
    let server = Server::start(home);
    send(server.address, "POST", CONSIGNMENTS, &[NDJSON], THREE).is(201);
    server
}

#[track_caller]
fn list(server: &Server, query: &str) -> Answer {
    get(server.address, &format!("{CONSIGNMENTS}{query}"), &[])
}

fn ids(answer: &Answer) -> Vec<String> {
    let all = answer.json()["consignments"].clone();
    let id = |one: &Value| one["id"].as_str().unwrap().to_owned();
    all.as_array().unwrap().iter().map(id).collect()
}

#[test]
fn a_list_is_one_object_and_says_how_far_it_goes() {
    let home = folder();
    let server = Server::start(home.path());
    let empty = list(&server, "").is(200);
    assert!(empty.is_whole);
    assert_eq!(empty.json()["consignments"], serde_json::json!([]));
    assert_eq!(empty.json()["through_sequence"], "0");
    drop(server);
    let home = folder();
    let server = serving(home.path());
    let all = list(&server, "").is(200);
    assert_eq!(ids(&all), ["a", "b", "c"]);
    assert_eq!(all.json()["through_sequence"], "3");
    assert_eq!(all.json()["register"], *server.register);
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "same-origin"),
        ("shippy-register", &*server.register),
    ] {
        assert_eq!(all.header(name), Some(value), "{name}");
    }
}

#[test]
fn the_other_forms_are_those_of_the_command() {
    let home = folder();
    let server = serving(home.path());
    for (form, accept, media_type) in [
        ("ndjson", "application/x-ndjson", "application/x-ndjson"),
        ("csv", "text/csv", "text/csv; charset=utf-8; header=present"),
    ] {
        let accept = format!("Accept: {accept}");
        let answer = get(server.address, CONSIGNMENTS, &[&accept]).is(200);
        let ran = run(&mut server.ask(home.path(), &["list", "-o", form])).exits(0);
        assert_eq!(answer.body, ran.stdout);
        assert_eq!(answer.header("content-type"), Some(media_type));
        // Of nothing, too.
        let none = format!("{CONSIGNMENTS}?ids=nobody");
        let answer = get(server.address, &none, &[&accept]).is(200);
        let args = ["list", "-o", form, "--id", "nobody"];
        let ran = run_to_end(&mut server.ask(home.path(), &args)).exits(0);
        assert_eq!(answer.body, ran.stdout);
    }
    let refused = get(server.address, CONSIGNMENTS, &["Accept: text/html"]).is(406);
    assert_eq!(refused.refusal().1, ["Accept"]);
    let refused = get(
        server.address,
        "/v1/consignments?follow=true",
        &["Accept: text/csv"],
    );
    assert_eq!(refused.is(406).refusal().1, ["Accept"]);
    let refused = get(
        server.address,
        "/v1/consignments?follow=false",
        &["Accept: text/event-stream"],
    );
    assert_eq!(refused.is(406).refusal().1, ["Accept"]);
}

#[test]
fn each_parameter_selects() {
    let home = folder();
    let server = serving(home.path());
    let until = list(&server, "").json()["consignments"][0]["created_at"].clone();
    let until = until.as_str().unwrap();
    for (query, expected) in [
        ("?vessel_id=v+1", &["a", "c"][..]),
        ("?vessel_id=v%201&customer_id=c", &["a"]),
        ("?user_id=u", &["a"]),
        ("?origin=%C3%85rhus", &["a"]),
        ("?origin=%c3%a5rhus", &[]),
        ("?ids=c&ids=a", &["a", "c"]),
        ("?ids=c,a", &["a", "c"]),
        ("?after=1", &["b", "c"]),
        (&format!("?after={}:2", server.register), &["c"]),
        ("?before=3", &["a", "b"]),
        ("?limit=2", &["a", "b"]),
        ("?newest_first=true&limit=1", &["c"]),
        ("?created_from=2000-01-01T00:00:00Z", &["a", "b", "c"]),
        (&format!("?created_until={until}"), &[]),
        ("?vessel_id=", &["a", "b", "c"]),
        ("?follow=false", &["a", "b", "c"]),
    ] {
        assert_eq!(ids(&list(&server, query).is(200)), expected, "{query}");
    }
}

#[test]
fn what_is_asked_wrongly_is_told_with_its_parameter() {
    let home = folder();
    let server = serving(home.path());
    for (query, code, field) in [
        ("?vesel_id=x", "INVALID_ARGUMENT", "vesel_id"),
        ("?limit=few", "INVALID_ARGUMENT", "limit"),
        ("?limit=1&limit=2", "INVALID_ARGUMENT", "limit"),
        ("?after=4", "OUT_OF_RANGE", "after"),
        ("?before=9", "OUT_OF_RANGE", "before"),
        ("?after=another:1", "OUT_OF_RANGE", "after"),
        (
            "?follow=true&newest_first=true",
            "INVALID_ARGUMENT",
            "follow",
        ),
        ("?follow=true&before=2", "INVALID_ARGUMENT", "follow"),
        (
            &format!("?ids={}", "a,".repeat(1_000)),
            "INVALID_ARGUMENT",
            "ids",
        ),
    ] {
        let (told, fields) = list(&server, query).is(400).refusal();
        assert_eq!((&*told, fields), (code, vec![field.to_owned()]), "{query}");
    }
}

#[test]
fn what_is_nowhere_and_what_no_path_takes_is_told() {
    let home = folder();
    let server = serving(home.path());
    for path in [
        "/v1",
        "/v1/consignments/",
        "/V1/consignments",
        "/x/../healthz",
    ] {
        let (code, _) = get(server.address, path, &[]).is(404).refusal();
        assert_eq!(code, "NOT_FOUND", "{path}");
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let refused = send(server.address, method, CONSIGNMENTS, &[], "").is(405);
        assert_eq!(refused.header("allow"), Some("GET,HEAD,POST"), "{method}");
        assert_eq!(refused.refusal().0, "UNIMPLEMENTED");
    }
    let head = send(server.address, "HEAD", CONSIGNMENTS, &[], "").is(200);
    assert_eq!(head.body, "");
}

#[test]
fn a_long_list_is_sent_whole() {
    let home = folder();
    let server = Server::start(home.path());
    super::super::lifecycle::fill(&server, home.path());
    let all = get(
        server.address,
        CONSIGNMENTS,
        &["Accept: application/x-ndjson"],
    )
    .is(200);
    assert!(all.is_whole);
    let ran = run(&mut server.ask(home.path(), &["list", "-o", "ndjson"])).exits(0);
    assert!(all.body == ran.stdout, "{} bytes", all.body.len());
    let json = list(&server, "");
    assert!(json.is_whole);
    assert_eq!(ids(&json).len(), ran.stdout.lines().count());
}
