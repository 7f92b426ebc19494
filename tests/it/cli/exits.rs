//! How commands end when all is not well, and what they say then.

use std::{
    fs::File,
    process::{Command, Stdio},
};

use rustix::process::Signal;

use super::stored;
use crate::{
    running::Running,
    support::{Server, folder, free_address, own_name, run, run_until, shippy},
};

#[test]
fn where_no_server_is_found_it_says_what_was_asked_and_what_to_try() {
    let home = folder();
    let name = own_name();
    for args in [&["list"][..], &["create", "consignment.json"], &["health"]] {
        let mut command = shippy(home.path());
        command
            .args(args)
            .args(["--name", &name, "--timeout", "300ms"]);
        let ran = run(&mut command).exits(3).says(&[
            "no server found",
            "mDNS",
            &name,
            "shippy serve --lan",
            "--server",
            "--network host",
            "5353",
            "--name",
        ]);
        assert_eq!(ran.stdout, "", "{ran:#?}");
    }
}

#[test]
fn where_nobody_answers_it_names_the_address() {
    let home = folder();
    let closed = free_address();
    for args in [&["list"][..], &["create", "consignment.json"], &["health"]] {
        let mut command = shippy(home.path());
        command
            .args(args)
            .args(["--server", &closed, "--timeout", "1s"]);
        let ran = run(&mut command).exits(3);
        let ran = ran.says(&[
            "no server answered",
            &closed,
            "refused",
            "see that the server runs",
        ]);
        assert_eq!(ran.stdout, "", "{ran:#?}");
    }
}

#[test]
fn a_register_that_is_not_there_is_not_replaced_by_another() {
    let home = folder();
    let server = Server::start(home.path());
    let command = |args: &[&str]| {
        let mut command = server.ask(home.path(), args);
        command.args(["--register", "ffff"]);
        command
    };
    for args in [&["list"][..], &["create", "consignment.json"]] {
        run_until(|| command(args), 3, &["another register", &server.register]);
    }
    assert!(stored(&server, home.path()).is_empty());
}

#[test]
fn what_the_server_refuses_is_said_in_its_words() {
    let home = folder();
    let server = Server::start(home.path());
    let ran = run(&mut server.ask(home.path(), &["list", "--after", "7"])).exits(4);
    ran.says(&["after is 7", "newest consignment"]);
}

#[test]
fn health_says_who_answers() {
    let home = folder();
    let server = Server::start(home.path());
    let ran = run(&mut server.ask(home.path(), &["health"])).exits(0);
    let said = format!(
        "SERVING at {}, register {}\n",
        server.address, server.register
    );
    assert_eq!((&*ran.stdout, &*ran.stderr), (&*said, ""));
}

#[test]
fn an_interrupt_ends_a_wait_for_standard_input() {
    let home = folder();
    let server = Server::start(home.path());
    for signal in [Signal::INT, Signal::TERM] {
        let running = Running::start(&mut server.ask(home.path(), &["create", "-"]));
        running.signal(signal);
        let ran = running.end().exits(130);
        assert_eq!((&*ran.stdout, &*ran.stderr), ("", ""));
    }
    assert!(stored(&server, home.path()).is_empty());
}

#[test]
fn an_interrupt_ends_a_search() {
    let home = folder();
    let name = own_name();
    for args in [&["create", "consignment.json"][..], &["list"], &["health"]] {
        let mut command = shippy(home.path());
        command
            .args(args)
            .args(["--name", &name, "--timeout", "10m"]);
        let running = Running::start(&mut command);
        running.signal(Signal::INT);
        running.end().exits(130);
    }
}

#[test]
fn what_cannot_be_printed_is_a_failure() {
    let home = folder();
    let server = Server::start(home.path());
    run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
    for args in [
        &["create", "consignment.json"][..],
        &["list"],
        &["list", "-o", "json"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = server.ask(home.path(), args);
        let child = command
            .stdout(Stdio::from(full))
            .stderr(Stdio::piped())
            .spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(
            said.contains("could not print") && said.contains("No space left"),
            "{args:?}: {said}"
        );
    }
}

#[test]
fn a_message_that_nobody_reads_changes_no_exit_code() {
    let home = folder();
    let server = Server::start(home.path());
    let closed = free_address();
    let code_of = |command: &mut Command| {
        let mut running = Running::start(command);
        drop(running.child.stderr.take());
        running.end().code
    };
    assert_eq!(code_of(&mut server.ask(home.path(), &["list"])), Some(0));
    assert_eq!(
        code_of(shippy(home.path()).args(["list", "--server", &closed])),
        Some(3)
    );
    assert_eq!(
        code_of(shippy(home.path()).args(["create", "nowhere"])),
        Some(2)
    );
}
