//! What a command does when a server is dead or dies: another of the same register may answer, another register never.

use std::{path::PathBuf, time::Duration};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{fill, many};
use crate::{
    cli::{file, stored},
    running::Running,
    support::{Ran, Server, folder, free_address, run, shippy},
};

/// Longer than one attempt gets, and shorter than a stream may take to show progress.
const HANG: Duration = Duration::from_millis(1_500);

/// Two servers of registers of their own, and their folders.
fn two(home: &TempDir) -> [(Server, PathBuf); 2] {
    ["a", "b"].map(|name| {
        let folder = home.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        (Server::start(&folder), folder)
    })
}

/// `args` with a `--server` for each of `servers`.
fn asking(home: &TempDir, args: &[&str], servers: &[&str]) -> std::process::Command {
    let mut command = shippy(home.path());
    command.args(args);
    for server in servers {
        command.args(["--server", server]);
    }
    command
}

#[test]
fn a_dead_server_is_passed_over() {
    let home = folder();
    let server = Server::start(home.path());
    let dead = free_address();
    let alive = server.address.to_string();
    for servers in [[&*dead, &*alive], [&*alive, &*dead]] {
        let create = ["create", "consignment.json"];
        let ran = run(&mut asking(&home, &create, &servers)).exits(0);
        assert_eq!(ran.stderr, "shippy: 1 created\n");
        run(&mut asking(&home, &["list"], &servers)).exits(0);
    }
    assert_eq!(stored(&server, home.path()).len(), 2);
}

#[test]
fn of_two_registers_the_first_that_answers_gets_everything() {
    // It is the one that is named first, unless a busy machine has that one answer late.
    let mut is_first = false;
    for _ in 0..5 {
        let home = folder();
        let [(a, a_home), (b, b_home)] = two(&home);
        let servers = [&*a.address.to_string(), &*b.address.to_string()];
        let path = file(home.path(), "many.ndjson", many(20, 0));
        run(&mut asking(&home, &["create", &path], &servers)).exits(0);
        let counts = [stored(&a, &a_home).len(), stored(&b, &b_home).len()];
        assert!([[20, 0], [0, 20]].contains(&counts), "{counts:?}");
        is_first = counts[0] == 20;
        if is_first {
            break;
        }
    }
    assert!(is_first, "never the one that is named first");
}

#[test]
fn a_server_that_hangs_before_it_was_asked_for_anything_is_passed_over() {
    let home = folder();
    let [(a, a_home), (b, b_home)] = two(&home);
    let servers = [&*a.address.to_string(), &*b.address.to_string()];
    a.signal(Signal::STOP);
    let create = ["create", "consignment.json", "--timeout", "20s"];
    run(&mut asking(&home, &create, &servers)).exits(0);
    a.signal(Signal::CONT);
    assert!(stored(&a, &a_home).is_empty());
    assert_eq!(stored(&b, &b_home).len(), 1);
}

#[test]
fn when_the_register_dies_midway_another_one_gets_nothing() {
    let home = folder();
    let [(a, a_home), (b, b_home)] = two(&home);
    let path = file(home.path(), "many.ndjson", many(30_000, 0));
    let mut command = a.ask(home.path(), &["create", &path]);
    command.args(["--server", &b.address.to_string(), "--timeout", "15s"]);
    let (ran, printed) = after_first_line(&mut command, || a.kill());
    let ran = ran.exits(3);
    ran.says(&[
        "of 30,000 are stored",
        &format!("another register, {}", b.register),
    ]);
    assert!(stored(&b, &b_home).is_empty());
    // What it had printed is kept.
    let a = Server::start(&a_home);
    let kept = stored(&a, &a_home);
    assert!(
        kept.starts_with(&printed),
        "{} printed, {} kept",
        printed.len(),
        kept.len()
    );
    assert!(kept.len() < 30_000);
}

#[test]
fn when_the_register_dies_midway_a_list_does_not_go_on_with_another_one() {
    let home = folder();
    let [(a, a_home), (b, b_home)] = two(&home);
    fill(&a, &a_home);
    let other = file(
        home.path(),
        "other.json",
        r#"[{"id":"other-1"},{"id":"other-2"}]"#,
    );
    run(&mut b.ask(&b_home, &["create", &other])).exits(0);
    let mut command = a.ask(home.path(), &["list", "-o", "ndjson"]);
    command.args(["--server", &b.address.to_string(), "--timeout", "15s"]);
    let (ran, printed) = after_first_line(&mut command, || a.kill());
    ran.exits(3).says(&["another register"]);
    assert!(printed.len() < 60);
    assert!(printed.iter().all(|line| line.contains("tea-")));
}

#[test]
fn a_register_that_hangs_midway_is_waited_for_and_goes_on() {
    let home = folder();
    let server = Server::start(home.path());
    fill(&server, home.path());
    let list = ["list", "-o", "ndjson", "--timeout", "20s"];
    let mut command = server.ask(home.path(), &list);
    let pause = || {
        server.signal(Signal::STOP);
        std::thread::sleep(HANG);
        server.signal(Signal::CONT);
    };
    let (ran, printed) = after_first_line(&mut command, pause);
    ran.exits(0);
    assert_eq!(printed.len(), 60);
}

/// Runs `command` to its end, with `act` once it has printed a line; how it ended and the lines.
fn after_first_line(command: &mut std::process::Command, act: impl FnOnce()) -> (Ran, Vec<String>) {
    use std::io::BufRead as _;

    let mut running = Running::start(command);
    let stdout = running.child.stdout.take().unwrap();
    let mut lines = std::io::BufReader::new(stdout).lines();
    let mut printed = vec![lines.next().unwrap().unwrap()];
    act();
    printed.extend(lines.map(Result::unwrap));
    (running.end(), printed)
}
