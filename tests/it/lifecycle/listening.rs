//! How a server begins, and why it may not.

use std::{net::TcpListener, process::Stdio};

use rustix::process::Signal;

use crate::{
    running::{Running, run_to_end},
    support::{Server, eventually, folder, own_name, run, shippy},
};

#[test]
fn the_ready_line_says_where_and_what_is_served() {
    let home = folder();
    let name = own_name();
    let store = format!("sqlite:{}/depot.db", home.path().display());
    let server = Server::without_warnings(|| {
        let mut command = shippy(home.path());
        command.args(["serve", "--name", &name, "--store", &store]);
        Server::spawn(command, home.path())
    });
    let expected = format!(
        "shippy serves {name} on {}, store {store}, register {}, board http://{}/; this machine only: \
         `shippy serve --lan` opens it to the network",
        server.address, server.register, server.address
    );
    assert_eq!(server.ready, expected);
    assert!(server.address.ip().is_loopback() && server.address.port() != 0);
    let register: uuid::Uuid = server.register.parse().unwrap();
    assert_eq!(register.get_version_num(), 7);
}

#[test]
fn an_open_server_warns_once_that_anyone_can_write() {
    let home = folder();
    let mut command = shippy(home.path());
    let name = own_name();
    command.args(["serve", "--lan", "--store", "memory:", "--name", &name]);
    let server = Server::spawn(command, home.path());
    assert!(
        !server.ready.contains("this machine only"),
        "{}",
        server.ready
    );
    let board = format!(", board http://localhost:{}/", server.address.port());
    assert!(server.ready.ends_with(&board), "{}", server.ready);
    let log = server.logged();
    assert_eq!(log.matches("anyone who reaches").count(), 1, "{log}");
}

#[test]
fn a_port_that_is_taken_is_named_with_what_to_do() {
    let home = folder();
    for (host, bound) in [
        ("127.0.0.1", "127.0.0.1:0"),
        ("0.0.0.0", "0.0.0.0:0"),
        ("[::]", "[::]:0"),
        ("", "[::]:0"),
        ("", "0.0.0.0:0"),
    ] {
        let taken = TcpListener::bind(bound).unwrap();
        let port = taken.local_addr().unwrap().port();
        let address = format!("{host}:{port}");
        let ran = run_to_end(shippy(home.path()).args([
            "serve",
            "--store",
            "memory:",
            "--address",
            &address,
        ]));
        assert_eq!(ran.stdout, "", "{ran:#?}");
        ran.exits(1).says(&[
            &port.to_string(),
            "another program listens there",
            "--address",
        ]);
    }
}

#[test]
fn an_address_that_this_machine_does_not_have_is_named_with_what_to_do() {
    let home = folder();
    for (address, said) in [
        // Kept for documentation: no machine has it (RFC 5737).
        ("192.0.2.1:0", "this machine does not have that address"),
        // Longer than a label may be (RFC 1035 §2.3.4), so that nobody is asked.
        (&*format!("{}:0", "x".repeat(64)), "could not look up"),
    ] {
        let mut command = shippy(home.path());
        command.args(["serve", "--store", "memory:", "--address", address]);
        let ran = run_to_end(&mut command)
            .exits(1)
            .says(&[said, address.trim_end_matches(":0")]);
        assert_eq!(ran.stdout, "", "{ran:#?}");
    }
}

#[test]
fn a_server_that_fails_to_start_leaves_no_register_behind() {
    let home = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    run_to_end(shippy(home.path()).args(["serve", "--address", &address])).exits(1);
    assert!(!home.path().join(".local").exists());
}

#[test]
fn a_server_whose_output_nobody_reads_serves_on() {
    let home = folder();
    let name = own_name();
    let mut command = shippy(home.path());
    // The log has something to say all the time.
    command.args([
        "serve",
        "--name",
        &name,
        "--store",
        "memory:",
        "--log-level",
        "debug",
    ]);
    let mut running = Running::start(command.stdin(Stdio::null()));
    drop((running.child.stdout.take(), running.child.stderr.take()));
    let args = ["--name", &name, "--timeout", "20s"];
    eventually("an answer", || {
        let ran = run(shippy(home.path()).arg("health").args(args));
        (ran.code == Some(0)).then_some(())
    });
    run(shippy(home.path())
        .args(["create", "consignment.json"])
        .args(args))
    .exits(0);
    running.signal(Signal::TERM);
    running.end().exits(0);
}
