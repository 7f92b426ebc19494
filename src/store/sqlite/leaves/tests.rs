//! What is read from pages is what SQLite reads, whatever is in the file.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

use super::*;
use crate::store::{
    Filter, NewConsignment, Page, Scan, Store as _, StoredConsignment,
    sqlite::{SqliteStore, lock::Locked, record as stored},
};

const SELECT: &str = "SELECT sequence, created_at, body, created_by FROM consignment";

/// A register in a folder of its own, which nobody serves.
struct Subject {
    home: TempDir,
    connection: Connection,
}

impl Subject {
    /// With a consignment of each of these lengths.
    async fn of(lengths: &[usize]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&home.path().join("register.db")).unwrap();
        append(&store, 0, lengths).await;
        store.close().await;
        Self::in_folder(home)
    }

    fn in_folder(home: TempDir) -> Self {
        let connection = Connection::open(home.path().join("register.db")).unwrap();
        Self { home, connection }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("register.db")
    }

    /// What SQLite reads.
    fn known(&self) -> Vec<StoredConsignment> {
        let mut select = self.connection.prepare(SELECT).unwrap();
        let rows = select.query_map([], stored).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// What is read from the pages of the file at `path`, from the record `first` on as far as that goes, where all up to
    /// `through` has been moved into it.
    fn read(&self, path: &Path, first: u64, through: u64) -> Vec<StoredConsignment> {
        let file = Arc::new(Locked(fs::File::open(path).unwrap()));
        let settled = Settled::new(path, Some(&file), through);
        let mut leaves = Leaves::new(Arc::new(settled));
        let (mut found, mut next) = (Vec::new(), first);
        loop {
            let scan = everything_after(next - 1);
            let mut page = PageBuilder::new(&scan);
            let searched = leaves.search(&self.connection, &(next..=u64::MAX), &mut page);
            let is_full = searched.unwrap().is_none();
            let page: Page = page.finish();
            next += page.records.len() as u64;
            found.extend(page.records.iter());
            if !is_full {
                return found;
            }
        }
    }
}

fn everything_after(after: u64) -> Scan {
    Scan {
        after,
        through: u64::MAX,
        ids: Vec::new(),
        filter: Filter::default(),
        newest_first: false,
        limit: usize::MAX,
    }
}

/// The body of the consignment `number`, which it can be told by.
fn body(number: usize, length: usize) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(length.max(8), u8::try_from(number % 251).unwrap());
    body
}

/// Appends a consignment of each of these lengths, the first with the number `first`. Some are in the order of their ids,
/// and some have a creator.
async fn append(store: &SqliteStore, first: usize, lengths: &[usize]) {
    let numbered: Vec<_> = (first..).zip(lengths).collect();
    for part in numbered.chunks(1000) {
        let new = |&(number, &length): &(usize, &usize)| NewConsignment {
            created_by: (number % 3 == 0).then(|| "crane".into()),
            ..NewConsignment::new(
                format!("{:05}-{number}", number.wrapping_mul(40_503) % 65_536),
                body(number, length),
            )
        };
        store.append(part.iter().map(new).collect()).await.unwrap();
    }
}

#[tokio::test]
async fn pages_hold_what_sqlite_reads() {
    let lengths: Vec<_> = (0..9_000).map(|number| number * 7 % 900).collect();
    let subject = Subject::of(&lengths).await;
    // Integers are kept in as many bytes as they take.
    let times = (0..63).flat_map(|bits| [1_i64 << bits, !(1_i64 << bits)]);
    let set = "UPDATE consignment SET created_at = ?2 WHERE sequence = ?1";
    for (sequence, time) in (1..).zip(times.chain([0, 1, -1])) {
        subject
            .connection
            .execute(set, (sequence * 40, time))
            .unwrap();
    }
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    (subject.connection)
        .query_row(checkpoint, [], |_| Ok(()))
        .unwrap();

    let known = subject.known();
    for first in [1, 2, 777, 4_000, 8_500] {
        let found = subject.read(&subject.path(), first, 9_000);
        let rest = &known[usize::try_from(first).unwrap() - 1..];
        assert!(
            rest.starts_with(&found),
            "from {first}: {} of them",
            found.len()
        );
        assert!(
            found.len() + FEWEST_RECORDS >= rest.len(),
            "{}",
            found.len()
        );
    }
    // What comes after the last that has been moved is not looked for.
    let found = subject.read(&subject.path(), 1, 5_000);
    assert!((4_800..5_000).contains(&found.len()), "{}", found.len());
}

#[tokio::test]
async fn sqlite_reads_what_takes_more_than_a_page() {
    let mut lengths = vec![300; 2_000];
    lengths[1_234] = 5_000;
    let subject = Subject::of(&lengths).await;
    let known = subject.known();
    assert_eq!(subject.read(&subject.path(), 1, 2_000), known[..1_234]);
    let found = subject.read(&subject.path(), 1_236, 2_000);
    assert!(known[1_235..].starts_with(&found) && found.len() > 500);
}

#[tokio::test]
async fn rows_of_version_1_have_no_creator() {
    let home = tempfile::tempdir().unwrap();
    let connection = Connection::open(home.path().join("register.db")).unwrap();
    let made = "CREATE TABLE consignment (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
                    created_at INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
                WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 2000)
                INSERT INTO consignment SELECT n, 'id-' || n, n * 1000, randomblob(300) FROM number;
                ALTER TABLE consignment ADD COLUMN created_by TEXT;";
    connection.execute_batch(made).unwrap();
    drop(connection);
    let subject = Subject::in_folder(home);
    let (known, found) = (subject.known(), subject.read(&subject.path(), 1, 2_000));
    assert!(known.starts_with(&found) && found.len() > 1_800);
}

/// A file that lacks what has since been written is one in which less was settled.
#[tokio::test]
async fn a_file_that_lacks_the_rest_gives_what_it_has() {
    let subject = Subject::of(&[300; 2_000]).await;
    let path = subject.path();
    let old = subject.home.path().join("old.db");
    fs::copy(&path, &old).unwrap();
    drop(subject.connection);
    let store = SqliteStore::open(&path).unwrap();
    append(&store, 2_000, &[300; 2_000]).await;
    store.close().await;
    let subject = Subject::in_folder(subject.home);
    let known = subject.known();
    for (through, least) in [(2_000, 1_850), (4_000, 1_950)] {
        let found = subject.read(&old, 1, through);
        assert!(known.starts_with(&found), "through {through}");
        assert!((least..=2_000).contains(&found.len()), "{}", found.len());
    }
}

/// Lists while the log is moved again and again find each consignment as it was written.
#[tokio::test(flavor = "multi_thread")]
async fn lists_are_right_while_the_log_is_moved() {
    const COUNT: usize = 24_000;
    let home = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&home.path().join("register.db")).unwrap());
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for part in 0..COUNT / 500 {
                append(&store, part * 500, &[1_700; 500]).await;
            }
        }
    });
    loop {
        let is_last = writing.is_finished();
        let last = store.last_sequence().await.unwrap();
        let mut scan = everything_after(0);
        scan.through = last;
        let mut number = 0;
        loop {
            let page = store.scan(&scan).await.unwrap();
            for one in page.records.iter() {
                assert!(one.body == body(number, 1_700), "number {number} of {last}");
                number += 1;
                assert_eq!(one.receipt.sequence, number as u64);
            }
            if !scan.pass(&page) {
                break;
            }
        }
        assert_eq!(number as u64, last);
        if is_last {
            break;
        }
    }
    writing.await.unwrap();
    let (_, settled) = store
        .readers
        .settled
        .look()
        .expect("a file system of Linux's own");
    assert!(settled > 5_000, "settled are {settled}");
    store.close().await;
}

/// A register's file, and which of its pages is the table's uppermost and which are leaves of it.
fn sound() -> &'static (Vec<u8>, Vec<usize>) {
    static SOUND: OnceLock<(Vec<u8>, Vec<usize>)> = OnceLock::new();
    SOUND.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let subject = runtime.block_on(Subject::of(&[300; 1_000]));
        let table = Table::of(&subject.connection).unwrap();
        let leaves = table.leaves(&subject.connection, 1, 1_000).unwrap();
        let pages = [table.root]
            .into_iter()
            .chain(leaves.iter().map(|leaf| leaf.page));
        (fs::read(subject.path()).unwrap(), pages.collect())
    })
}

proptest! {
    /// Whatever is damaged, reading ends, without a panic, and each record has its place.
    #[test]
    fn damaged_pages_are_left_to_sqlite(
        damage in vec((
            prop_oneof![Just(0), any::<prop::sample::Index>().prop_map(|at| at.index(70))],
            prop_oneof![0_usize..200, 0_usize..4_096],
            vec(prop_oneof![Just(0), Just(0xff), any::<u8>()], 1..12),
        ), 1..4),
    ) {
        let (file, pages) = sound();
        let mut file = file.clone();
        for (page, offset, bytes) in damage {
            let at = (pages[page % pages.len()] - 1) * 4_096 + offset;
            for (place, byte) in file[at..].iter_mut().zip(bytes) {
                *place = byte;
            }
        }
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("register.db"), file).unwrap();
        let subject = Subject::in_folder(home);
        let found = subject.read(&subject.path(), 1, 1_000);
        for (sequence, one) in (1..=1_000).zip(&found) {
            prop_assert_eq!(one.receipt.sequence, sequence);
        }
        prop_assert!(found.len() <= 1_000);
    }
}

#[tokio::test]
async fn a_child_that_is_no_page_is_left_to_sqlite() {
    let subject = Subject::of(&[300; 1_000]).await;
    let root = Table::of(&subject.connection).unwrap().root;
    let mut file = fs::read(subject.path()).unwrap();
    // What leads to the third leaf, whose place the page says behind its header of 12 bytes.
    let page = (root - 1) * 4_096;
    let cell = page + usize::from(u16::from_be_bytes([file[page + 16], file[page + 17]]));
    file[cell..cell + 4].fill(0);
    fs::write(subject.path(), file).unwrap();
    let subject = Subject::in_folder(subject.home);
    let found = subject.read(&subject.path(), 1, 1_000);
    assert!((10..100).contains(&found.len()), "{}", found.len());
}
