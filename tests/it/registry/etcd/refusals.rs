//! What is said where etcd refuses, and how a server takes it.

use std::{path::Path, process::Command};

use super::{
    super::{certificate, command},
    Etcd, Server, Service as _, eventually, folder, own_name, run, shippy,
};
use crate::support::free_address;

/// `command` with a user.
fn logged_in(mut command: Command, user: &str, password: &str) -> Command {
    command.env("SHIPPY_REGISTRY_USER", user);
    command.env("SHIPPY_REGISTRY_PASSWORD", password);
    command
}

fn serve(etcd: &Etcd, home: &Path, name: &str) -> Command {
    etcd.shippy(home, &["serve", "--name", name, "--store", "memory:"])
}

#[test]
#[ignore = "needs etcd"]
fn etcd_that_asks_who_we_are_is_told() {
    let (etcd, home, name) = (Etcd::start(1), folder(), own_name());
    etcd.require_users("ann", "open sesame", "/micro/registry/");
    let list = || etcd.shippy(home.path(), &["list", "--name", &name, "--timeout", "1s"]);

    let nobody = run(&mut list()).exits(3);
    nobody.says(&[
        "user name is empty",
        "SHIPPY_REGISTRY_USER and SHIPPY_REGISTRY_PASSWORD",
    ]);
    let wrong = run(&mut logged_in(list(), "ann", "open barley")).exits(3);
    let wrong = wrong.says(&["authentication failed", "SHIPPY_REGISTRY_USER (ann)"]);
    assert!(!wrong.stderr.contains("barley"), "{wrong:#?}");
    run(list().env("SHIPPY_REGISTRY_USER", "ann"))
        .exits(2)
        .says(&["SHIPPY_REGISTRY_PASSWORD is not"]);

    let server = Server::spawn(
        logged_in(serve(&etcd, home.path(), &name), "ann", "open sesame"),
        home.path(),
    );
    run(&mut logged_in(list(), "ann", "open sesame")).exits(0);
    assert!(!server.logged().contains("sesame"));
    assert!(server.stop().success());
}

#[test]
#[ignore = "needs etcd"]
fn a_server_that_etcd_refuses_says_what_to_change_and_serves() {
    let (etcd, home, name) = (Etcd::start(1), folder(), own_name());
    etcd.require_users("ann", "open sesame", "");
    let server = Server::spawn(serve(&etcd, home.path(), &name), home.path());
    let log = server.logged();
    for text in [
        "WARN not announced",
        "--server",
        "SHIPPY_REGISTRY_USER",
        "tried again",
    ] {
        assert!(log.contains(text), "no {text:?} in {log}");
    }
    run(&mut server.ask(home.path(), &["list"])).exits(0);
    assert!(server.stop().success());
    // A user without the right to write there.
    let server = Server::spawn(
        logged_in(serve(&etcd, home.path(), &name), "ann", "open sesame"),
        home.path(),
    );
    let log = server.logged();
    for text in [
        "permission denied",
        "the user ann needs a role",
        "/micro/registry/",
    ] {
        assert!(log.contains(text), "no {text:?} in {log}");
    }
    // It is given one, and the server finds out.
    let token = etcd.call(
        "/v3/auth/authenticate",
        "",
        &serde_json::json!({"name": "root", "password": "root"}),
    );
    let token = token["token"].as_str().unwrap();
    let grant = serde_json::json!({"user": "ann", "role": "root"});
    etcd.call("/v3/auth/user/grant", token, &grant);
    eventually("the server is announced", || {
        server.logged().contains("announced in etcd").then_some(())
    });
}

#[test]
#[ignore = "needs etcd"]
fn a_server_logs_in_when_etcd_begins_to_ask_and_when_its_login_has_lapsed() {
    let (etcd, home, name) = (Etcd::start(1), folder(), own_name());
    let mut command = logged_in(serve(&etcd, home.path(), &name), "ann", "open sesame");
    // Seldomer than logins lapse.
    command.args(["--register-ttl", "4", "--register-interval", "1500ms"]);
    let server = Server::spawn(command, home.path());
    etcd.require_users("ann", "open sesame", "/micro/registry/");
    let list = || {
        let list = ["list", "--name", &name, "--timeout", "1s"];
        run(&mut logged_in(
            etcd.shippy(home.path(), &list),
            "ann",
            "open sesame",
        ))
    };
    let until = std::time::Instant::now() + 2 * super::super::kept::FORGOTTEN;
    while std::time::Instant::now() < until {
        list().exits(0);
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert!(!server.logged().contains("WARN"), "{}", server.logged());
}

#[test]
#[ignore = "needs etcd"]
fn a_user_where_etcd_asks_for_none_does_no_harm() {
    let (etcd, home, name) = (Etcd::start(1), folder(), own_name());
    let command = logged_in(serve(&etcd, home.path(), &name), "ann", "x");
    let server = Server::spawn(command, home.path());
    assert!(!server.logged().contains("WARN"), "{}", server.logged());
    etcd.list(home.path(), &name).exits(0);
}

#[test]
#[ignore = "needs etcd"]
fn tls_is_spoken_to_whom_the_authority_vouches_for() {
    let (home, name) = (folder(), own_name());
    let [trusted, key] = certificate(home.path(), "trusted");
    let [other, _] = certificate(home.path(), "other");
    let etcd = Etcd::start_with_tls(trusted.clone(), key);
    let address = format!("https://{}", etcd.addresses());
    let command = command(home.path(), "etcd", &name);
    let list = ["list", "--timeout", "1s"];
    let serve = ["serve", "--store", "memory:"];
    let server = Server::spawn(command(&serve, &trusted, &address), home.path());
    assert!(!server.logged().contains("WARN"), "{}", server.logged());
    run(&mut command(&list, &trusted, &address)).exits(0);
    for authority in ["", &other] {
        run(&mut command(&list, authority, &address))
            .exits(3)
            .says(&["invalid peer certificate", "--registry-ca"]);
    }
    run(&mut command(&list, "/nowhere.pem", &address))
        .exits(2)
        .says(&["/nowhere.pem", "No such file"]);
    // Neither side speaks TLS to one that does not.
    run(&mut command(&list, &trusted, &etcd.addresses()))
        .exits(3)
        .says(&["could not reach etcd", "https://"]);
    let plain = Etcd::start(1);
    let address = format!("https://{}", plain.addresses());
    run(&mut command(&list, &trusted, &address))
        .exits(3)
        .says(&["could not reach etcd", "https://"]);
}

#[test]
#[ignore = "needs etcd"]
fn what_is_not_etcd_is_told() {
    let home = folder();
    let shippy_itself = Server::start(home.path());
    let dead = free_address();
    for (address, said) in [
        (shippy_itself.address.to_string(), "not etcd's v3 API"),
        (dead.clone(), &*dead),
    ] {
        let mut command = shippy(home.path());
        command.args(["list", "--timeout", "1s", "--registry", "etcd"]);
        run(command.args(["--registry-address", &address]))
            .exits(3)
            .says(&[said, "--server"]);
    }
}
