//! Where a server listens, and where it sends its clients.

use std::process::Command;

use super::serve_with;
use crate::support::{Ran, Server, folder, own_name, run, shippy};

/// `shippy health`, which finds the server by its name.
fn health(home: &std::path::Path, name: &str) -> Ran {
    run(shippy(home).args(["health", "--name", name])).exits(0)
}

#[test]
fn a_server_on_ipv6_alone_is_found_and_called() {
    let home = folder();
    let name = own_name();
    let server = serve_with(home.path(), &name, &["--address", "[::1]:0"]);
    assert!(server.address.is_ipv6());
    let at = format!(" at {}, ", server.address);
    assert!(health(home.path(), &name).stdout.contains(&at));
    let create = ["create", "consignment.json", "--name", &name];
    let created = run(shippy(home.path()).args(create)).exits(0);
    let listed = run(&mut server.ask(home.path(), &["list"])).exits(0);
    assert!(listed.stdout.contains(created.stdout.trim()), "{listed:#?}");
}

/// Whether its clients find the server at its second address, where they do not reach the first.
fn check_second_address(advertise: impl FnOnce(&mut Command)) {
    let home = folder();
    let server = Server::start_with(home.path(), |command| advertise(command));
    let name = server.ready.split(' ').nth(2).unwrap();
    let health = health(home.path(), name);
    let at = format!(" at 127.0.0.1:{}, ", server.address.port());
    assert!(health.stdout.contains(&at), "{health:#?}");
}

// Nothing listens at port 1 of 127.0.0.9.

#[test]
fn of_several_advertised_addresses_the_one_that_answers_is_used() {
    check_second_address(|serve| {
        serve.args(["--advertise", "127.0.0.9:1", "--advertise", "127.0.0.1:0"]);
    });
}

#[test]
fn the_setting_of_the_go_services_takes_several_addresses_too() {
    check_second_address(|serve| {
        serve.env("MICRO_SERVER_ADVERTISE", "127.0.0.9:1,127.0.0.1:0");
    });
}

#[test]
fn an_address_to_advertise_that_is_none_is_refused() {
    let home = folder();
    for address in [":50051", "depot", "127.0.0.1:1,[::1", "::1:50051"] {
        let ran = run(shippy(home.path()).args(["serve", "--advertise", address]));
        ran.exits(2).says(&["--advertise"]);
    }
}
