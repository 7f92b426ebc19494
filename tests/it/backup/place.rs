//! What is at the place of a backup before, beside and after it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::chown,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use rusqlite::Connection;
use rustix::process::Signal;

use super::{backup, copies, fill, names};
use crate::{
    running::{Running, run_to_end},
    support::{Ran, eventually, folder, run, shippy},
};

/// A backup that has looked at its place and not yet begun to read.
struct Held {
    running: Running,
    register: Connection,
}

impl Held {
    fn begin(command: &mut Command, home: &Path) -> Self {
        let path = home.join("register.db");
        let register = Connection::open(&path).unwrap();
        let hold = "PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; COMMIT";
        register.execute_batch(hold).unwrap();
        let running = Running::start(command);
        let open = format!("/proc/{}/fd", running.child.id());
        eventually("a backup that opens the register", || {
            let mut open = fs::read_dir(&open).unwrap().flatten();
            let is_register = |entry: fs::DirEntry| {
                fs::read_link(entry.path()).is_ok_and(|target| target == path)
            };
            open.any(is_register).then_some(())
        });
        running.send(Signal::STOP);
        Self { running, register }
    }

    fn end(self) -> Ran {
        drop(self.register);
        self.running.send(Signal::CONT);
        self.running.end()
    }
}

#[test]
fn nobody_serves_or_writes_the_place_of_a_backup_meanwhile() {
    let home = folder();
    fill(home.path(), 1_000);
    let target = home.path().join("copy.db");
    let store = format!("sqlite:{}", target.display());
    for args in [&[][..], &["--force"]] {
        let held = Held::begin(&mut backup(home.path(), &target, args), home.path());
        let mut server = shippy(home.path());
        server.args(["serve", "--registry", "static", "--store", &store]);
        run_to_end(server.args(["--address", "127.0.0.1:0"]))
            .exits(1)
            .says(&["another shippy serves it"]);
        run_to_end(&mut backup(home.path(), &target, args))
            .exits(2)
            .says(&["another backup is written there"]);
        held.end().exits(0);
        assert_eq!(copies(home.path()), BTreeSet::from(["copy.db".into()]));
    }
    run(shippy(home.path()).arg("verify").arg(&target)).exits(0);
}

#[test]
fn what_comes_to_the_place_of_a_backup_meanwhile_is_kept() {
    let home = folder();
    fill(home.path(), 1_000);
    let target = home.path().join("copy.db");
    let held = Held::begin(&mut backup(home.path(), &target, &[]), home.path());
    fs::write(&target, "dear diary").unwrap();
    held.end().exits(2).says(&["it is there already"]);
    assert_eq!(fs::read(&target).unwrap(), b"dear diary");
    for end in ["wal", "journal", "shm"] {
        let log = home.path().join(format!("copy.db-{end}"));
        let mut command = backup(home.path(), &target, &["--force"]);
        let held = Held::begin(&mut command, home.path());
        fs::write(&log, "").unwrap();
        held.end().exits(2).says(&["beside it is the log"]);
        assert_eq!(fs::read(&target).unwrap(), b"dear diary");
        fs::remove_file(&log).unwrap();
    }
}

#[test]
fn a_backup_that_is_ended_leaves_nothing_under_its_name() {
    let home = folder();
    fill(home.path(), 60_000);
    let target = home.path().join("copy.db");
    let is_begun = || {
        let begun = |name: &String| name.ends_with(".partial");
        names(home.path()).iter().any(begun)
    };
    for signal in [Signal::INT, Signal::KILL] {
        let running = Running::start(&mut backup(home.path(), &target, &[]));
        eventually("a copy that is begun", || is_begun().then_some(()));
        running.send(signal);
        let ran = running.end();
        // It may have been done by then.
        if ran.code == Some(0) {
            run(shippy(home.path()).arg("verify").arg(&target)).exits(0);
            fs::remove_file(&target).unwrap();
        } else {
            assert!(!target.exists());
        }
        if signal == Signal::INT {
            assert!(matches!(ran.code, Some(0 | 130)), "{ran:#?}");
            assert!(!is_begun(), "{:?}", names(home.path()));
        }
    }
    run(&mut backup(home.path(), &target, &[])).exits(0);
}

#[test]
fn what_a_killed_backup_leaves_goes_with_the_next_to_the_same_name() {
    let home = folder();
    fill(home.path(), 1_000);
    let left = || copies(home.path());
    let target = home.path().join("copy.db");
    for args in [&[][..], &["--force"]] {
        let held = Held::begin(&mut backup(home.path(), &target, args), home.path());
        held.running.send(Signal::KILL);
        held.end();
        assert!(left().contains("copy.db.lock"), "{:?}", left());
        // As far as it may have come by then.
        for (name, start) in [("aB3xY9", &b""[..]), ("000000", &[0; 4096])] {
            let path = home.path().join(format!("copy.db.{name}.partial"));
            fs::write(&path, start).unwrap();
            let file = File::options().write(true).open(path).unwrap();
            let before = SystemTime::now() - Duration::from_secs(600);
            file.set_modified(before).unwrap();
        }
        fs::copy(
            home.path().join("register.db"),
            home.path().join("copy.db.zzzzzz.partial"),
        )
        .unwrap();
        run(&mut backup(home.path(), &target, args)).exits(0);
        assert_eq!(left(), BTreeSet::from(["copy.db".into()]));
    }
}

#[test]
fn what_others_keep_beside_a_backup_stays() {
    let home = folder();
    fill(home.path(), 1_000);
    let target = home.path().join("copy");
    // Of another name: that backup may be running.
    let held = Held::begin(
        &mut backup(home.path(), &home.path().join("copy.db"), &[]),
        home.path(),
    );
    let kept = [
        ("copy.db.aB3xY9.partial", &b""[..]),
        ("copy.diary1.partial", b"dear diary"),
        // Just made: by whom, nothing tells yet.
        ("copy.young1.partial", b""),
        ("copy.young2.partial", &[0; 4096]),
        ("copy.aB3xY9.partial.db", b""),
        ("copy.long-ago.partial", b""),
    ];
    for (name, content) in kept {
        fs::write(home.path().join(name), content).unwrap();
    }
    std::os::unix::fs::symlink("register.db", home.path().join("copy.linked.partial")).unwrap();
    drop(held.register);
    let mut expected = copies(home.path());
    run(&mut backup(home.path(), &target, &[])).exits(0);
    expected.insert("copy".into());
    assert_eq!(copies(home.path()), expected);
    held.running.send(Signal::CONT);
    held.running.end().exits(0);
}

#[test]
#[ignore = "needs root"]
fn what_another_user_has_left_of_a_backup_stays() {
    let home = folder();
    fill(home.path(), 1_000);
    let [target, theirs] = ["copy.db", "copy.db.aB3xY9.partial"].map(|name| home.path().join(name));
    fs::copy(home.path().join("register.db"), &theirs).unwrap();
    chown(&theirs, Some(65_534), None).unwrap();
    run(&mut backup(home.path(), &target, &[])).exits(0);
    assert!(theirs.exists());
    chown(&theirs, Some(0), None).unwrap();
    run(&mut backup(home.path(), &target, &["--force"])).exits(0);
    assert!(!theirs.exists());
}
