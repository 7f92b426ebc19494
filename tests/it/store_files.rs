//! What may be at the path of a register, and what is said of it: nothing there is ever changed by a refusal.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rusqlite::Connection;
use shippy::store::{OpenError, Store as _, sqlite::SqliteStore};

use crate::{
    cli::file,
    running::run_to_end,
    support::{Ran, Server, eventually, executable, folder, own_name, run, shippy},
};

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
fn missing_folders_are_made() {
    let home = folder();
    let path = home.path().join("some/where/register.db");
    let server = Server::start_with(home.path(), |command| {
        *command = serve(home.path(), &path);
    });
    stops_well(server);
    assert!(path.is_file());
}

/// Serves as a user whom permissions bind, which they do not root.
fn refused_without_rights(home: &Path, texts: &[&str]) {
    let program = home.join("shippy");
    let before = contents(home);
    let mut command = serve(home, &home.join("kept/register.db"));
    if rustix::process::geteuid().is_root() {
        // Nobody may not enter the folders that the built program is in.
        let mut nobody = Command::new(&program);
        nobody.args(command.get_args()).uid(65_534).gid(65_534);
        nobody.env_clear();
        command = nobody;
    }
    let ran = run_to_end(&mut command).exits(1).says(texts);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    foreseen(&mut command, texts);
    assert!(contents(home) == before);
}

/// A home that everybody may enter, the program in it, and a register in `kept`.
fn open_home() -> tempfile::TempDir {
    let home = folder();
    set_mode(home.path(), 0o755);
    let program = home.path().join("shippy");
    // By a process of its own: what this one opens to write stays open, for a moment, in processes that other tests
    // begin, and a program that is open to be written cannot be run.
    let mut copy = Command::new("cp");
    run(copy.arg(executable()).arg(program)).exits(0);
    make_register_in(&home.path().join("kept"));
    home
}

fn make_register_in(folder: &Path) {
    fs::create_dir(folder).unwrap();
    make_register(&folder.join("register.db"));
    set_mode(&folder.join("register.db.lock"), 0o666);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_that_may_not_be_written_is_refused() {
    let home = open_home();
    let kept = home.path().join("kept");
    set_mode(&kept, 0o777);
    set_mode(&kept.join("register.db"), 0o444);
    let before = contents(&kept);
    refused_without_rights(home.path(), &["could not write", "make it writable"]);
    assert!(contents(&kept) == before);
}

#[test]
fn a_file_that_may_not_be_read_is_refused() {
    let home = open_home();
    let kept = home.path().join("kept");
    set_mode(&kept.join("register.db"), 0o000);
    refused_without_rights(home.path(), &["Permission denied", "make it writable"]);
}

#[test]
fn a_folder_that_may_not_be_written_is_refused() {
    let home = open_home();
    let kept = home.path().join("kept");
    fs::remove_file(kept.join("register.db.lock")).unwrap();
    set_mode(&kept.join("register.db"), 0o666);
    set_mode(&kept, 0o555);
    let before = contents(&kept);
    refused_without_rights(home.path(), &["could not", "--store sqlite:PATH"]);
    assert!(contents(&kept) == before);
}

#[test]
fn a_folder_in_which_no_register_can_be_made_is_refused() {
    let home = open_home();
    let kept = home.path().join("kept");
    for file in ["register.db", "register.db.lock"] {
        fs::remove_file(kept.join(file)).unwrap();
    }
    set_mode(&kept, 0o555);
    refused_without_rights(home.path(), &["could not", "--store sqlite:PATH"]);
    assert!(contents(&kept).is_empty());
}
