//! What may be at the path of a register, and what is said of it: nothing there is ever changed by a refusal.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::Command,
};

use rusqlite::Connection;
use shippy::store::{Store as _, sqlite::SqliteStore};

use crate::{
    cli::file,
    running::run_to_end,
    support::{Ran, Server, folder, own_name, run, shippy},
};

mod links;
mod rights;

/// Everything in `folder`, by name: contents of files, nothing for the rest.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(&path).unwrap_or_default()))
        .collect()
}

fn serve(home: &Path, register: &Path) -> Command {
    let mut command = shippy(home);
    let store = format!("sqlite:{}", register.display());
    command.args(["serve", "--name", &own_name(), "--store", &store]);
    command
}

/// Fails the test unless serving `home`/register.db is refused with `texts` and leaves all in `home` as it was.
#[track_caller]
fn refused(home: &Path, texts: &[&str]) -> Ran {
    let before = contents(home);
    let ran = run_to_end(&mut serve(home, &home.join("register.db")));
    let ran = ran.exits(1).says(texts);
    assert_eq!(ran.stdout, "", "no ready line");
    assert_eq!(ran.stderr.lines().count(), 1, "one line: {}", ran.stderr);
    foreseen(&mut serve(home, &home.join("register.db")), texts);
    assert!(contents(home) == before, "changed: {:?}", contents(home));
    ran
}

/// Fails the test unless `command`, a `shippy serve`, tells with `--check` that it would be refused with `texts`.
#[track_caller]
fn foreseen(command: &mut Command, texts: &[&str]) {
    let ran = run_to_end(command.arg("--check")).exits(1);
    let failed = ran.stdout.lines().find(|line| line.starts_with("failed"));
    let failed = failed.unwrap_or_else(|| panic!("{ran:#?}"));
    for text in texts {
        assert!(failed.contains(text), "no {text:?} in {ran:#?}");
    }
}

/// A register with nothing in it, closed.
fn make_register(path: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(SqliteStore::open(path).unwrap().close());
}

fn stops_well(server: Server) {
    assert!(server.stop().success());
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let home = folder();
    fs::write(home.path().join("register.db"), "dear diary").unwrap();
    refused(
        home.path(),
        &["no SQLite database", "choose another --store"],
    );
}

#[test]
fn a_damaged_database_is_refused() {
    let home = folder();
    let garbage = [b"SQLite format 3\0".as_slice(), &[0xa5; 8_000]].concat();
    fs::write(home.path().join("register.db"), garbage).unwrap();
    refused(
        home.path(),
        &["no SQLite database", "choose another --store"],
    );
}

#[test]
fn another_programs_database_is_refused() {
    let home = folder();
    let other = Connection::open(home.path().join("register.db")).unwrap();
    other
        .execute_batch("CREATE TABLE diary (day TEXT)")
        .unwrap();
    drop(other);
    let says = ["another program's database", "choose another --store"];
    refused(home.path(), &says);
}

#[test]
fn another_programs_unfinished_log_stays_where_it_is() {
    let [home, theirs] = [folder(), folder()];
    let other = Connection::open(theirs.path().join("diary.db")).unwrap();
    let write = "PRAGMA journal_mode=wal; CREATE TABLE diary (day TEXT)";
    other.execute_batch(write).unwrap();
    for suffix in ["", "-wal"] {
        let [from, to] = [
            theirs.path().join("diary.db"),
            home.path().join("register.db"),
        ]
        .map(|path| format!("{}{suffix}", path.display()));
        fs::copy(from, to).unwrap();
    }
    let kept = contents(home.path());
    let ran = run_to_end(&mut serve(home.path(), &home.path().join("register.db")));
    ran.exits(1).says(&["another program's database"]);
    let now = contents(home.path());
    // SQLite makes its index of the log anew whenever it reads one.
    let now = now
        .into_iter()
        .filter(|(path, _)| !path.to_string_lossy().ends_with("-shm"));
    assert!(now.eq(kept));
}

#[test]
fn a_register_of_a_later_version_is_refused() {
    let home = folder();
    let path = home.path().join("register.db");
    make_register(&path);
    fs::remove_file(home.path().join("register.db.lock")).unwrap();
    let later = Connection::open(&path).unwrap();
    later.pragma_update(None, "user_version", 999).unwrap();
    drop(later);
    let says = ["schema is version 999", "use a newer shippy"];
    let before = fs::read(&path).unwrap();
    let ran = run_to_end(&mut serve(home.path(), &path));
    ran.exits(1).says(&says);
    foreseen(&mut serve(home.path(), &path), &says);
    assert!(fs::read(&path).unwrap() == before);
}

/// How version 1 made a register.
pub(crate) const VERSION_1: &str = "
    PRAGMA journal_mode = wal;
    CREATE TABLE register (id TEXT NOT NULL) STRICT;
    CREATE TABLE consignment (
        sequence INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    INSERT INTO register VALUES ('01a204df-cc18-76b4-89aa-63ade4ea4b19');
    INSERT INTO consignment VALUES (1, 'tea', 1795356185000000, x'0a03746561');
    PRAGMA application_id = 0x73687079;
    PRAGMA user_version = 1;";

#[test]
fn a_register_of_the_version_before_is_gone_on_with() {
    let home = folder();
    let path = home.path().join("register.db");
    let before = Connection::open(&path).unwrap();
    before.execute_batch(VERSION_1).unwrap();
    drop(before);
    // A copy that is made before an upgrade is one that there is a way back to.
    let copy = home.path().join("copy.db");
    let store = format!("sqlite:{}", path.display());
    let mut backup = shippy(home.path());
    backup.arg("backup").arg(&copy).args(["--store", &store]);
    run(&mut backup).exits(0);
    let version = |path: &Path| {
        let register = Connection::open(path).unwrap();
        let version = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        (register.pragma_query_value(None, "user_version", version)).unwrap()
    };
    assert_eq!([version(&path), version(&copy)], [1, 1]);
    for _ in 0..2 {
        let server = Server::start(home.path());
        assert_eq!(server.register, "01a204df-cc18-76b4-89aa-63ade4ea4b19");
        let both = file(
            home.path(),
            "both.ndjson",
            "{\"id\":\"tea\"}\n{\"id\":\"rum\"}\n",
        );
        let ran = run(&mut server.ask(home.path(), &["create", &both])).exits(0);
        assert_eq!(ran.stdout, "tea\nrum\n");
        let list = server.ask(home.path(), &["list", "-o", "csv"]);
        let listed = run(&mut { list }).exits(0).stdout;
        let first = "1,2026-11-22T14:03:05Z,tea,,0,,,,,,";
        assert_eq!(listed.lines().nth(1), Some(first));
        assert_eq!(listed.lines().count(), 3, "{listed}");
        stops_well(server);
    }
}

#[test]
fn a_folder_is_refused_as_a_file() {
    let home = folder();
    fs::create_dir(home.path().join("register.db")).unwrap();
    refused(home.path(), &["it is a folder", "choose another --store"]);
}

#[test]
fn what_is_no_file_is_refused() {
    let home = folder();
    let _socket = UnixListener::bind(home.path().join("register.db")).unwrap();
    refused(home.path(), &["it is no file", "choose another --store"]);
    let ran = run_to_end(&mut serve(home.path(), Path::new("/dev/null")));
    ran.exits(1).says(&["it is no file"]);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let home = folder();
    for path in ["/dev/null/register.db", "/dev/null/deep/down/register.db"] {
        let texts = ["could not use the folder /dev/null", "--store sqlite:PATH"];
        let ran = run_to_end(&mut serve(home.path(), Path::new(path)));
        ran.exits(1).says(&texts);
        foreseen(&mut serve(home.path(), Path::new(path)), &texts);
    }
}

#[test]
fn an_empty_file_becomes_a_register() {
    let home = folder();
    fs::write(home.path().join("register.db"), "").unwrap();
    let server = Server::start(home.path());
    run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
    stops_well(server);
}

#[test]
fn a_young_register_that_comes_without_its_log_is_missed() {
    let home = folder();
    let server = Server::start(home.path());
    let first = server.register.clone();
    run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
    server.kill();
    let [path, log] = ["register.db", "register.db-wal"].map(|name| home.path().join(name));
    let away = home.path().join("away-wal");
    fs::rename(&log, &away).unwrap();
    let warning = "register.db-wal is missing, so a new register is made";
    let ran = run_to_end(serve(home.path(), &path).arg("--check")).exits(0);
    assert!(ran.stdout.contains(warning), "{ran:#?}");
    let server = Server::start(home.path());
    assert!(server.logged().contains(warning), "{}", server.logged());
    assert_ne!(server.register, first);
    for _ in 0..9 {
        run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
    }
    stops_well(server);
    fs::rename(&away, &log).unwrap();
    let server = Server::start(home.path());
    assert_eq!(server.register, first);
    let listed = run(&mut server.ask(home.path(), &["list", "-o", "ndjson"])).exits(0);
    assert_eq!(listed.stdout.lines().count(), 1, "{listed:#?}");
    run(shippy(home.path()).arg("verify").arg(&path)).exits(0);
}

#[test]
fn missing_folders_are_made() {
    let home = folder();
    let path = home.path().join("some/where/register.db");
    let server = Server::start_with(home.path(), |command| {
        *command = serve(home.path(), &path);
    });
    stops_well(server);
    assert!(path.is_file());
}
