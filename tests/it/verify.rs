//! `shippy verify`: damage of each kind is found, and what is sound is called so.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use shippy::{
    consignment::{canonical, new_id},
    proto::{Consignment, Container},
    store::{NewConsignment, Store as _, sqlite::SqliteStore},
};
use tempfile::TempDir;

use crate::{
    cli::file,
    running::run_to_end,
    support::{Ran, Server, eventually, folder, run, shippy},
};

/// More than two segments of the filter index hold.
const RECORDS: usize = 35_000;

/// A register in `register.db` that is sound, with an index of two segments.
struct Subject {
    home: TempDir,
}

impl Subject {
    fn new() -> Self {
        let subject = Self { home: folder() };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = SqliteStore::open(&subject.path()).unwrap();
        let batch = (0..RECORDS).map(new);
        runtime.block_on(store.append(batch.collect())).unwrap();
        eventually("two segments in the index", || {
            let index = subject
                .index()
                .exists()
                .then(|| Connection::open(subject.index()));
            let count = "SELECT count(*) FROM segment";
            let count = index?
                .ok()?
                .query_row(count, [], |row| row.get::<_, i64>(0));
            (count == Ok(2)).then_some(())
        });
        runtime.block_on(store.close());
        subject
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("register.db")
    }

    fn index(&self) -> PathBuf {
        self.home.path().join("register.db.index")
    }

    /// A copy of both files in a folder of its own, changed by `change`.
    fn copied(&self, change: impl FnOnce(&Self)) -> Self {
        let copy = Self { home: folder() };
        fs::copy(self.path(), copy.path()).unwrap();
        fs::copy(self.index(), copy.index()).unwrap();
        change(&copy);
        copy
    }

    fn verify(&self) -> Ran {
        verify(self.home.path(), &self.path())
    }

    /// Fails the test unless verifying a copy that `change` has damaged says each of `texts`.
    #[track_caller]
    fn finds(&self, change: impl FnOnce(&Self), texts: &[&str]) {
        let damaged = self.copied(change);
        let before = [damaged.path(), damaged.index()].map(|path| fs::read(path).unwrap());
        let ran = damaged.verify().exits(1).says(texts);
        assert_eq!(ran.stdout, "", "{ran:#?}");
        let after = [damaged.path(), damaged.index()].map(|path| fs::read(path).unwrap());
        assert!(before == after, "verifying has changed something");
    }
}

fn verify(home: &Path, path: &Path) -> Ran {
    run_to_end(shippy(home).arg("verify").arg(path))
}

fn new(number: usize) -> NewConsignment {
    let mut consignment = Consignment {
        id: new_id(),
        weight: i32::try_from(number).unwrap(),
        vessel_id: format!("vessel-{}", number % 7),
        containers: vec![Container {
            customer_id: format!("customer-{}", number % 1_000),
            ..Container::default()
        }],
        ..Consignment::default()
    };
    NewConsignment::new(consignment.id.clone(), canonical(&mut consignment))
}

fn change(path: &Path, statement: &str) {
    let file = Connection::open(path).unwrap();
    file.execute_batch(statement).unwrap();
}

/// A change of the register, and one of its index.
fn of_register(statement: &str) -> impl FnOnce(&Subject) {
    move |subject| change(&subject.path(), statement)
}

fn of_index(statement: &str) -> impl FnOnce(&Subject) {
    move |subject| change(&subject.index(), statement)
}

#[test]
fn what_is_sound_is_called_so_whatever_the_state_of_its_index() {
    let subject = Subject::new();
    let ran = subject.verify().exits(0);
    for text in [
        "is sound: 35,000 consignments, 1 to 35,000, of 20",
        "agrees up to 32,768",
    ] {
        assert!(ran.stdout.contains(text), "no {text:?} in {ran:#?}");
    }
    assert_eq!((ran.stdout.lines().count(), &*ran.stderr), (1, ""));
    // An index that a start would not go on with is no damage.
    for statement in [
        "UPDATE origin SET register = 'another'",
        "UPDATE origin SET id = 'another'",
        "PRAGMA user_version = 1",
    ] {
        let ran = subject.copied(of_index(statement)).verify().exits(0);
        assert!(
            ran.stdout.contains("will be made anew"),
            "{statement}: {ran:#?}"
        );
    }
    let bare = subject.copied(|subject| fs::remove_file(subject.index()).unwrap());
    let ran = bare.verify().exits(0);
    assert!(!ran.stdout.contains("index"), "{ran:#?}");
}

#[test]
fn damage_of_each_kind_is_found() {
    let subject = Subject::new();
    for (statement, texts) in [
        (
            "DELETE FROM consignment WHERE sequence IN (17, 200, 201, 35000, 900, 34000)",
            &["are missing: 17; 200 to 201; 900; and 1 more"][..],
        ),
        (
            "UPDATE consignment SET sequence = -5 WHERE sequence = 35000",
            &["below 1: -5"],
        ),
        // The last text of the body, whose length stays as it is.
        (
            "UPDATE consignment SET body = CAST(substr(body, 1, length(body) - 1) || x'80' AS BLOB)
             WHERE sequence = 33000",
            &["no consignments: 33000 (", "UTF-8"],
        ),
        (
            "UPDATE consignment SET body = CAST(body || x'1800' AS BLOB) WHERE sequence = 33000",
            &["not encoded as they have to be: 33000"],
        ),
        (
            "UPDATE consignment SET id = 'other' WHERE sequence = 33000",
            &["not those in the bodies: 33000 (\"other\" instead of \"0"],
        ),
        (
            "UPDATE consignment SET created_at = -1 WHERE sequence = 33000",
            &["times are none: 33000 (-1"],
        ),
        (
            "UPDATE consignment SET created_by = CAST(x'ff41' AS TEXT) WHERE sequence = 33000;
             UPDATE consignment SET created_by = 'a b' WHERE sequence = 33001;
             UPDATE consignment SET created_by = 'crane' WHERE sequence = 33002;",
            &["creators' names are none: 33000 (\"\u{fffd}A\"); 33001 (\"a b\")\n"],
        ),
        (
            "ALTER TABLE consignment DROP COLUMN created_by",
            &["not those of version 2"],
        ),
        ("PRAGMA user_version = 1", &["not those of version 1"]),
        // Within the index: the vessel is another one now.
        (
            "UPDATE consignment SET body = CAST(replace(body, 'vessel-3', 'vessel-x') AS BLOB)
             WHERE sequence = 4",
            &["index is wrong", "a block of the segment 1 to 16384"],
        ),
    ] {
        subject.finds(of_register(statement), texts);
    }
}

#[test]
fn an_index_that_would_be_believed_and_is_wrong_is_found() {
    let subject = Subject::new();
    let wrong = "the filter index is wrong (remove it";
    for (statement, said) in [
        (
            "DELETE FROM block WHERE number % 65536 = 3",
            "a missing block",
        ),
        (
            "UPDATE block SET checksum = checksum + 1 WHERE number % 65536 = 3",
            "a block of",
        ),
        (
            "UPDATE block SET postings = zeroblob(9) WHERE number % 65536 = 3",
            "a block of",
        ),
        (
            "INSERT INTO block SELECT number + 60000, checksum, postings FROM block WHERE number % 65536 = 3",
            "no segment",
        ),
        ("UPDATE segment SET created_to = created_to + 1", "checksum"),
        (
            "DELETE FROM segment WHERE first = 1",
            "no segment begins with 1",
        ),
    ] {
        subject.finds(of_index(statement), &[wrong, said]);
    }
}

#[test]
fn a_file_that_is_cut_overwritten_or_something_else_is_told() {
    let subject = Subject::new();
    let length = subject.path().metadata().unwrap().len();
    let cut = |subject: &Subject| {
        let file = fs::File::options()
            .write(true)
            .open(subject.path())
            .unwrap();
        file.set_len(length / 2).unwrap();
    };
    subject.finds(cut, &["register.db", "malformed"]);
    let overwritten = |subject: &Subject| {
        let mut bytes = fs::read(subject.path()).unwrap();
        let middle = bytes.len() / 8_192 * 4_096;
        bytes[middle..middle + 4_096].fill(0xa5);
        fs::write(subject.path(), bytes).unwrap();
    };
    subject.finds(overwritten, &["the file is damaged: "]);
    // An entry of the ids' index that no row has.
    let torn = |subject: &Subject| {
        change(
            &subject.path(),
            "PRAGMA writable_schema = ON; CREATE TABLE kept AS SELECT * FROM sqlite_schema;
             DELETE FROM sqlite_schema WHERE name = 'sqlite_autoindex_consignment_1'",
        );
    };
    subject.finds(torn, &["register.db"]);
    let home = folder();
    let diary = file(home.path(), "diary", "dear diary");
    let ran = verify(home.path(), Path::new(&diary))
        .exits(1)
        .says(&["not a shippy register (it is no SQLite database)"]);
    assert!(!ran.stderr.contains("--store"), "{ran:#?}");
    let empty = file(home.path(), "empty", "");
    verify(home.path(), Path::new(&empty))
        .exits(1)
        .says(&["it is empty"]);
    verify(home.path(), home.path())
        .exits(1)
        .says(&["it is a folder"]);
    let gone = home.path().join("gone.db");
    verify(home.path(), &gone).exits(1).says(&["no such file"]);
    assert!(!gone.exists());
}

#[test]
fn a_register_is_verified_while_it_is_served_and_written_to() {
    let home = folder();
    let server = Server::start(home.path());
    let path = home.path().join("register.db");
    let many = file(
        home.path(),
        "many.ndjson",
        "{\"vessel_id\":\"v\"}\n".repeat(20_000),
    );
    let mut create = server.ask(home.path(), &["create", "-q", &many]);
    let mut create = create.stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut looks = 0;
    while create.try_wait().unwrap().is_none() || looks < 3 {
        let ran = verify(home.path(), &path).exits(0);
        assert!(ran.stdout.contains(&server.register), "{ran:#?}");
        looks += 1;
    }
    let ran = verify(home.path(), &path).exits(0);
    assert!(ran.stdout.contains("20,000 consignments"), "{ran:#?}");
    // What a killed server leaves is looked at, and left for the next start.
    server.kill();
    let log = home.path().join("register.db-wal");
    let left = fs::read(&log).unwrap();
    let ran = verify(home.path(), &path).exits(0);
    assert!(ran.stdout.contains("20,000 consignments"), "{ran:#?}");
    assert!(!left.is_empty() && fs::read(&log).unwrap() == left);
    let server = Server::start(home.path());
    run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
}
