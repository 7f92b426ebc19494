//! `shippy serve --check`: it tells what a start would meet, and leaves everything as it was. What may be wrong with a
//! register's file, `store_files.rs` plants.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use rcgen::date_time_ymd;
use rusqlite::Connection;

use crate::{
    cli::file,
    running::run_to_end,
    security::Authority,
    store_files::{VERSION_1, contents},
    support::{
        Ran, Server, consul::Consul, etcd::Etcd, folder, free_address, host::Host, own_name, run,
        shippy,
    },
};

/// `shippy serve --check` with `args`, which announces nothing unless they say otherwise.
fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = shippy(home);
    command.args(["serve", "--check"]);
    if !args.contains(&"--registry") {
        command.args(["--registry", "static"]);
    }
    command.args(args);
    command
}

/// Runs it, and fails the test unless all in `home` is as it was.
#[track_caller]
fn check(home: &Path, args: &[&str]) -> Ran {
    let before = contents(home);
    let ran = run_to_end(&mut command(home, args));
    let after = contents(home);
    assert!(after == before, "changed: {:?}", after.keys());
    ran
}

/// The state that is told of each thing, and the text.
fn told(ran: &Ran) -> BTreeMap<&str, (&str, &str)> {
    let line = |line| {
        let (state, rest): (&str, &str) = str::split_once(line, ' ').unwrap();
        let (what, text) = rest.trim_start().split_once(' ').unwrap();
        (what, (state, text.trim_start()))
    };
    ran.stdout.lines().map(line).collect()
}

/// Fails the test unless `what` is told to be in `state`, with `text`.
#[track_caller]
fn tells(ran: &Ran, what: &str, state: &str, text: &str) {
    let told = told(ran);
    let (found, said) = told.get(what).unwrap_or_else(|| panic!("{ran:#?}"));
    assert!(*found == state && said.contains(text), "{ran:#?}");
}

fn in_home(home: &Path) -> String {
    format!("sqlite:{}", home.join("register.db").display())
}

#[test]
fn a_first_start_is_foreseen_and_nothing_is_made() {
    let home = folder();
    let ran = check(home.path(), &[]).exits(0);
    let things: Vec<_> = told(&ran).into_keys().collect();
    assert_eq!(things, ["address", "registry", "store"], "{ran:#?}");
    tells(&ran, "store", "ok", "a new register would be made");
    tells(&ran, "address", "ok", "127.0.0.1:0 can be listened on");
    assert_eq!(ran.stderr, "");
    assert!(contents(home.path()).is_empty());
}

#[test]
fn a_register_that_is_there_is_named_and_left_as_it_is() {
    let home = folder();
    let server = Server::start(home.path());
    let register = server.register.clone();
    let store = in_home(home.path());
    run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
    let ran = run(&mut command(home.path(), &["--store", &store])).exits(1);
    tells(&ran, "store", "failed", "another shippy serves it");
    run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
    assert!(server.stop().success());
    let ran = check(home.path(), &["--store", &store]).exits(0);
    tells(&ran, "store", "ok", &format!("register {register}"));
    // The lock is not kept, and the log of one that was killed is not touched.
    Server::start(home.path()).kill();
    let files = || {
        let mut files = contents(home.path());
        // SQLite makes its index of the log anew whenever it reads one.
        files.remove(&home.path().join("register.db-shm"));
        files
    };
    let before = files();
    let ran = run(&mut command(home.path(), &["--store", &store])).exits(0);
    tells(&ran, "store", "ok", &format!("register {register}"));
    assert!(files() == before);
    assert_eq!(Server::start(home.path()).register, register);
}

#[test]
fn a_schema_that_a_start_would_change_is_told_and_kept() {
    let home = folder();
    let path = home.path().join("register.db");
    let before = Connection::open(&path).unwrap();
    before.execute_batch(VERSION_1).unwrap();
    drop(before);
    let ran = check(home.path(), &["--store", &in_home(home.path())]).exits(0);
    tells(&ran, "store", "ok", "its schema from version 1 to 2");
}

#[test]
fn a_store_in_memory_has_nothing_to_look_at() {
    let home = folder();
    let ran = check(home.path(), &["--store", "memory:"]).exits(0);
    tells(&ran, "store", "ok", "only while the server runs");
}

#[test]
fn all_that_fails_is_told_in_one_go() {
    let home = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    fs::write(home.path().join("register.db"), "dear diary").unwrap();
    let authority = Authority::new(home.path(), "ca");
    let expired = authority.certify(home.path(), "old", |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    let (store, nobody) = (in_home(home.path()), free_address());
    let mut args = vec!["--address", &taken, "--probe-address", &taken];
    args.extend(["--store", &store, "--registry", "consul"]);
    args.extend(["--registry-address", &nobody]);
    args.extend(expired.args());
    let ran = check(home.path(), &args).exits(1);
    for (what, text) in [
        ("tls", "expired"),
        ("address", "another program listens there"),
        ("probe", "--probe-address: could not listen on"),
        ("store", "no SQLite database"),
        ("registry", "could not reach Consul"),
    ] {
        tells(&ran, what, "failed", text);
    }
    assert_eq!(ran.stdout.lines().count(), 5, "{ran:#?}");
}

#[test]
fn two_addresses_that_are_one_do_not_both_do() {
    let (home, address) = (folder(), free_address());
    let args = ["--address", &address, "--probe-address", &address];
    let ran = check(home.path(), &args).exits(1);
    tells(&ran, "address", "ok", &address);
    tells(&ran, "probe", "failed", "another program listens there");
}

#[test]
fn settings_that_cannot_be_end_with_2_whatever_else_fails() {
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let [one, two] = ["one", "two"].map(|name| authority.server(home.path(), name));
    let tokens = file(home.path(), "tokens", "crane admin\n");
    let nowhere = home.path().join("nowhere").display().to_string();
    let key = ["--tls-cert", &one.certificate, "--tls-key", &two.key];
    for (args, what, text) in [
        (&key[..], "tls", "made together"),
        (&["--tokens", &tokens], "tokens", "line 1"),
        (&["--store", "mysql://db"], "store", "it is none of"),
        (&["--store-file", &nowhere], "store", "No such file"),
        (
            &["--registry", "etcd", "--registry-address", "ftp://etcd"],
            "registry",
            "could not use the registry address",
        ),
    ] {
        let args = [args, &["--address", "192.0.2.1:1"]].concat();
        let ran = check(home.path(), &args).exits(2);
        tells(&ran, what, "failed", text);
        tells(&ran, "address", "failed", "does not have that address");
        // A start says the same.
        let started = command(home.path(), &args);
        let mut start = shippy(home.path());
        start.args(started.get_args().filter(|arg| *arg != "--check"));
        run_to_end(&mut start).exits(2).says(&[text]);
    }
}

#[test]
fn what_a_start_would_warn_of_is_a_warning() {
    let home = folder();
    let ran = check(home.path(), &["--lan"]).exits(0);
    tells(&ran, "access", "warning", "neither TLS nor tokens");
    let authority = Authority::new(home.path(), "ca");
    let soon = SystemTime::now() + Duration::from_secs(2 * 24 * 60 * 60);
    let pair = authority.certify(home.path(), "soon", |params| params.not_after = soon.into());
    let ran = check(home.path(), &pair.args()).exits(0);
    tells(&ran, "tls", "warning", "expires in");
    let good = authority.server(home.path(), "shippy");
    let ran = check(home.path(), &good.args()).exits(0);
    tells(&ran, "tls", "ok", "belong together");
}

#[test]
fn a_registry_that_is_away_or_silent_or_something_else_is_a_failure() {
    let (home, other) = (folder(), folder());
    let nobody = free_address();
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let server = Server::start_with(other.path(), |command| {
        command.args(["--registry", "static"]);
    });
    let server = server.address.to_string();
    for registry in ["etcd", "consul"] {
        for place in [&nobody, &silent, &server] {
            let args = ["--registry", registry, "--registry-address", place];
            let ran = check(home.path(), &args).exits(1);
            tells(&ran, "registry", "failed", place);
        }
    }
}

#[test]
#[ignore = "needs etcd"]
fn an_etcd_that_answers_is_told_nothing() {
    let (home, etcd, name) = (folder(), Etcd::start(1), own_name());
    let addresses = etcd.addresses();
    let mut args = vec!["--name", &name, "--registry", "etcd"];
    args.extend(["--registry-address", &addresses]);
    let ran = check(home.path(), &args).exits(0);
    tells(&ran, "registry", "ok", "answers");
    assert!(etcd.pairs("/micro/registry/").is_empty());
}

#[test]
#[ignore = "needs etcd"]
fn an_etcd_without_its_majority_takes_no_announcement() {
    let (home, mut etcd) = (folder(), Etcd::start(3));
    for index in [0, 1] {
        etcd.kill(index);
    }
    let addresses = etcd.addresses();
    let args = ["--registry", "etcd", "--registry-address", &addresses];
    let ran = check(home.path(), &args).exits(1);
    tells(&ran, "registry", "failed", "etcd");
}

#[test]
#[ignore = "needs Consul"]
fn a_consul_that_answers_is_told_nothing() {
    let (home, consul) = (folder(), Consul::start());
    let args = [
        "--registry",
        "consul",
        "--registry-address",
        &consul.address,
    ];
    let ran = check(home.path(), &args).exits(0);
    tells(&ran, "registry", "ok", "answers");
    let services = consul.call("GET", "/v1/agent/services", &serde_json::Value::Null);
    assert_eq!(services, serde_json::json!({}));
}

#[test]
#[ignore = "needs root and network namespaces"]
fn a_machine_without_multicast_is_warned_of() {
    let host = Host::new();
    let ran = host
        .run(&["serve", "--check", "--store", "memory:"])
        .exits(0);
    tells(&ran, "registry", "ok", "on lo");
    host.network.ip(&["link", "set", "lo", "down"]);
    let address = ["--address", "0.0.0.0:0"];
    let args = [&["serve", "--check", "--store", "memory:"], &address[..]].concat();
    let ran = host.run(&args).exits(0);
    tells(&ran, "registry", "warning", "no network interface carries");
}

#[test]
fn a_register_in_a_folder_of_others_is_looked_at_through_links() {
    let home = folder();
    let kept = home.path().join("kept");
    fs::create_dir(&kept).unwrap();
    let at = |path: PathBuf| format!("sqlite:{}", path.display());
    std::os::unix::fs::symlink("kept/away.db", home.path().join("near.db")).unwrap();
    let ran = check(home.path(), &["--store", &at(home.path().join("near.db"))]).exits(0);
    tells(&ran, "store", "ok", "a new register would be made");
    assert!(contents(&kept).is_empty());
}
