//! What is said where etcd refuses, and how a server takes it.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use super::{
    super::{certificate, command},
    Etcd, Server, Service as _, eventually, folder, own_name, run, shippy,
};
use crate::support::{free_address, run_until};

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

    let said = [
        "user name is empty",
        "SHIPPY_REGISTRY_USER and SHIPPY_REGISTRY_PASSWORD",
    ];
    run_until(list, 3, &said);
    let said = ["authentication failed", "SHIPPY_REGISTRY_USER (ann)"];
    let wrong = run_until(|| logged_in(list(), "ann", "open barley"), 3, &said);
    assert!(!wrong.stderr.contains("barley"), "{wrong:#?}");
    run(list().env("SHIPPY_REGISTRY_USER", "ann"))
        .exits(2)
        .says(&["SHIPPY_REGISTRY_PASSWORD is not"]);

    let server = Server::spawn(
        logged_in(serve(&etcd, home.path(), &name), "ann", "open sesame"),
        home.path(),
    );
    run_until(|| logged_in(list(), "ann", "open sesame"), 0, &[]);
    assert!(!server.logged().contains("sesame"));
    assert!(server.stop().success());
}

#[test]
#[ignore = "needs etcd"]
fn a_server_that_etcd_refuses_says_what_to_change_and_serves() {
    let (etcd, home, name) = (Etcd::start(1), folder(), own_name());
    etcd.require_users("ann", "open sesame", "");
    let texts = [
        "WARN not announced",
        "--server",
        "SHIPPY_REGISTRY_USER",
        "tried again",
    ];
    let server = Server::that_logs(
        || Server::spawn(serve(&etcd, home.path(), &name), home.path()),
        |log| texts.iter().all(|text| log.contains(text)),
    );
    run(&mut server.ask(home.path(), &["list"])).exits(0);
    assert!(server.stop().success());
    // A user without the right to write there.
    let texts = [
        "permission denied",
        "the user ann needs a role",
        "/micro/registry/",
    ];
    let command = || logged_in(serve(&etcd, home.path(), &name), "ann", "open sesame");
    let server = Server::that_logs(
        || Server::spawn(command(), home.path()),
        |log| texts.iter().all(|text| log.contains(text)),
    );
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
    command.args(["--register-ttl", "8", "--register-interval", "1500ms"]);
    let server = Server::spawn(command, home.path());
    etcd.require_users("ann", "open sesame", "/micro/registry/");
    let list = || {
        let list = etcd.shippy(home.path(), &["list", "--name", &name]);
        logged_in(list, "ann", "open sesame")
    };
    // Longer than it is kept without being renewed.
    let until = Instant::now() + Duration::from_secs(16);
    while Instant::now() < until {
        run(&mut list()).exits(0);
        std::thread::sleep(Duration::from_millis(200));
    }
    let log = server.logged();
    let of_login = |line: &&str| line.contains("user") || line.contains("auth");
    let warned: Vec<_> = (log.lines().filter(|line| line.contains("WARN")))
        .filter(of_login)
        .collect();
    assert_eq!(warned, [""; 0]);
}

#[test]
#[ignore = "needs etcd"]
fn a_user_where_etcd_asks_for_none_does_no_harm() {
    let (etcd, home, name) = (Etcd::start(1), folder(), own_name());
    let command = || logged_in(serve(&etcd, home.path(), &name), "ann", "x");
    let _server = Server::without_warnings(|| Server::spawn(command(), home.path()));
    etcd.lists(home.path(), &name);
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
    let start = || Server::spawn(command(&serve, &trusted, &address), home.path());
    let _server = Server::without_warnings(start);
    run_until(|| command(&list, &trusted, &address), 0, &[]);
    for authority in ["", &other] {
        let said = ["invalid peer certificate", "--registry-ca"];
        run_until(|| command(&list, authority, &address), 3, &said);
    }
    run(&mut command(&list, "/nowhere.pem", &address))
        .exits(2)
        .says(&["/nowhere.pem", "No such file"]);
    // Neither side speaks TLS to one that does not.
    let said = ["could not reach etcd", "https://"];
    run_until(|| command(&list, &trusted, &etcd.addresses()), 3, &said);
    let plain = Etcd::start(1);
    let address = format!("https://{}", plain.addresses());
    run_until(|| command(&list, &trusted, &address), 3, &said);
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
        let list = || {
            let mut command = shippy(home.path());
            command.args(["list", "--timeout", "1s", "--registry", "etcd"]);
            command.args(["--registry-address", &address]);
            command
        };
        run_until(list, 3, &[said, "--server"]);
    }
}
