//! `list --follow`: over restarts of the server, to the end that its user gives it.

use std::{
    io::{BufRead as _, BufReader, Lines},
    path::Path,
    process::ChildStdout,
};

use rustix::process::Signal;
use shippy::proto::Consignment;

use super::serve_with;
use crate::{
    running::{Running, run_to_end},
    support::{Server, folder, free_address, own_name, run, shippy},
};

/// `shippy list --follow` under way, and the lines that it prints.
fn follow(home: &Path, server: &Server) -> (Running, Lines<BufReader<ChildStdout>>) {
    let args = ["list", "--follow", "-o", "ndjson"];
    let mut running = Running::start(&mut server.ask(home, &args));
    let lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
    (running, lines)
}

fn create(home: &Path, server: &Server) -> String {
    let created = run(&mut server.ask(home, &["create", "consignment.json"])).exits(0);
    created.stdout.trim().to_owned()
}

#[test]
fn it_goes_on_over_restarts_of_the_server_without_a_gap_or_a_repeat() {
    let home = folder();
    let name = own_name();
    // One that nobody else takes while the server is away.
    let address = free_address();
    let mut server = serve_with(home.path(), &name, &["--address", &address]);
    let (following, mut lines) = follow(home.path(), &server);
    for round in 1..=3 {
        for number in 1..=5 {
            let id = create(home.path(), &server);
            let line = lines.next().expect("it does not end").unwrap();
            let listed: Consignment = serde_json::from_str(&line).unwrap();
            assert_eq!((listed.id, listed.sequence), (id, (round - 1) * 5 + number));
        }
        server.kill();
        server = serve_with(home.path(), &name, &["--address", &address]);
    }
    drop(following);
}

#[test]
fn an_interrupt_is_how_it_ends_well() {
    let home = folder();
    let server = Server::start(home.path());
    for signal in [Signal::INT, Signal::TERM] {
        let (following, mut lines) = follow(home.path(), &server);
        create(home.path(), &server);
        lines.next().expect("it does not end").unwrap();
        following.signal(signal);
        let ended = following.end().exits(0);
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn a_server_that_stays_away_is_told() {
    let home = folder();
    let server = Server::start(home.path());
    let (following, mut lines) = follow(home.path(), &server);
    create(home.path(), &server);
    lines.next().expect("it does not end").unwrap();
    server.kill();
    following.end().exits(3).says(&["no server answered"]);
}

#[test]
fn json_that_must_end_is_refused() {
    let home = folder();
    let mut command = shippy(home.path());
    command.args(["list", "-f", "-o", "json"]);
    run_to_end(&mut command).exits(2).says(&["-o ndjson"]);
}
