//! Indexes that are not to be believed.

use std::{
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::Path,
    thread,
    time::Duration,
};

use rusqlite::Connection;

use super::{
    super::{
        file::{IndexFile, Lookup, Mark},
        segment::{Builder, Fingerprint},
    },
    Distrusted, ROWS, Subject, all, eventually, sample,
};
use crate::store::{Filter, Scan, Store as _, texts::Kind};

const SEED: u64 = 42;
const SEGMENTS: u64 = 5;

fn vessel(number: usize) -> Filter {
    Filter {
        vessel_id: Some(format!("vessel-{number}")),
        ..Filter::default()
    }
}

/// An index of five segments at `path`, written by hand.
fn make_index(path: &Path) {
    let mut file = IndexFile::create(path, "a register", SEED, Path::new("Cargo.toml")).unwrap();
    let mut builder = Builder::default();
    for segment in 0..SEGMENTS {
        builder.clear();
        for row in 0..100 {
            let number = usize::try_from(segment).unwrap() * 100 + row;
            builder.add(SEED, 0, &sample(number)).unwrap();
        }
        let mark = Mark {
            sequence: (segment + 1) * 100,
            id: "an id".into(),
            created_at: 0,
        };
        file.fold(&builder, &mark, || true).unwrap();
    }
}

/// The rows of some texts, those that are nowhere included, in each segment; the first error.
fn answers(path: &Path) -> rusqlite::Result<Vec<Vec<u32>>> {
    let lookup = Lookup::open(path)?;
    if lookup.seed() != SEED {
        return Err(rusqlite::Error::InvalidQuery);
    }
    let mut answers = Vec::new();
    for segment in 0..SEGMENTS {
        let segment = lookup.segment_at(segment * 100 + 1)?;
        for number in 0..12 {
            for (kind, of) in [(Kind::Vessel, "vessel"), (Kind::Customer, "customer")] {
                let fingerprint = Fingerprint::new(SEED, kind, &format!("{of}-{number}"));
                answers.push(lookup.rows(&segment, fingerprint)?);
            }
        }
    }
    Ok(answers)
}

#[test]
fn no_bit_that_flips_changes_an_answer() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("index");
    make_index(&path);
    let sound = fs::read(&path).unwrap();
    let expected = answers(&path).unwrap();
    let mut errors = 0;
    for (turn, place) in (0..sound.len()).step_by(7).enumerate() {
        let mut damaged = sound.clone();
        damaged[place] ^= 1 << (turn % 8);
        fs::write(&path, damaged).unwrap();
        match answers(&path) {
            Ok(found) => assert_eq!(found, expected, "byte {place}"),
            Err(_) => errors += 1,
        }
    }
    // The rest is where nothing is kept.
    assert!(errors > 100, "{errors} of {} noticed", sound.len() / 7);
}

#[test]
fn an_index_that_is_cut_off_is_not_believed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("index");
    make_index(&path);
    let sound = fs::read(&path).unwrap();
    for length in (0..sound.len()).step_by(500) {
        fs::write(&path, &sound[..length]).unwrap();
        assert!(answers(&path).is_err(), "{length} bytes");
    }
}

#[test]
fn an_index_of_another_register_or_version_is_not_opened() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("index");
    let opened = |register| IndexFile::open(&path, register).unwrap();
    assert!(opened("a register").is_none(), "not there");
    make_index(&path);
    assert!(opened("a register").is_some());
    assert!(opened("another").is_none());
    let direct = Connection::open(&path).unwrap();
    for pragma in ["user_version", "application_id"] {
        let known: i64 = (direct.pragma_query_value(None, pragma, |row| row.get(0))).unwrap();
        direct.pragma_update(None, pragma, known + 1).unwrap();
        assert!(opened("a register").is_none(), "{pragma}");
        direct.pragma_update(None, pragma, known).unwrap();
    }
    assert!(opened("a register").is_some());
}

#[test]
fn a_fold_that_is_abandoned_leaves_the_index_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("index");
    make_index(&path);
    let (mut file, mark) = IndexFile::open(&path, "a register").unwrap().unwrap();
    let mut builder = Builder::default();
    builder.add(SEED, 0, &sample(500)).unwrap();
    let next = Mark {
        sequence: 501,
        ..mark.clone()
    };
    file.fold(&builder, &next, || false).unwrap_err();
    drop(file);
    let (_, found) = IndexFile::open(&path, "a register").unwrap().unwrap();
    assert_eq!(found, mark);
}

/// A register of `count` consignments, indexed and closed.
async fn indexed(count: usize) -> Subject {
    let mut subject = Subject::new();
    subject.fill(count).await;
    subject.catch_up();
    subject
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

#[tokio::test]
async fn what_is_indexed_stays_so_when_the_register_is_opened_again() {
    let subject = indexed(100).await;
    let is_folded = |subject: &Subject| subject.store.index.through() == Some((96, 100));
    assert!(is_folded(&subject));
    let index = subject.index();
    let before = fs::read(&index).unwrap();
    let subject = subject.reopened_after(|_| ()).await;
    subject.catch_up();
    assert!(is_folded(&subject));
    subject.check_all().await;
    let home = subject.close().await;
    assert!(fs::read(index).unwrap() == before, "written again");
    let beside = fs::read_dir(home.path()).unwrap().count();
    assert_eq!(beside, 3, "the register, its lock and its index");
}

#[tokio::test]
async fn an_index_has_the_registers_rights() {
    let mut subject = Subject::new();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(subject.path(), fs::Permissions::from_mode(0o600)).unwrap();
    subject.fill(ROWS as usize).await;
    subject.catch_up();
    eventually("the index's file", || subject.index().exists());
    assert_eq!(mode(subject.index()), 0o600);
    subject.close().await;
}

#[tokio::test]
async fn an_index_that_goes_further_than_the_register_is_made_anew() {
    let subject = indexed(50).await;
    let mut known = subject.known.clone();
    known.truncate(50);
    let old = tempfile::tempdir().unwrap();
    let older = old.path().join("register.db");
    let mut subject = subject
        .reopened_after(|home| copy(&home.join("register.db"), &older))
        .await;
    subject.fill(50).await;
    subject.catch_up();
    let restore = |home: &Path| copy(&older, &home.join("register.db"));
    let mut subject = subject.reopened_after(restore).await;
    subject.known = known;
    subject.check_all().await;
    subject.catch_up();
    subject.check_all().await;
    assert_eq!(subject.store.index.through(), Some((48, 50)));
    subject.close().await;
}

#[tokio::test]
async fn an_index_of_a_history_that_went_otherwise_is_made_anew() {
    let subject = indexed(50).await;
    let mut known = subject.known.clone();
    let old = tempfile::tempdir().unwrap();
    let older = old.path().join("register.db");
    let mut subject = subject
        .reopened_after(|home| copy(&home.join("register.db"), &older))
        .await;
    subject.fill(50).await;
    subject.catch_up();
    // The restored register grows past where the index ends, with other consignments, while there is no index.
    let kept = old.path().join("index");
    let restore = |home: &Path| {
        fs::copy(&older, home.join("register.db")).unwrap();
        fs::rename(home.join("register.db.index"), &kept).unwrap();
    };
    let mut subject = subject.reopened_after(restore).await;
    subject.known.clone_from(&known);
    subject
        .append((0..60).map(|number| sample(number * 3)).collect())
        .await;
    known.clone_from(&subject.known);
    let put_back = |home: &Path| fs::rename(&kept, home.join("register.db.index")).unwrap();
    let subject = subject.reopened_after(put_back).await;
    assert_eq!(subject.known, known);
    subject.check_all().await;
    subject.catch_up();
    subject.check_all().await;
    subject.close().await;
}

#[tokio::test]
async fn an_index_that_is_removed_while_it_is_served_is_made_again() {
    let subject = indexed(100).await;
    fs::remove_file(subject.index()).unwrap();
    subject.check_all().await;
    eventually("another index", || subject.index().exists());
    subject.catch_up();
    subject.check_all().await;
    subject.close().await;
}

#[tokio::test]
async fn an_index_that_a_scan_finds_damaged_is_made_again() {
    let subject = indexed(100).await.reopened_after(|_| ()).await;
    let direct = Connection::open(subject.index()).unwrap();
    let damage = "UPDATE block SET postings = CAST(randomblob(20) AS BLOB)";
    direct.execute(damage, []).unwrap();
    drop(direct);
    subject.catch_up();
    subject.check_all().await;
    let is_sound = || answers_for(&subject, 3) == Some(20);
    eventually("a sound index", is_sound);
    subject.goes_on(10).await;
}

/// How many of the folded consignments the file says are on vessel `number`.
fn answers_for(subject: &Subject, number: usize) -> Option<usize> {
    let lookup = Lookup::open(&subject.index()).ok()?;
    let text = format!("vessel-{number}");
    let fingerprint = Fingerprint::new(lookup.seed(), Kind::Vessel, &text);
    let (mut next, mut count) = (1, 0);
    while next <= 96 {
        let segment = lookup.segment_at(next).ok()?;
        count += lookup.rows(&segment, fingerprint).ok()?.len();
        next = segment.last + 1;
    }
    let in_tail = (97..=100).filter(|sequence| (sequence - 1) % 5 == number);
    Some(count + in_tail.count())
}

#[tokio::test]
async fn a_folder_in_the_indexs_place_stays_there_and_costs_only_time() {
    let mut subject = Subject::new()
        .reopened_after(|home| fs::create_dir(home.join("register.db.index")).unwrap())
        .await;
    fs::write(subject.index().join("mine"), "").unwrap();
    subject.fill(100).await;
    subject.check_all().await;
    let subject = subject.reopened_after(|_| ()).await;
    subject.check_all().await;
    assert!(subject.index().join("mine").exists());
    subject.close().await;
}

#[tokio::test]
async fn a_page_looks_at_so_many_segments_and_says_how_far_it_came() {
    let segments = 300_u64;
    let count = segments * u64::from(ROWS);
    let subject = indexed(usize::try_from(count).unwrap()).await;
    let mut rare = Scan {
        through: count,
        ..all(vessel(99))
    };
    let page = subject.store.scan(&rare).await.unwrap();
    assert_eq!((page.through, page.is_last), (256 * u64::from(ROWS), false));
    rare.newest_first = true;
    let page = subject.store.scan(&rare).await.unwrap();
    // One of them is the tail, which is empty.
    let back = count + 1 - 256 * u64::from(ROWS);
    assert_eq!((page.through, page.is_last), (back, false));
    subject.check(all(vessel(99))).await;
    subject.close().await;
}

#[tokio::test]
async fn a_block_is_not_taken_for_one_that_was_lost() {
    let subject = indexed(6 * ROWS as usize)
        .await
        .reopened_after(|home| {
            let direct = Connection::open(home.join("register.db.index")).unwrap();
            direct.execute("DELETE FROM block", []).unwrap();
        })
        .await;
    subject.goes_on(7 * ROWS as usize).await;
}

#[tokio::test]
async fn an_index_that_is_distrusted_while_it_folds_goes_on() {
    let mut subject = Subject::new();
    subject.fill(1_000).await;
    // Folding is most of what the thread does, so that many of these meet it there.
    for _ in 0..100 {
        let index = &subject.store.index;
        eventually("there is a tail", || index.shared.tail().is_some());
        let seed = index.shared.tail().as_ref().map_or(0, |tail| tail.seed);
        let distrusted = Distrusted {
            seed,
            is_damaged: true,
        };
        thread::sleep(Duration::from_millis(seed % 8));
        (index.shared.orders).send_modify(|orders| orders.distrusted = Some(distrusted));
    }
    subject.catch_up();
    subject.check_all().await;
    subject.close().await;
}

#[tokio::test]
async fn an_index_that_a_fold_finds_damaged_is_made_anew() {
    let subject = indexed(6 * ROWS as usize)
        .await
        .reopened_after(|home| {
            let index = home.join("register.db.index");
            let index = fs::File::options().write(true).open(index).unwrap();
            // Where the free room in a page of segments begins, which only who writes there asks for.
            index.write_all_at(&[1], 2 * 4_096 + 2).unwrap();
        })
        .await;
    subject.goes_on(7 * ROWS as usize).await;
}

#[test]
fn an_index_that_nothing_was_folded_into_is_none() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("register.db.index");
    drop(IndexFile::create(&path, "a register", SEED, Path::new("Cargo.toml")).unwrap());
    assert!(IndexFile::open(&path, "a register").unwrap().is_none());
}
