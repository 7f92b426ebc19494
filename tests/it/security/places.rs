//! Where a client sends its token, and where not.

use std::{io::Read as _, net::TcpListener, thread};

use super::{Authority, list, serve, token};
use crate::{
    cli::file,
    running::run_to_end,
    support::{SOON, Server, folder, host::Host, own_name, run, shippy},
};

#[test]
fn a_token_goes_in_clear_only_to_this_machine_and_only_where_it_is_named() {
    let home = folder();
    let (secret, line) = token(home.path(), "crane", "read");
    let tokens = file(home.path(), "tokens", line);
    let name = own_name();
    let mut command = shippy(home.path());
    command.args([
        "serve", "--store", "memory:", "--name", &name, "--tokens", &tokens,
    ]);
    let server = Server::spawn(command, home.path());
    run(list(&server, home.path(), &[]).env("SHIPPY_TOKEN", &secret)).exits(0);
    let mut found = shippy(home.path());
    found.args(["list", "--name", &name, "--timeout", "10m"]);
    run_to_end(found.env("SHIPPY_TOKEN", &secret))
        .exits(1)
        .says(&["the token was not sent", "that was found", "--tls-ca"]);
    assert!(!server.logged().contains("turned"), "{}", server.logged());
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_a_token_does_not_leave_the_machine_in_clear() {
    let host = Host::new();
    // One that others would reach it at.
    host.network.add_address("lo", "192.0.2.7/32");
    let (listener, address) = host.network.inside(|| {
        let listener = TcpListener::bind("192.0.2.7:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    });
    let listening = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut heard = Vec::new();
        // A reset says the same: nothing.
        let _ = stream.read_to_end(&mut heard);
        heard
    });
    let mut command = host.shippy(&["list", "--timeout", "10m", "--server", &address]);
    run_to_end(command.env("SHIPPY_TOKEN", "shippy_secret"))
        .exits(1)
        .says(&["the token was not sent", "leaves this machine", "--tls-ca"]);
    assert_eq!(listening.join().unwrap(), b"");
}

#[test]
fn a_token_goes_by_tls_only_to_a_server_that_is_verified() {
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let other = Authority::new(home.path(), "other");
    let (secret, line) = token(home.path(), "crane", "read");
    let tokens = file(home.path(), "tokens", line);
    let pair = authority.server(home.path(), "shippy");
    let server = serve(
        home.path(),
        &[&pair.args()[..], &["--tokens", &tokens]].concat(),
    );
    let trusting = |ca: &str| {
        let mut command = list(&server, home.path(), &["--tls-ca", ca]);
        run_to_end(command.env("SHIPPY_TOKEN", &secret))
    };
    trusting(&authority.file).exits(0);
    trusting(&other.file).exits(1);
}

#[test]
fn health_takes_no_token_and_sends_none() {
    let home = folder();
    let (_, line) = token(home.path(), "crane", "read");
    let tokens = file(home.path(), "tokens", line);
    let mut command = shippy(home.path());
    let name = own_name();
    command.args([
        "serve", "--store", "memory:", "--name", &name, "--tokens", &tokens,
    ]);
    let server = Server::spawn(command, home.path());
    run(&mut server.ask(home.path(), &["health"])).exits(0);
    let mut found = shippy(home.path());
    found.args(["health", "--name", &name, "--timeout", "20s"]);
    run(found.env("SHIPPY_TOKEN", "shippy_secret")).exits(0);
    assert!(!server.logged().contains("turned"), "{}", server.logged());
}
