use std::{
    cell::Cell,
    ffi::OsString,
    fmt::Write as _,
    fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt as _,
    rc::Rc,
    sync::atomic::AtomicU64,
};

use super::*;
use crate::{consignment::canonical, proto::Consignment};

mod messages;

/// What DESIGN gives for the encoding of the repository's consignment.json.
const GOLDEN: &str = "121a546869732069732061207465737420636f6e7369676e6d656e7418a604222e1207637573743030311a1a4d616e636865737465722c20556e69746564204b696e67646f6d2207757365723030312a0976657373656c303031";

fn records(input: impl AsRef<[u8]>) -> Result<Vec<Record>, InputError> {
    Records::new(input.as_ref(), "in.json").collect()
}

fn check(source: &Source) -> Result<Checked, InputError> {
    source.check(&AtomicU64::new(0))
}

#[track_caller]
fn one(input: impl AsRef<[u8]>) -> Consignment {
    let mut records = records(input).expect("good input");
    assert_eq!(records.len(), 1);
    records.remove(0).consignment
}

#[test]
fn the_sample_encodes_to_the_golden_bytes() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/consignment.json");
    let sample = fs::read(sample).expect("the sample is there");
    let hex = canonical(&mut one(sample))
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes all");
            hex
        });
    assert_eq!(hex, GOLDEN);
}

#[test]
fn objects_arrays_and_objects_one_after_another_are_read() {
    for (input, lines) in [
        (r#"{"id":"a"}"#, vec![1]),
        ("\u{feff}{\"id\":\"a\"}\n", vec![1]),
        ("\n\t [{\"id\":\"a\"}\n,\r\n{\"id\":\"b\"}]\n", vec![2, 4]),
        (
            "{\"id\":\"a\"}\n{\"id\":\"b\"}\n\n{\"id\":\"c\"}",
            vec![1, 2, 4],
        ),
        (
            "{\n\"id\":\n\"a\"}\n{\n\"id\":\"b\"\n}{\"id\":\"c\"}",
            vec![1, 4, 6],
        ),
        // Brackets and quotes within texts end nothing.
        (
            "{\"id\":\"a\",\"description\":\"}]\\\"{\\\\\"} {\"id\":\"b\"}",
            vec![1, 1],
        ),
    ] {
        let records = records(input).expect(input);
        let begun: Vec<_> = records.iter().map(|record| record.line).collect();
        assert_eq!(begun, lines, "{input}");
        for (record, id) in records.iter().zip(["a", "b", "c"]) {
            assert_eq!(record.consignment.id, id, "{input}");
        }
    }
}

/// Gives a byte at a time, with an interrupt before each.
struct Dribble<'a>(&'a [u8], bool);

impl Read for Dribble<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let taken = self.0.len().min(1).min(into.len());
        into[..taken].copy_from_slice(&self.0[..taken]);
        self.0 = &self.0[taken..];
        Ok(taken)
    }
}

#[test]
fn the_same_is_read_however_the_bytes_arrive() {
    // What arrives at once is read line by line where that can be, what dribbles in never is.
    for input in [
        "\u{feff}[{\"id\":\"a\",\"description\":\"\\\"é\\\\\"},{\"id\":\"b\"}]",
        "{\"id\":\"a\"}\n{\"id\":\"é\"}\n",
        "\u{feff}{\"id\":\"a\"}\n\n  {\"id\":\"b\"} \t\r\n{\n}{}\n{} {\"weight\":1}\n{\"weight\":null}\n{}",
        "{}\n{\"weight\":1}\n {\"weight\":-1}\n{}\n",
        "{}\n{\"wieght\":1}\n",
        "{}\n{\"id\":\"a\"\n}\n{},\n{}\n",
        "{}\n{\"id\":\"}\n{\"}\n",
        "{}\n{\"id\":\"\\\"}\n",
        "{\"containers\":[{}]}\n]}\n",
        "\n{}\n[{}]\n",
    ] {
        let whole: Vec<_> = Records::new(input.as_bytes(), "in.json").collect();
        let dribbled: Vec<_> = Records::new(Dribble(input.as_bytes(), false), "in.json").collect();
        assert_eq!(format!("{whole:?}"), format!("{dribbled:?}"), "{input}");
    }
}

#[test]
fn lines_longer_and_shorter_than_what_is_read_at_a_time_are_read() {
    let line = |number: usize| {
        let text = "x".repeat(number * 7 % 4_000);
        format!("{{\"id\":\"{number}\",\"description\":\"{text}\"}}\n")
    };
    let input: String = (1..=500).map(line).collect();
    assert!(input.len() > 3 * 256 * 1024);
    for (index, record) in records(input).expect("good input").iter().enumerate() {
        assert_eq!(record.line, index + 1);
        assert_eq!(record.consignment.id, record.line.to_string());
    }
}

#[test]
fn both_spellings_of_keys_numbers_as_texts_and_what_list_prints_are_accepted() {
    let consignment = one(
        r#"{"vesselId": "v", "weight": "550", "createdAt": "2026-11-22T14:03:05.5Z", "sequence": "18446744073709551615",
            "containers": [{"customerId": "c", "user_id": "u"}]}"#,
    );
    assert_eq!(consignment.vessel_id, "v");
    assert_eq!(consignment.weight, 550);
    assert_eq!(consignment.sequence, u64::MAX);
    assert_eq!(
        consignment
            .created_at
            .map(|time| (time.seconds, time.nanos)),
        Some((1_795_356_185, 500_000_000))
    );
    assert_eq!(consignment.containers[0].customer_id, "c");
    assert_eq!(consignment.containers[0].user_id, "u");
    assert_eq!(one(r#"{"weight": 2147483647, "sequence": 7}"#).sequence, 7);
}

#[test]
fn null_stands_for_the_default_of_a_field_and_nothing_else() {
    let nulls = r#"{"id":null,"description":null,"weight":null,"vesselId": null,"created_at":null,"sequence":null,"createdBy":null,
        "containers":[{"id":null,"origin":"null","customerId":null,"user_id":null}]}"#;
    let mut consignment = one(nulls);
    assert_eq!(consignment.containers[0].origin, "null");
    assert_eq!(
        canonical(&mut consignment),
        canonical(&mut one(r#"{"containers":[{"origin":"null"}]}"#))
    );
    assert_eq!(one(r#"{"containers":null}"#), Consignment::default());
}

#[test]
fn a_record_without_an_end_is_not_read_into_memory_whole() {
    struct Endless(Rc<Cell<usize>>);
    impl Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            into.fill(b'x');
            self.0.set(self.0.get() + into.len());
            Ok(into.len())
        }
    }
    let taken = Rc::new(Cell::new(0));
    let input = b"\n{\"id\": \"".chain(Endless(Rc::clone(&taken)));
    let first = Records::new(input, "in.json").next().expect("something");
    let error = first.expect_err("it has no end");
    assert_eq!(
        error.to_string(),
        "in.json:2:1: this object does not end within 8388608 bytes; is a closing quote or bracket missing?"
    );
    assert!(taken.get() < 2 * frame::MAX_RECORD_BYTES);
}

#[test]
fn what_is_good_is_handed_out_before_the_error_and_nothing_after_it() {
    let mut records = Records::new(&b"{} {} x {}"[..], "in.json");
    assert!(matches!(records.next(), Some(Ok(_))));
    assert!(matches!(records.next(), Some(Ok(_))));
    assert!(matches!(
        records.next(),
        Some(Err(InputError::Invalid { .. }))
    ));
    assert!(records.next().is_none());
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = |name: &str| Source::from(folder.path().join(name).into_os_string());
    let failure = |name: &str| check(&source(name)).expect_err("it cannot be read");

    let missing = failure("no\u{1b}such.json");
    assert!(matches!(missing, InputError::Missing { .. }));
    assert!(missing.to_string().ends_with(
        "no\\u{1b}such.json: there is no such file; check the path, or give - to read standard input"
    ));
    assert!(matches!(failure("."), InputError::Directory { .. }));

    let path = folder.path().join("closed.json");
    fs::write(&path, "{}").expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("its mode");
    // Root may read what nobody may; the wording is tested either way.
    if fs::File::open(&path).is_err() {
        assert!(matches!(failure("closed.json"), InputError::Denied { .. }));
    }
    let denied = InputError::from_io("x".into(), io::ErrorKind::PermissionDenied.into());
    assert!(matches!(denied, InputError::Denied { .. }));
}

#[test]
fn a_dash_is_standard_input() {
    assert_eq!(Source::from(OsString::from("-")).name(), "<stdin>");
    assert_eq!(Source::from(OsString::from("./-")).name(), "./-");
}
