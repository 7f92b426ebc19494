//! `deploy/shippy.service`: systemd takes it, and a server does with what it lets it do.

use std::{collections::BTreeSet, fs, process::Command};

use crate::{
    support::{Server, executable, folder, own_name, run, shippy},
    wrapped::wrapped,
};

const UNIT: &str = include_str!("../../deploy/shippy.service");

/// Of ten, by systemd's reckoning: what is left is that it is reached through the network.
const EXPOSURE: &str = "--threshold=15";

/// The values that the unit has for `key`.
fn values(key: &str) -> Vec<&'static str> {
    let lines = UNIT.lines().filter_map(|line| line.split_once('='));
    lines
        .filter(|(is, _)| *is == key)
        .map(|(_, value)| value)
        .collect()
}

/// The system calls of the set `name`, with those of the sets in it.
fn calls(name: &str) -> BTreeSet<String> {
    let ran = run(Command::new("systemd-analyze").args(["syscall-filter", name])).exits(0);
    let members = ran.stdout.lines().skip(1).map(str::trim);
    let mut all = BTreeSet::new();
    for member in members.filter(|member| !member.is_empty() && !member.starts_with('#')) {
        if member.starts_with('@') {
            all.extend(calls(member));
        } else {
            all.insert(member.to_owned());
        }
    }
    all
}

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_takes_the_unit_and_finds_it_confined() {
    let home = folder();
    let path = home.path().join("shippy.service");
    let here = UNIT.replace("/usr/local/bin/shippy", executable().to_str().unwrap());
    fs::write(&path, here).unwrap();
    // The manual page that it names comes with the executable, which need not be installed here.
    let checked = run(Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&path));
    assert_eq!(checked.exits(0).stderr, "");
    let security = ["security", "--offline=true", "--no-pager", EXPOSURE];
    run(Command::new("systemd-analyze").args(security).arg(&path)).exits(0);
}

#[test]
#[ignore = "needs systemd-analyze and strace"]
fn systemd_lets_a_server_do_all_that_it_does() {
    let home = folder();
    let trace = home.path().join("trace");
    let strace = ["strace", "-D", "-f", "-o", trace.to_str().unwrap()];
    let server = Server::start_with(home.path(), |command| {
        let mut serve = shippy(home.path());
        serve.args(["serve", "--name", &own_name()]);
        serve.env("STATE_DIRECTORY", home.path().join("state"));
        *command = wrapped(&strace, &serve);
    });
    let address = server.address.to_string();
    let client = |args: &[&str]| run(shippy(home.path()).args(args).args(["--server", &address]));
    client(&["create", "consignment.json"]).exits(0);
    client(&["list"]).exits(0);
    assert!(server.stop().success());

    let [allowed, denied] = &values("SystemCallFilter")[..] else {
        panic!("not one set of calls and one to be left out of it");
    };
    let mut allowed = calls(allowed);
    for call in calls(denied.strip_prefix('~').unwrap()) {
        allowed.remove(&call);
    }
    // SQLite gives its files to the owner of the database, where it runs as root, as it may do here.
    allowed.insert("fchown".to_owned());
    let trace = fs::read_to_string(&trace).unwrap();
    // "PID name(arguments) = result"
    let made = trace
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.trim().split_once('('));
    let made: BTreeSet<_> = made.map(|(name, _)| name).collect();
    let named = |name: &&str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let refused: Vec<_> = (made.iter().copied().filter(named))
        .filter(|name| !allowed.contains(*name))
        .collect();
    assert!(
        made.contains("fdatasync") && made.contains("bind"),
        "{made:?}"
    );
    assert!(refused.is_empty(), "{refused:?}");
}
