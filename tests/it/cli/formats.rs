//! What `create` reads and `list` prints.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
};

use serde_json::{Value, json};

use super::{file, stored};
use crate::{
    running::Running,
    support::{Ran, Server, folder, run},
};

fn create(server: &Server, home: &Path, contents: impl AsRef<[u8]>) -> Ran {
    let path = file(home, "input.json", contents);
    run(&mut server.ask(home, &["create", &path]))
}

fn list(server: &Server, home: &Path, args: &[&str]) -> Ran {
    run(server.ask(home, &["list"]).args(args))
}

/// Runs `create -` with `input`, which must fit into a pipe.
fn create_from_stdin(server: &Server, home: &Path, input: &str) -> Ran {
    let mut running = Running::start(&mut server.ask(home, &["create", "-"]));
    let mut stdin = running.child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    running.end()
}

/// `count` consignments as NDJSON: tea-1 and so on, each with a text of `length` bytes.
fn many(count: usize, length: usize) -> String {
    let text = "x".repeat(length);
    let line = |number| format!("{{\"id\":\"tea-{number}\",\"description\":\"{text}\"}}\n");
    (1..=count).map(line).collect()
}

#[test]
fn every_form_of_input_is_stored_in_its_order_and_the_ids_are_printed() {
    let home = folder();
    let server = Server::start(home.path());
    for (input, ids) in [
        (r#"{"id":"a1"}"#, vec!["a1"]),
        ("{\n  \"id\": \"b1\"\n}\n", vec!["b1"]),
        (r#"[{"id":"c2"},{"id":"c1"}]"#, vec!["c2", "c1"]),
        ("{\"id\":\"d2\"}\n{\"id\":\"d1\"}\n\n", vec!["d2", "d1"]),
        ("\u{feff}{\"id\":\"e1\"}", vec!["e1"]),
        ("{\"id\":\"f1\"}\r\n{\"id\":\"f2\"}\r\n", vec!["f1", "f2"]),
        (r#"{"id":"g1","vesselId":"v","vessel_id":null}"#, vec!["g1"]),
    ] {
        let ran = create(&server, home.path(), input);
        if input.contains("vesselId") {
            // Both spellings of one key are one key, given twice.
            ran.exits(2);
            continue;
        }
        let ran = ran.exits(0);
        assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), ids, "{input}");
        assert!(
            ran.stderr
                .starts_with(&format!("shippy: {} created", ids.len())),
            "{ran:#?}"
        );
    }
    let all = ["a1", "b1", "c2", "c1", "d2", "d1", "e1", "f1", "f2"];
    assert_eq!(stored(&server, home.path()), all);
}

#[test]
fn standard_input_is_read_as_a_file_is() {
    let home = folder();
    let server = Server::start(home.path());
    let ran = create_from_stdin(&server, home.path(), "{\"id\":\"a\"}\n{\"id\":\"b\"}\n").exits(0);
    assert_eq!(ran.stdout, "a\nb\n");
    assert_eq!(stored(&server, home.path()), ["a", "b"]);
}

#[test]
fn an_id_that_is_left_out_is_made_up_and_printed() {
    let home = folder();
    let server = Server::start(home.path());
    let first = create(&server, home.path(), "{}{}").exits(0);
    let again = create(&server, home.path(), "{}{}").exits(0);
    let printed: Vec<_> = first.stdout.lines().chain(again.stdout.lines()).collect();
    assert_eq!(printed.len(), 4);
    assert_eq!(stored(&server, home.path()), printed);
}

#[test]
fn a_file_can_be_created_again_and_nothing_is_stored_twice() {
    let home = folder();
    let server = Server::start(home.path());
    for _ in 0..2 {
        let ran = create(&server, home.path(), r#"[{"id":"a"},{"id":"b"}]"#).exits(0);
        assert_eq!(ran.stdout, "a\nb\n");
    }
    assert_eq!(stored(&server, home.path()), ["a", "b"]);
}

#[test]
fn each_format_holds_the_same_consignments() {
    let home = folder();
    let server = Server::start(home.path());
    create(&server, home.path(), many(3, 2)).exits(0);
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();

    let table = list(&server, home.path(), &[]).exits(0);
    let lines: Vec<_> = table.stdout.lines().collect();
    assert!(
        lines[0].starts_with("SEQ") && lines[0].ends_with("DESCRIPTION"),
        "{table:#?}"
    );
    assert_eq!(lines.len(), 4);
    for (line, id) in lines[1..].iter().zip(["tea-1", "tea-2", "tea-3"]) {
        assert!(line.contains(id) && line.ends_with("xx"), "{table:#?}");
    }

    let ndjson = list(&server, home.path(), &["-o", "ndjson"]).exits(0);
    let lines: Vec<_> = ndjson.stdout.lines().map(parse).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["id"], "tea-2");
    // proto3 JSON has 64-bit numbers as texts, since many readers would round them.
    assert_eq!(lines[1]["sequence"], "2");
    assert!(lines[1]["created_at"].as_str().unwrap().ends_with('Z'));

    let array = list(&server, home.path(), &["--output", "json"]).exits(0);
    assert_eq!(parse(&array.stdout), json!(lines));
    for ran in [table, ndjson, array] {
        assert_eq!(ran.stderr, "", "{ran:#?}");
    }
}

#[test]
fn an_empty_register_prints_no_data_and_says_so() {
    let home = folder();
    let server = Server::start(home.path());
    for (format, data) in [("table", ""), ("ndjson", ""), ("json", "[]\n")] {
        let ran = list(&server, home.path(), &["-o", format]).exits(0);
        assert_eq!(
            (&*ran.stdout, &*ran.stderr),
            (data, "no consignments\n"),
            "{format}"
        );
    }
}

#[test]
fn a_list_is_cut_by_ids_limit_and_position() {
    let home = folder();
    let server = Server::start(home.path());
    create(&server, home.path(), many(5, 1)).exits(0);
    for (args, expected) in [
        (
            vec!["--id", "tea-4", "--id", "tea-2", "--id", "none"],
            vec!["tea-2", "tea-4"],
        ),
        (vec!["--id", "tea-5,tea-1"], vec!["tea-1", "tea-5"]),
        (vec!["--limit", "2"], vec!["tea-1", "tea-2"]),
        (vec!["--after", "3"], vec!["tea-4", "tea-5"]),
        (vec!["--after", "1", "--limit", "1"], vec!["tea-2"]),
        (vec!["--after", "5"], vec![]),
        (vec!["--id", "none"], vec![]),
    ] {
        let ran = run(server
            .ask(home.path(), &["list", "-o", "ndjson"])
            .args(&args))
        .exits(0);
        let id = |line| serde_json::from_str::<Value>(line).unwrap()["id"].clone();
        let ids: Vec<_> = ran.stdout.lines().map(id).collect();
        assert_eq!(ids, expected, "{args:?}");
    }
}

#[test]
fn what_one_register_lists_another_creates() {
    let home = folder();
    let (from, into) = (home.path().join("from"), home.path().join("into"));
    for folder in [&from, &into] {
        std::fs::create_dir(folder).unwrap();
    }
    let (one, two) = (Server::start(&from), Server::start(&into));
    let odd = json!([
        {"id": "a", "description": "Zürich, 東京 👩‍🚀", "weight": 2_147_483_647},
        {"id": "b", "description": "\u{1b}[2J\n\t\"\\\u{7f}\u{202e}", "vessel_id": "=1+1"},
        {"id": "c", "containers": [{}, {"origin": "Leith", "customer_id": "", "user_id": "u"}]},
        {"id": "d"},
    ]);
    create(&one, &from, odd.to_string()).exits(0);
    let contents = |server: &Server, home: &Path| {
        let listed = list(server, home, &["-o", "json"]).exits(0);
        let mut listed: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
        for consignment in &mut listed {
            consignment.as_object_mut().unwrap().remove("created_at");
        }
        listed
    };
    for format in ["ndjson", "json"] {
        let listed = list(&one, &from, &["-o", format]).exits(0);
        let ran = create_from_stdin(&two, &into, &listed.stdout).exits(0);
        assert_eq!(ran.stdout, "a\nb\nc\nd\n", "{format}");
        assert_eq!(contents(&two, &into), contents(&one, &from), "{format}");
    }
    assert_eq!(
        contents(&two, &into)[1]["description"],
        odd[1]["description"]
    );
}

#[test]
fn a_list_that_nobody_reads_to_its_end_is_done() {
    let home = folder();
    let server = Server::start(home.path());
    // Far more than a pipe holds.
    create(&server, home.path(), many(400, 2_000)).exits(0);
    for format in ["table", "json", "ndjson"] {
        let mut running = Running::start(&mut server.ask(home.path(), &["list", "-o", format]));
        let mut first = String::new();
        let mut reader = BufReader::new(running.child.stdout.take().unwrap());
        reader.read_line(&mut first).unwrap();
        drop(reader);
        let ran = running.end().exits(0);
        assert_eq!(ran.stderr, "", "{format}");
    }
}

#[test]
fn a_create_whose_ids_nobody_reads_stores_everything() {
    let home = folder();
    let server = Server::start(home.path());
    let path = file(home.path(), "many.ndjson", many(20, 1));
    let mut running = Running::start(&mut server.ask(home.path(), &["create", &path]));
    drop(running.child.stdout.take());
    running.end().exits(0).says(&["shippy: 20 created"]);
    assert_eq!(stored(&server, home.path()).len(), 20);
}

#[test]
fn a_list_is_cut_by_conditions_and_begins_with_the_newest_when_asked() {
    let home = folder();
    let server = Server::start(home.path());
    let input = r#"{"id":"tea","vessel_id":"v1","containers":[{"customer_id":"ann","user_id":"u1","origin":"Leith"}]}
        {"id":"rum","vessel_id":"v2","containers":[{"customer_id":"ann","user_id":"u2","origin":"Porto"}]}
        {"id":"silk","vessel_id":"v1","containers":[{"customer_id":"bob","user_id":"u1","origin":"Leith"}]}"#;
    create(&server, home.path(), input).exits(0);
    for (args, expected) in [
        (&["--vessel", "v1"][..], &["tea", "silk"][..]),
        (&["--customer", "ann"], &["tea", "rum"]),
        (&["--user", "u1", "--vessel", "v1"], &["tea", "silk"]),
        (&["--origin", "Porto", "--vessel", "v1"], &[]),
        (&["--newest"], &["silk", "rum", "tea"]),
        (&["--newest", "--limit", "1"], &["silk"]),
        (&["--newest", "--customer", "ann", "--after", "1"], &["rum"]),
        (&["--since", "1h"], &["tea", "rum", "silk"]),
        (&["--until", "1h"], &[]),
        (&["--since", "2100-01-01T00:00:00Z"], &[]),
        (
            &["--since", "2000-01-01T00:00:00+02:00"],
            &["tea", "rum", "silk"],
        ),
        (&["--since", "3h", "--until", "0s"], &["tea", "rum", "silk"]),
    ] {
        let ran = list(&server, home.path(), &[args, &["-o", "ndjson"]].concat()).exits(0);
        let lines = ran
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone());
        assert_eq!(lines.collect::<Vec<_>>(), expected, "{args:?}");
        let said = if expected.is_empty() {
            "no such consignments\n"
        } else {
            ""
        };
        assert_eq!(ran.stderr, said, "{args:?}");
    }
    for time in ["yesterday", "5x", "", "2026-13-01T00:00:00Z"] {
        let ran = list(&server, home.path(), &["--since", time]).exits(2);
        ran.says(&["--since"]);
    }
    for (since, until) in [
        ("2h", "3h"),
        ("2h", "2h"),
        ("2026-11-22T14:00:00Z", "2026-11-22T14:00:00Z"),
        ("2026-11-22T14:00:00.000001Z", "2026-11-22T14:00:00Z"),
    ] {
        let ran = list(&server, home.path(), &["--since", since, "--until", until]);
        ran.exits(2).says(&["--since is not before --until"]);
    }
    list(&server, home.path(), &["--newest", "--follow"]).exits(2);
}
