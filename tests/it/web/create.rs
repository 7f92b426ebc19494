//! `POST /v1/consignments`

use serde_json::json;

use super::{CONSIGNMENTS, JSON, NDJSON};
use crate::{
    cli::stored,
    support::{Server, answer, answer::send, folder, memory},
};

const TEA: &str = r#"{"id": "tea-1", "description": "Tea", "weight": 550, "vesselId": "v1"}"#;

#[test]
fn one_consignment_is_answered_with_what_is_stored() {
    let home = folder();
    let server = Server::start(home.path());
    let post = |body: &str| send(server.address, "POST", CONSIGNMENTS, &[JSON], body);
    let created = post(TEA).is(201);
    let place = created.header("location").unwrap().to_owned();
    assert_eq!(place, "/v1/consignments?ids=tea-1");
    let mut created = created.json();
    assert!(created["created_at"].take().is_string(), "{created}");
    let expected = json!({
        "id": "tea-1", "description": "Tea", "weight": 550, "vessel_id": "v1", "sequence": "1", "created_at": null,
    });
    assert_eq!(created, expected);
    // Again, it is there already; and what was listed is the same consignment.
    assert_eq!(post(TEA).is(200).json()["sequence"], "1");
    let listed = answer::get(server.address, &place, &[]).json()["consignments"][0].clone();
    assert_eq!(post(&listed.to_string()).is(200).json(), listed);
    let (code, fields) = post(r#"{"id": "tea-1"}"#).is(409).refusal();
    assert_eq!((&*code, fields), ("ALREADY_EXISTS", vec!["id".to_owned()]));
    // Without an id of its own it gets one.
    let made = post("\u{feff} {}").is(201).json();
    assert_eq!(made["id"].as_str().map(str::len), Some(36));
    assert_eq!(stored(&server, home.path()).len(), 2);
}

#[test]
fn of_several_each_is_told_what_became_of_it() {
    let home = folder();
    let server = Server::start(home.path());
    let post = |kind, body: &str| send(server.address, "POST", CONSIGNMENTS, &[kind], body);
    let lines = "{\"id\":\"a\"}\n\n{\"id\":\"b\"}\n";
    let all = post(NDJSON, lines).is(201).json();
    assert_eq!(
        all,
        json!({
            "created": 2, "already_there": 0, "conflicts": 0,
            "outcomes": [
                {"line": 1, "id": "a", "sequence": "1", "result": "created"},
                {"line": 3, "id": "b", "sequence": "2", "result": "created"},
            ],
        })
    );
    assert_eq!(post(NDJSON, lines).is(200).json()["already_there"], 2);
    let mixed = post(JSON, r#"[{"id": "c"}, {"id": "a", "weight": 1}, {}]"#).is(409);
    let (code, fields) = mixed.refusal();
    assert_eq!((&*code, fields), ("ALREADY_EXISTS", vec!["id".to_owned()]));
    let mixed = mixed.json();
    let results: Vec<_> = (mixed["outcomes"].as_array().unwrap().iter())
        .map(|outcome| outcome["result"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["created", "conflict", "created"]);
    // One of them too, where several could have come.
    assert_eq!(post(NDJSON, "{}").is(201).json()["created"], 1);
    assert_eq!(post(JSON, "[{}]").is(201).json()["created"], 1);
    assert_eq!(stored(&server, home.path()).len(), 6);
}

#[test]
fn a_load_of_many_keeps_its_order() {
    let home = folder();
    let server = Server::start(home.path());
    let ids: Vec<_> = (0..3_000).map(|number| format!("n-{number}")).collect();
    let lines: Vec<_> = ids
        .iter()
        .map(|id| format!("{{\"id\":\"{id}\"}}"))
        .collect();
    let lines = lines.join("\n");
    let all = send(server.address, "POST", CONSIGNMENTS, &[NDJSON], &lines).is(201);
    assert_eq!(all.json()["created"], 3_000);
    assert_eq!(stored(&server, home.path()), ids);
}

#[test]
fn what_is_wrong_is_told_with_its_field_and_place_and_nothing_is_stored() {
    let home = folder();
    let server = Server::start(home.path());
    for (body, field, line, column) in [
        (r#"{"weight": -1}"#, "weight", 1, 12),
        (r#"{"weigth": 1}"#, "", 1, 2),
        (
            r#"[{}, {"containers": [{"origin": 5}]}]"#,
            "[1].containers[0].origin",
            1,
            33,
        ),
        ("{}\n{\"id\": \"a b\"}", "id", 2, 8),
        ("{}\n{\"weigth\": 1}", "", 2, 2),
        ("", "", 0, 0),
        ("[]", "", 0, 0),
        ("{", "", 1, 2),
        ("nonsense", "", 1, 1),
    ] {
        let refused = send(server.address, "POST", CONSIGNMENTS, &[JSON], body).is(400);
        let (code, fields) = refused.refusal();
        assert_eq!(code, "INVALID_ARGUMENT");
        let first = &refused.json()["error"]["fields"][0];
        if line == 0 {
            assert!(fields.is_empty(), "{refused:?}");
        } else {
            assert_eq!(fields, [field], "{refused:?}");
            assert_eq!(
                (&first["line"], &first["column"]),
                (&json!(line), &json!(column))
            );
        }
    }
    assert!(stored(&server, home.path()).is_empty());
}

#[test]
fn other_types_and_codings_are_not_taken() {
    let home = folder();
    let server = Server::start(home.path());
    let post = |headers: &[&str]| send(server.address, "POST", CONSIGNMENTS, headers, "{}");
    for headers in [
        &[][..],
        &["Content-Type: text/plain"],
        &["Content-Type: application/x-www-form-urlencoded"],
        &["Content-Type: multipart/form-data; boundary=x"],
        &["Content-Type: application/grpc"],
        &["Content-Type: application/jsonx"],
        &["Content-Type: application/json; charset=latin1"],
        &[JSON, "Content-Encoding: gzip"],
    ] {
        let (_, fields) = post(headers).is(415).refusal();
        assert!(fields[0].starts_with("Content-"), "{headers:?}");
    }
    assert!(stored(&server, home.path()).is_empty());
    for kind in [
        "application/json; charset=UTF-8",
        "Application/JSON",
        "application/x-ndjson",
    ] {
        post(&[&format!("Content-Type: {kind}")]).is(201);
    }
}

#[test]
fn what_is_too_large_is_refused_with_what_to_do() {
    let home = folder();
    let server = Server::start(home.path());
    let long = format!("[{}{{}}]", " ".repeat(4 * 1024 * 1024));
    let many = "{}\n".repeat(10_001);
    for body in [long, many] {
        let refused = send(server.address, "POST", CONSIGNMENTS, &[JSON], &body).is(413);
        assert!(refused.body.contains("shippy create"), "{refused:?}");
    }
    // Also where its length is not announced.
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000)).repeat(65);
    let mut stream = answer::open(server.address);
    let head = format!(
        "POST {CONSIGNMENTS} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let sent = std::io::Write::write_all(&mut stream, format!("{head}{chunk}0\r\n\r\n").as_bytes());
    drop(sent);
    answer::Answer::read(&mut stream).is(413);
    assert!(stored(&server, home.path()).is_empty());
}

/// Each is three bytes of text, and thirty times as many where it is decoded.
#[test]
fn bodies_full_of_containers_take_little_memory_together() {
    const MOST_KIB: u64 = 160 * 1024;
    let home = folder();
    let server = Server::start(home.path());
    let count = 1_398_000;
    let containers = vec!["{}"; count].join(",");
    let body = format!("{{\"containers\":[{containers}]}}");
    std::thread::scope(|scope| {
        for _ in 0..7 {
            scope.spawn(|| {
                let refused = send(server.address, "POST", CONSIGNMENTS, &[JSON], &body).is(400);
                let said = format!("has {count} containers; at most 1000 are allowed");
                assert!(refused.body.contains(&said), "{refused:?}");
                assert_eq!(refused.refusal().1, ["containers"]);
            });
        }
    });
    let peak = memory::peak(server.pid()).unwrap();
    assert!(peak < MOST_KIB, "{peak} KiB");
}
