//! One server at a time has a register, by whatever name it comes to it.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
    process::Stdio,
};

use shippy::store::{OpenError, sqlite::SqliteStore};

use super::{contents, foreseen, make_register, refused, serve, stops_well};
use crate::{
    running::run_to_end,
    support::{Ran, Server, eventually, folder, run, shippy},
};

#[test]
fn a_second_server_on_the_same_file_is_refused_and_the_first_serves_on() {
    let home = folder();
    let first = Server::start(home.path());
    let again = run_to_end(&mut serve(home.path(), &home.path().join("register.db")));
    again
        .exits(1)
        .says(&["another shippy serves it", "stop that one", "--store"]);
    run(&mut first.ask(home.path(), &["create", "consignment.json"])).exits(0);
    stops_well(first);
}

#[test]
fn a_second_server_that_comes_by_a_link_is_refused_too() {
    let home = folder();
    let first = Server::start(home.path());
    let file_link = home.path().join("link.db");
    symlink("register.db", &file_link).unwrap();
    let folder_link = home.path().join("folder");
    symlink(".", &folder_link).unwrap();
    for path in [file_link, folder_link.join("register.db")] {
        let ran = run_to_end(&mut serve(home.path(), &path));
        ran.exits(1).says(&["another shippy serves it"]);
    }
    stops_well(first);
}

#[test]
fn a_register_of_two_names_is_refused_by_either() {
    let home = folder();
    let [one, other] = ["register.db", "other.db"].map(|name| home.path().join(name));
    let first = Server::start(home.path());
    run(&mut first.ask(home.path(), &["create", "consignment.json"])).exits(0);
    fs::hard_link(&one, &other).unwrap();
    let says = [
        "2 names (hard links)",
        "keep the name that has a log beside it",
    ];
    run_to_end(&mut serve(home.path(), &other))
        .exits(1)
        .says(&says);
    run(&mut first.ask(home.path(), &["list"])).exits(0);
    stops_well(first);
    refused(home.path(), &says);
    let mut backup = shippy(home.path());
    let store = format!("sqlite:{}", other.display());
    backup.args(["backup", "copy.db", "--store", &store]);
    run_to_end(&mut backup).exits(1).says(&says);
    fs::remove_file(&other).unwrap();
    stops_well(Server::start(home.path()));
}

#[test]
fn a_register_that_has_another_name_by_now_is_not_served_or_replaced_by_it() {
    let home = folder();
    let [path, moved] = ["register.db", "moved.db"].map(|name| home.path().join(name));
    let first = Server::start(home.path());
    run(&mut first.ask(home.path(), &["create", "consignment.json"])).exits(0);
    fs::rename(&path, &moved).unwrap();
    // Beside it the server goes on with its own files.
    let moved_files = || {
        let mut files = contents(home.path());
        files.retain(|path, _| path.to_string_lossy().contains("moved"));
        files
    };
    let before = moved_files();
    let says = ["moved.db: another shippy serves it"];
    run_to_end(&mut serve(home.path(), &moved))
        .exits(1)
        .says(&says);
    foreseen(&mut serve(home.path(), &moved), &says);
    let other_home = folder();
    let other = other_home.path().join("register.db");
    make_register(&other);
    let mut backup = shippy(home.path());
    let store = format!("sqlite:{}", other.display());
    backup.arg("backup").arg(&moved);
    backup.args(["--force", "--store", &store]);
    run_to_end(&mut backup).exits(2).says(&["it is served"]);
    assert!(moved_files() == before, "{:?}", moved_files().keys());
    fs::rename(&moved, &path).unwrap();
    run(&mut first.ask(home.path(), &["create", "consignment.json"])).exits(0);
    stops_well(first);
    fs::rename(&path, &moved).unwrap();
    run(&mut backup).exits(0);
}

#[test]
fn a_backup_of_a_register_of_two_names_is_refused_by_the_one_without_its_log() {
    let home = folder();
    let [one, other] = ["register.db", "other.db"].map(|name| home.path().join(name));
    let server = Server::start(home.path());
    run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
    server.kill();
    fs::hard_link(&one, &other).unwrap();
    let before = contents(home.path());
    let mut backup = shippy(home.path());
    let store = format!("sqlite:{}", other.display());
    backup.arg("backup").arg(home.path().join("copy.db"));
    backup.args(["--store", &store]);
    run_to_end(&mut backup)
        .exits(1)
        .says(&["2 names (hard links)"]);
    assert!(contents(home.path()) == before);
    // As the refusal says: the log is beside this one.
    fs::remove_file(&other).unwrap();
    let server = Server::start(home.path());
    let listed = run(&mut server.ask(home.path(), &["list", "-o", "ndjson"])).exits(0);
    assert_eq!(listed.stdout.lines().count(), 1, "{listed:#?}");
}

#[test]
fn a_link_may_lead_to_a_register_that_is_not_there_yet() {
    let home = folder();
    symlink("far/away.db", home.path().join("near.db")).unwrap();
    symlink("near.db", home.path().join("register.db")).unwrap();
    let first = Server::start(home.path());
    let target = home.path().join("far/away.db");
    let ran = run_to_end(&mut serve(home.path(), &target));
    ran.exits(1).says(&["another shippy serves it"]);
    stops_well(first);
    assert!(target.is_file());
}

#[test]
fn a_link_to_itself_is_refused() {
    let home = folder();
    symlink("register.db", home.path().join("register.db")).unwrap();
    refused(home.path(), &["could not", "--store"]);
}

#[test]
fn a_second_store_in_the_same_process_is_refused() {
    let home = folder();
    let path = home.path().join("register.db");
    let first = SqliteStore::open(&path).unwrap();
    let locks = locks_on(&path);
    let second = SqliteStore::open(&path);
    assert!(matches!(second, Err(OpenError::InUse(_))), "{second:?}");
    assert_eq!(locks_on(&path), locks, "the first keeps its locks");
    drop(first);
}

/// How many locks the system knows on `path`.
fn locks_on(path: &Path) -> usize {
    let end = format!(":{}", fs::metadata(path).unwrap().ino());
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let files = locks
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5));
    files.filter(|file| file.ends_with(&end)).count()
}

#[test]
fn of_servers_that_start_at_once_one_serves_the_new_register() {
    let home = folder();
    let path = home.path().join("register.db");
    let start = || {
        let mut command = serve(home.path(), &path);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut servers = [(); 6].map(|()| start());
    let mut living = eventually("five of six ended", || {
        let living = servers.iter_mut().filter_map(|server| {
            let ended = server.try_wait().unwrap();
            ended.is_none().then_some(server.id())
        });
        let living: Vec<u32> = living.collect();
        (living.len() <= 1).then_some(living)
    });
    let last = living.pop().expect("one serves");
    for mut server in servers {
        if server.id() == last {
            server.kill().unwrap();
            server.wait().unwrap();
        } else {
            let ran = Ran::new("serve".into(), server.wait_with_output().unwrap());
            ran.exits(1).says(&["another shippy serves it"]);
        }
    }
}
