//! `shippy backup`: a copy of a register that is being written to, and what happens to its place.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use rusqlite::Connection;
use shippy::{
    consignment::{canonical, new_id},
    proto::Consignment,
    store::{NewConsignment, Store as _, sqlite::SqliteStore},
};

use crate::{
    cli::{file, serve, serve_with, several::until_both, stored},
    running::run_to_end,
    support::{Server, folder, own_name, run, shippy},
    wrapped::wrapped,
};

mod place;

/// `shippy backup` of `home`/register.db to `target`.
fn backup(home: &Path, target: &Path, args: &[&str]) -> Command {
    let mut command = shippy(home);
    let store = format!("sqlite:{}", home.join("register.db").display());
    command.arg("backup").arg(target);
    command.args(["--store", &store]).args(args);
    command
}

/// Makes a register of `count` consignments in `home`, whose ids are by chance.
fn fill(home: &Path, count: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = SqliteStore::open(&home.join("register.db")).unwrap();
    for _ in 0..count.div_ceil(1_000) {
        let new = |_| {
            let mut consignment = Consignment {
                id: new_id().chars().rev().collect(),
                description: "x".repeat(300),
                ..Consignment::default()
            };
            NewConsignment {
                created_by: Some("crane".into()),
                ..NewConsignment::new(consignment.id.clone(), canonical(&mut consignment))
            }
        };
        let batch = (0..1_000).map(new).collect();
        runtime.block_on(store.append(batch)).unwrap();
    }
    runtime.block_on(store.close());
}

/// The names of all that is in `folder`.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Those of them that belong to a copy.
fn copies(folder: &Path) -> BTreeSet<String> {
    let mut names = names(folder);
    names.retain(|name| name.starts_with("copy"));
    names
}

/// A served copy is refused beside its original, and serves in its place.
#[test]
fn a_backup_made_while_it_is_written_to_has_all_that_was_acknowledged_before() {
    let home = folder();
    let (server, copies) = (Server::start(home.path()), home.path().join("copies"));
    fs::create_dir(&copies).unwrap();
    let path = file(
        home.path(),
        "many.ndjson",
        "{\"description\":\"tea\"}\n".repeat(500),
    );
    let acknowledged = || {
        let ran = run(&mut server.ask(home.path(), &["create", "-q", &path])).exits(0);
        ran.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let before = acknowledged();
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    acknowledged();
                }
            });
        }
        let mut before = before;
        for round in 0..5 {
            let copy = copies.join(format!("{round}.db"));
            let ran = run(&mut backup(home.path(), &copy, &[])).exits(0);
            assert!(ran.stdout.contains(&server.register), "{ran:#?}");
            run(shippy(home.path()).arg("verify").arg(&copy)).exits(0);
            let known = Connection::open(&copy).unwrap();
            let mut known = known
                .prepare("SELECT id FROM consignment ORDER BY sequence")
                .unwrap();
            let known = known.query_map([], |row| row.get(0)).unwrap();
            let known: BTreeSet<String> = known.map(Result::unwrap).collect();
            for id in &before {
                assert!(known.contains(id), "{id} is not in round {round}");
            }
            before = acknowledged();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let all = stored(&server, home.path());
    let copy = folder();
    fs::rename(copies.join("4.db"), copy.path().join("register.db")).unwrap();
    let restored = Server::start(copy.path());
    assert_eq!(restored.register, server.register);
    let again = stored(&restored, copy.path());
    assert!(again.len() >= 500 && all.starts_with(&again));
    run(&mut restored.ask(copy.path(), &["create", &path])).exits(0);
}

#[test]
fn a_backup_that_is_served_beside_its_original_is_refused() {
    let (home, copy) = (folder(), folder());
    let name = own_name();
    let first = serve(home.path(), &name);
    run(&mut first.ask(home.path(), &["create", "consignment.json"])).exits(0);
    let target = copy.path().join("register.db");
    run(&mut backup(home.path(), &target, &[])).exits(0);
    let second = serve_with(copy.path(), &name, &[]);
    assert_eq!(first.register, second.register);
    let list = || run(shippy(home.path()).args(["list", "--name", &name]));
    until_both(list, &mut String::new()).says(&["its file was copied", "stop one of them"]);
}

#[test]
fn a_backup_needs_no_server_and_is_one_file_with_the_registers_rights() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = folder();
    fill(home.path(), 3_000);
    let register = home.path().join("register.db");
    fs::set_permissions(&register, fs::Permissions::from_mode(0o640)).unwrap();
    let before = names(home.path());
    let target = home.path().join("copy.db");
    let ran = run(&mut backup(home.path(), &target, &[])).exits(0);
    assert!(
        ran.stdout.contains("3,000 consignments, 1 to 3,000"),
        "{ran:#?}"
    );
    let mode = target.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let mut expected = before.clone();
    expected.insert("copy.db".into());
    assert_eq!(names(home.path()), expected);
    let rows = |path: &Path| {
        let all = "SELECT sequence, id, created_at, hex(body), created_by FROM consignment";
        let register = Connection::open(path).unwrap();
        let mut all = register.prepare(all).unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            let (sequence, created_at): (i64, i64) = (row.get(0)?, row.get(2)?);
            let texts: [String; 3] = [row.get(1)?, row.get(3)?, row.get(4)?];
            Ok((sequence, created_at, texts))
        };
        let rows = all.query_map([], row).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>()
    };
    assert!(rows(&target) == rows(&register));
}

#[test]
fn what_is_there_is_replaced_when_that_is_asked_for_and_never_where_it_is_served() {
    let home = folder();
    fill(home.path(), 1_000);
    let target = home.path().join("copy.db");
    fs::write(&target, "dear diary").unwrap();
    let refused = |target: &Path, args: &[&str], code, said: &[&str]| {
        let before = fs::read(target).ok();
        let there = names(home.path());
        let ran = run_to_end(&mut backup(home.path(), target, args));
        assert_eq!(ran.exits(code).says(said).stdout, "");
        assert!(fs::read(target).ok() == before);
        assert_eq!(names(home.path()), there);
    };
    refused(&target, &[], 2, &["it is there already", "--force"]);
    run(&mut backup(home.path(), &target, &["--force"])).exits(0);
    run(shippy(home.path()).arg("verify").arg(&target)).exits(0);
    let register = home.path().join("register.db");
    refused(&register, &["--force"], 2, &["the register itself"]);
    refused(home.path(), &["--force"], 2, &["it is a folder"]);
    let nowhere = home.path().join("nowhere/copy.db");
    refused(
        &nowhere,
        &[],
        1,
        &["nowhere/copy.db", "its folder", "No such file"],
    );
    let their_home = folder();
    let server = Server::start(their_home.path());
    run(&mut server.ask(their_home.path(), &["create", "consignment.json"])).exits(0);
    let theirs = their_home.path().join("register.db");
    run_to_end(&mut backup(home.path(), &theirs, &["--force"]))
        .exits(2)
        .says(&["is served"]);
    assert_eq!(stored(&server, their_home.path()).len(), 1);
}

#[test]
fn a_register_that_is_in_no_file_is_told_how_it_is_backed_up() {
    let home = folder();
    let target = home.path().join("copy.db");
    for (store, texts) in [
        ("memory:", &["list -o ndjson"][..]),
        (
            "postgres://ann@db/depot",
            &["pg_dump", "postgres://ann@db/depot"],
        ),
        ("sqlite:gone.db", &["no register at gone.db", "--store"]),
    ] {
        let mut command = shippy(home.path());
        command.arg("backup").arg(&target).args(["--store", store]);
        run_to_end(&mut command).exits(2).says(texts);
    }
    // Where nothing is said, it is where `serve` keeps it.
    let said = home.path().join(".local/share/shippy/depot.db");
    let mut command = shippy(home.path());
    command.arg("backup").arg(&target).args(["--name", "depot"]);
    run_to_end(&mut command)
        .exits(2)
        .says(&[&said.display().to_string()]);
    assert_eq!(names(home.path()), BTreeSet::new());
}

#[test]
fn a_damaged_register_is_not_backed_up() {
    let home = folder();
    fill(home.path(), 1_000);
    let register = Connection::open(home.path().join("register.db")).unwrap();
    let target = home.path().join("copy.db");
    for damage in [
        "UPDATE consignment SET created_by = CAST(x'ff41' AS TEXT) WHERE sequence = 5",
        "UPDATE consignment SET created_by = 'crane', body = x'ff' WHERE sequence = 5",
        "DELETE FROM consignment WHERE sequence = 499",
    ] {
        register.execute_batch(damage).unwrap();
        let ran = run_to_end(&mut backup(home.path(), &target, &[])).exits(1);
        ran.says(&["shippy verify"]);
        assert!(!names(home.path()).iter().any(|name| name.contains("copy")));
    }
}

#[test]
#[ignore = "needs root and mount namespaces"]
fn a_full_disk_is_told_and_left_as_it_was() {
    let home = folder();
    fill(home.path(), 20_000);
    let disk = home.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let at = disk.display();
    let script =
        format!("mount -t tmpfs -o size=2m tmpfs {at} && \"$@\"; code=$?; ls -A {at}; exit $code");
    let target = disk.join("copy.db");
    let command = backup(home.path(), &target, &[]);
    let mut command = wrapped(&["unshare", "-m", "sh", "-c", &script, "sh"], &command);
    let ran = run_to_end(&mut command)
        .exits(1)
        .says(&["no space left", "copy.db"]);
    assert_eq!(ran.stdout, "", "nothing is left there");
}
