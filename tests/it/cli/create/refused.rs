//! Records that the server refuses: each is told, and the rest is stored.

use std::fmt::Write as _;

use crate::{
    cli::{file, stored},
    support::{Server, folder, run},
};

#[test]
fn a_refused_record_is_told_with_its_line_and_does_not_stop_the_rest() {
    let home = folder();
    let server = Server::start(home.path());
    let good = file(home.path(), "good.json", r#"{"id":"b","weight":1}"#);
    run(&mut server.ask(home.path(), &["create", &good])).exits(0);
    let other = file(
        home.path(),
        "other.ndjson",
        "{\"id\":\"a\"}\n\n{\"id\":\"b\",\"weight\":2}\n{\"id\":\"c\"}\n{\"id\":\"a\"}\n{\"id\":\"a\",\"weight\":3}\n",
    );
    let ran = run(&mut server.ask(home.path(), &["create", &other])).exits(4);
    assert_eq!(ran.stdout, "a\nc\na\n");
    let advice = "give this one an id of its own";
    let expected = format!(
        "shippy: {other}:3: consignment b: another consignment has this id, with sequence number 1: {advice}\n\
         shippy: {other}:6: consignment a: another consignment has this id, with sequence number 2: {advice}\n\
         shippy: 2 created, 1 already there, 2 refused\n"
    );
    assert_eq!(without_time(&ran.stderr), expected);
    assert_eq!(stored(&server, home.path()), ["b", "a", "c"]);
    // Errors are told to those who want quiet too.
    let quiet = run(&mut server.ask(home.path(), &["create", "--quiet", &other])).exits(4);
    assert_eq!(quiet.stderr.lines().count(), 2, "{quiet:#?}");
}

#[test]
fn of_many_refused_records_the_first_are_told_and_the_others_counted() {
    let home = folder();
    let server = Server::start(home.path());
    let lines = |weight: i32| {
        let mut text = String::new();
        for number in 1..=1_000 {
            let _ = writeln!(text, "{{\"id\":\"tea-{number}\",\"weight\":{weight}}}");
        }
        text
    };
    let first = file(home.path(), "first.ndjson", lines(1));
    run(&mut server.ask(home.path(), &["create", &first])).exits(0);
    let second = file(home.path(), "second.ndjson", lines(2) + "{\"id\":\"new\"}");
    let ran = run(&mut server.ask(home.path(), &["create", &second])).exits(4);
    assert_eq!(ran.stdout, "new\n");
    assert_eq!(ran.stderr.matches("another consignment").count(), 20);
    ran.says(&[
        "second.ndjson:20: consignment tea-20",
        "980 more were refused",
        "1 created, 0 already there, 1,000 refused",
    ]);
}

/// What is said of a run on a machine of any speed.
fn without_time(said: &str) -> String {
    let lines = said.lines().map(|line| {
        let end = line.find(" in ").unwrap_or(line.len());
        line[..end].to_owned() + "\n"
    });
    lines.collect()
}
