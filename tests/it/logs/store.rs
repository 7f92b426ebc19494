//! Which requests the store names.

use std::{
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use serde_json::json;

use super::{Server, answer, eventually, folder, in_json, request, saying};
use crate::cli::serve_with;

/// Longer than what counts as a slow commit.
const SLOW: Duration = Duration::from_millis(1_200);

/// Creates `consignment` by a request with `id`; the status.
fn create(server: &Server, id: &str, consignment: &str) -> u16 {
    let id = format!("X-Request-ID: {id}");
    let headers = ["Content-Type: application/json", &id];
    answer::send(
        server.address,
        "POST",
        "/v1/consignments",
        &headers,
        consignment,
    )
    .status
}

#[test]
fn a_request_is_followed_to_its_commit() {
    let home = folder();
    let server = Server::start_with(home.path(), in_json);
    assert_eq!(create(&server, "first", r#"{"id": "tea-1"}"#), 201);
    let both = r#"[{"id": "tea-2"}, {"id": "tea-1", "weight": 7}]"#;
    assert_eq!(create(&server, "second", both), 409);
    // Nobody gave this one an id, and it has the same in both lines.
    answer::send(
        server.address,
        "POST",
        "/v1/consignments",
        &["Content-Type: application/json"],
        "{}",
    )
    .is(201);
    let line = request(&server, |line| {
        line["code"] == "OK" && line["id"] != "first"
    });
    let made = line["id"].as_str().unwrap();
    let committed = saying(&server, "committed");
    let named: Vec<_> = committed.iter().map(|line| &line["requests"]).collect();
    assert_eq!(named, ["first", "second", made]);
    let counts: Vec<_> = committed.iter().map(|line| &line["consignments"]).collect();
    assert_eq!(counts, [1, 2, 1]);
    let conflicts = saying(&server, "another consignment has this id");
    let expected = json!({
        "message": "another consignment has this id", "request": "second", "consignment": "tea-1", "sequence": 1,
    });
    assert_eq!(conflicts, [expected]);
}

#[test]
fn a_slow_commit_is_warned_of_with_those_who_waited() {
    let home = folder();
    let server = serve_with(
        home.path(),
        "slow",
        &["--log-format", "json", "--registry", "static"],
    );
    let held = Connection::open(home.path().join("register.db")).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    thread::scope(|scope| {
        let creating = scope.spawn(|| create(&server, "waiting", r#"{"id": "tea-1"}"#));
        eventually("it is at the writer", || {
            let metrics = answer::get(server.address, "/metrics", &[]).body;
            let is_empty = metrics
                .lines()
                .any(|line| line.starts_with("shippy_queue_bytes 0"));
            (!is_empty).then_some(())
        });
        let since = Instant::now();
        eventually("it has waited", || (since.elapsed() > SLOW).then_some(()));
        held.execute_batch("ROLLBACK").unwrap();
        assert_eq!(creating.join().unwrap(), 201);
    });
    let log = std::fs::read_to_string(&server.log).unwrap();
    let slow: Vec<_> = (super::objects(&log).into_iter())
        .filter(|line| line["level"] == "WARN")
        .collect();
    let [slow] = &slow[..] else {
        panic!("{slow:#?}")
    };
    let message = slow["fields"]["message"].as_str().unwrap();
    assert!(message.starts_with("a commit took "), "{slow}");
    assert_eq!(slow["fields"]["requests"], "waiting");
}

#[test]
fn a_failed_commit_is_told_with_those_who_asked_for_it() {
    let home = folder();
    let server = serve_with(
        home.path(),
        "failing",
        &["--log-format", "json", "--registry", "static"],
    );
    let other = Connection::open(home.path().join("register.db")).unwrap();
    let insert = "INSERT INTO consignment (id, created_at, body) VALUES ('x', 0, x'')";
    other.execute(insert, []).unwrap();
    assert_eq!(create(&server, "third", "{}"), 500);
    let log = std::fs::read_to_string(&server.log).unwrap();
    let failed =
        (super::objects(&log).into_iter()).find(|line| line["fields"]["requests"] == "third");
    let failed = failed.unwrap_or_else(|| panic!("{log}"));
    let message = failed["fields"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("could not commit: the register is damaged"),
        "{failed}"
    );
    assert_eq!(
        (&failed["level"], &failed["fields"]["consignments"]),
        (&json!("WARN"), &json!(1))
    );
}
