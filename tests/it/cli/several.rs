//! One name, several servers: which register is meant, and whether it is one at all.

use std::path::Path;

use super::{serve, serve_with, stored};
use crate::support::{Ran, Server, eventually, folder, own_name, run, shippy};

/// `shippy` with `args` and the service's `name`, finding servers by itself.
fn find(home: &Path, name: &str, args: &[&str]) -> Ran {
    run(shippy(home).args(args).args(["--name", name]))
}

fn find_both(home: &Path, name: &str, args: &[&str], alone: &mut String) -> Ran {
    until_both(|| find(home, name, args), alone)
}

/// Runs a command until it has heard both of two servers: an answer may be lost, or late on a busy machine, and then the
/// command knows of one server only. What such commands printed goes to `alone`, as a create has created then.
#[track_caller]
pub(crate) fn until_both(mut command: impl FnMut() -> Ran, alone: &mut String) -> Ran {
    eventually("both servers to be heard by one command", || {
        let ran = command();
        if ran.code == Some(0) {
            alone.push_str(&ran.stdout);
        }
        (ran.code == Some(5)).then_some(ran)
    })
}

/// Fails the test unless `server` has but what commands created, by what they printed, that knew of one server only.
#[track_caller]
fn has_only(server: &Server, home: &Path, alone: &str) {
    for id in stored(server, home) {
        assert!(alone.lines().any(|line| line == id), "{id}: {alone}");
    }
}

/// Folders of their own for two servers.
fn two_folders(home: &Path) -> [std::path::PathBuf; 2] {
    let folders = ["one", "two"].map(|name| home.join(name));
    for folder in &folders {
        std::fs::create_dir(folder).unwrap();
    }
    folders
}

#[test]
fn a_server_is_found_by_its_name_alone() {
    let home = folder();
    let name = own_name();
    let server = serve(home.path(), &name);
    let created = find(home.path(), &name, &["create", "consignment.json"]).exits(0);
    assert_eq!(stored(&server, home.path()), [created.stdout.trim()]);
    find(home.path(), &name, &["health"]).exits(0);
}

#[test]
fn of_several_registers_none_is_taken_until_one_is_chosen() {
    let home = folder();
    let name = own_name();
    let servers = two_folders(home.path()).map(|folder| serve(&folder, &name));
    let mut alone = String::new();
    for args in [&["list"][..], &["create", "consignment.json"]] {
        let ran = find_both(home.path(), &name, args, &mut alone);
        assert_eq!(ran.stdout, "");
        let ran = ran.says(&["several registers", "choose one"]);
        for server in &servers {
            let choice = format!("--register {}", server.register);
            let address = server.address.to_string();
            let line = ran.stderr.lines().find(|line| line.contains(&choice));
            assert!(line.is_some_and(|line| line.contains(&address)), "{ran:#?}");
        }
    }
    for server in &servers {
        has_only(server, home.path(), &alone);
    }
    for server in &servers {
        let prefix = distinct_prefix(server, &servers);
        let args = ["create", "consignment.json", "--register", prefix];
        let created = find(home.path(), &name, &args).exits(0);
        let stored = stored(server, home.path());
        assert_eq!(stored.last().unwrap(), created.stdout.trim());
        let upper = prefix.to_uppercase();
        find(home.path(), &name, &["list", "--register", &upper]).exits(0);
    }
}

/// The shortest beginning of the server's register that tells it from the others.
fn distinct_prefix<'s>(server: &'s Server, servers: &[Server]) -> &'s str {
    let others = || {
        servers
            .iter()
            .filter(|other| other.register != server.register)
    };
    let is_distinct = |length: &usize| {
        let prefix = &server.register[..*length];
        others().all(|other| !other.register.starts_with(prefix))
    };
    let length = (1..=server.register.len()).find(is_distinct).unwrap();
    &server.register[..length]
}

#[test]
fn two_servers_of_a_copied_register_are_refused_and_the_later_one_logs_it() {
    let home = folder();
    let name = own_name();
    let [one, two] = two_folders(home.path());
    assert!(serve(&one, &name).stop().success());
    std::fs::copy(one.join("register.db"), two.join("register.db")).unwrap();
    let (first, second) = (serve(&one, &name), serve(&two, &name));
    assert_eq!(first.register, second.register);

    eventually("the later server's word", || {
        let log = second.logged();
        let line = log.lines().find(|line| line.contains("copied"))?.to_owned();
        assert!(line.contains("ERROR"), "{line}");
        assert!(line.contains(&first.address.to_string()), "{line}");
        assert!(line.contains(&first.register), "{line}");
        Some(())
    });
    let mut alone = String::new();
    for args in [
        &["list"][..],
        &["create", "consignment.json"],
        &["list", "--register", &first.register[..8]],
    ] {
        let ran = find_both(home.path(), &name, args, &mut alone);
        let ran = ran.says(&["its file was copied", "stop one of them", "--server"]);
        for server in [&first, &second] {
            assert!(ran.stderr.contains(&server.address.to_string()), "{ran:#?}");
        }
        assert_eq!(ran.stdout, "");
    }
    // Whoever names one of them is taken at their word.
    has_only(&first, home.path(), &alone);
    assert!(first.stop().success());
    find(home.path(), &name, &["list"]).exits(0);
}

#[test]
fn a_register_that_is_not_there_is_told_with_those_that_are() {
    let home = folder();
    let name = own_name();
    let server = serve(home.path(), &name);
    let args = ["list", "--register", "ffff", "--timeout", "5s"];
    let ran = find(home.path(), &name, &args).exits(3);
    let ran = ran.says(&["ffff", &server.register, "leave --register out"]);
    assert!(!ran.stderr.contains("5353"), "{ran:#?}");
}

#[test]
fn two_servers_that_were_given_one_id_are_told_apart() {
    let home = folder();
    let name = own_name();
    let servers =
        two_folders(home.path()).map(|folder| serve_with(&folder, &name, &["--id", "depot"]));
    let ran = find_both(home.path(), &name, &["list"], &mut String::new());
    for server in &servers {
        assert!(ran.stderr.contains(&server.register), "{ran:#?}");
    }
}

#[test]
fn a_server_that_starts_again_is_no_copy_of_itself() {
    let home = folder();
    let name = own_name();
    serve(home.path(), &name).kill();
    assert!(serve(home.path(), &name).stop().success());
    let server = serve(home.path(), &name);
    // Longer than it takes to hear of a server that is there: a command has found the only one meanwhile.
    find(home.path(), &name, &["list"]).exits(0);
    let log = server.logged();
    assert!(server.stop().success());
    assert!(!log.contains("ERROR"), "{log}");
}
