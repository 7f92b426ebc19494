//! What is checked before anything is sent, and `--check`, which does no more.

use std::process::Stdio;

use super::{create_alone, own_batch, weighed};
use crate::{
    cli::{file, stored},
    support::{Server, folder, run},
};

#[test]
fn a_check_needs_no_server_and_says_how_many_are_good() {
    let home = folder();
    for (contents, said) in [
        ("{}".to_owned(), "1 consignment, all good"),
        (weighed(1_234), "1,234 consignments, all good"),
        ("[{},\n{}]".to_owned(), "2 consignments, all good"),
    ] {
        let path = file(home.path(), "in.json", contents);
        let ran = run(&mut create_alone(home.path(), &["--check", &path])).exits(0);
        let said = format!("shippy: {path}: {said}\n");
        assert_eq!((&*ran.stdout, &*ran.stderr), ("", &*said));
        let quiet = run(&mut create_alone(home.path(), &["--check", "-q", &path])).exits(0);
        assert_eq!((&*quiet.stdout, &*quiet.stderr), ("", ""));
    }
}

#[test]
fn a_check_of_standard_input_reads_all_of_it() {
    let home = folder();
    let path = file(home.path(), "in.json", weighed(10) + "{\"weight\":-1}");
    let input = std::fs::File::open(&path).unwrap();
    let mut command = create_alone(home.path(), &["--check", "-"]);
    run(command.stdin(Stdio::from(input)))
        .exits(2)
        .says(&["<stdin>:11:11", "below 0"]);
}

#[test]
fn a_violation_in_the_last_of_many_records_is_found_before_anything_is_sent() {
    let home = folder();
    let server = Server::start(home.path());
    let path = file(
        home.path(),
        "in.ndjson",
        weighed(20_000) + "{\"weight\":-1}\n",
    );
    for args in [&["create", &path][..], &["create", "--check", &path]] {
        let ran = run(&mut server.ask(home.path(), args)).exits(2);
        let ran = ran.says(&[&format!("{path}:20001:11"), "record 20001", "below 0"]);
        assert_eq!(ran.stdout, "");
    }
    assert!(stored(&server, home.path()).is_empty());
}

#[test]
fn a_check_does_not_go_with_a_batch() {
    let home = folder();
    let batch = own_batch();
    let args = ["--check", "--resume", &batch, "consignment.json"];
    run(&mut create_alone(home.path(), &args))
        .exits(2)
        .says(&["--check", "--resume"]);
}
