use pbjson_types::Timestamp;
use proptest::prelude::*;
use serde_json::ser::CompactFormatter;
use unicode_width::UnicodeWidthStr as _;

use super::*;
use crate::{
    consignment::{canonical, violations},
    formats::{
        read::Records,
        write::{rfc3339, write_object},
    },
    proto::Container,
};

mod table;

fn printed(format: Format, width: Option<usize>, chunks: Vec<Vec<Consignment>>) -> String {
    let mut out = Vec::new();
    let mut printer = Printer::new(format, &mut out, width);
    for chunk in chunks {
        printer.print(chunk).expect("memory takes all");
    }
    printer.finish().expect("memory takes all");
    String::from_utf8(out).expect("text")
}

fn read_back(text: &str) -> Vec<Consignment> {
    Records::new(text.as_bytes(), "printed")
        .map(|record| record.unwrap_or_else(|error| panic!("{error}\n{text}")))
        .map(|record| record.consignment)
        .collect()
}

fn tea() -> Consignment {
    Consignment {
        id: "tea-1".into(),
        description: "Tea".into(),
        weight: 550,
        containers: vec![Container {
            origin: "Manchester, United Kingdom".into(),
            ..Container::default()
        }],
        vessel_id: "vessel001".into(),
        created_at: Some(Timestamp {
            seconds: 1_795_356_185,
            nanos: 120_000_000,
        }),
        sequence: 7,
        created_by: "crane-7".into(),
    }
}

#[test]
fn ndjson_is_an_object_a_line() {
    let line = r#"{"id":"tea-1","description":"Tea","weight":550,"containers":[{"origin":"Manchester, United Kingdom"}],"vessel_id":"vessel001","sequence":"7","created_by":"crane-7","created_at":"2026-11-22T14:03:05.120Z"}"#;
    let expected = format!("{line}\n{{}}\n");
    assert_eq!(
        printed(
            Format::Ndjson,
            None,
            vec![vec![tea()], vec![Consignment::default()]]
        ),
        expected
    );
    assert_eq!(printed(Format::Ndjson, None, vec![]), "");
}

#[test]
fn json_is_one_array_across_chunks_and_also_when_empty() {
    let short = |id: &str| Consignment {
        id: id.into(),
        containers: vec![Container::default()],
        ..Consignment::default()
    };
    assert_eq!(
        printed(
            Format::Json,
            None,
            vec![
                vec![],
                vec![short("a"), Consignment::default()],
                vec![short("b")]
            ]
        ),
        "[\n  {\n    \"id\": \"a\",\n    \"containers\": [\n      {}\n    ]\n  },\n  {},\n  \
         {\n    \"id\": \"b\",\n    \"containers\": [\n      {}\n    ]\n  }\n]\n"
    );
    for none in [vec![], vec![vec![]]] {
        assert_eq!(printed(Format::Json, None, none), "[]\n");
    }
}

#[test]
fn times_end_in_z_with_as_many_digits_as_they_need() {
    for (seconds, nanos, expected) in [
        (0, 0, "1970-01-01T00:00:00Z"),
        (-1, 0, "1969-12-31T23:59:59Z"),
        (1_795_356_185, 1_000, "2026-11-22T14:03:05.000001Z"),
        (1_795_356_185, 1, "2026-11-22T14:03:05.000000001Z"),
    ] {
        assert_eq!(rfc3339(Timestamp { seconds, nanos }), expected);
    }
    // A server may send anything; printing must not panic.
    for (seconds, nanos) in [(i64::MAX, i32::MAX), (i64::MIN, i32::MIN), (0, -1)] {
        assert!(rfc3339(Timestamp { seconds, nanos }).ends_with('Z'));
    }
}

#[test]
fn no_format_lets_a_control_character_through() {
    let nasty: String = (0..0xa0_u32)
        .chain(0x2028..=0x202e)
        .chain(0x2066..=0x2069)
        .filter_map(char::from_u32)
        .collect();
    let consignment = Consignment {
        id: nasty.clone(),
        description: nasty.clone(),
        vessel_id: nasty.clone(),
        containers: vec![Container {
            origin: nasty.clone(),
            ..Container::default()
        }],
        ..Consignment::default()
    };
    for format in [Format::Table, Format::Json, Format::Ndjson] {
        let text = printed(format, None, vec![vec![consignment.clone()]]);
        let acting = text
            .chars()
            .find(|&char| char != '\n' && crate::escape::acts(char));
        assert_eq!(acting, None, "{format:?}");
    }
    let json = printed(
        Format::Ndjson,
        None,
        vec![vec![Consignment {
            description: nasty.clone(),
            ..Consignment::default()
        }]],
    );
    assert!(
        json.contains("\\u009b") && json.contains("\\u202e"),
        "{json}"
    );
    assert_eq!(read_back(&json)[0].description, nasty);
    let table = printed(Format::Table, None, vec![vec![consignment]]);
    assert_eq!(table.lines().count(), 2);
    assert!(table.contains("\\n") && table.contains("\\u{9b}"));
}

#[test]
fn each_chunk_is_passed_on_at_once_and_counted() {
    let mut out = Vec::new();
    let mut printer = Printer::new(Format::Ndjson, &mut out, None);
    printer.print(vec![tea(), tea()]).expect("memory takes all");
    assert_eq!(printer.count(), 2);
    // Without `finish`, and without the flush that dropping does.
    let unflushed = printer.out.buffer().len();
    assert_eq!(unflushed, 0);
}

#[test]
fn a_reader_that_has_gone_is_reported() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for format in [Format::Table, Format::Json, Format::Ndjson] {
        // A chunk larger than the buffer fails while it is written, a small one when it is passed on.
        for chunk in [vec![tea()], vec![tea(); 1_000]] {
            let error = Printer::new(format, Gone, None)
                .print(chunk)
                .expect_err("nobody reads");
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{format:?}");
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    // Any characters, with those that JSON or a terminal treats specially more often than chance has them.
    prop_oneof![
        any::<String>(),
        "[\u{0}-\u{a0}\u{2028}-\u{202e}\"\\\\{}\\[\\],]{0,12}"
    ]
}

prop_compose! {
    fn container()(id in text(), customer_id in text(), origin in text(), user_id in text()) -> Container {
        Container { id, customer_id, origin, user_id }
    }
}

prop_compose! {
    fn consignment()(
        id in "[A-Za-z0-9._-]{0,64}",
        description in text(),
        weight in 0..=i32::MAX,
        containers in prop::collection::vec(container(), 0..4),
        vessel_id in text(),
        // What RFC 3339 can say: the years 0 to 9999.
        time in prop::option::of((-62_167_219_200..253_402_300_800_i64, 0..1_000_000_000_i32)),
        sequence: u64,
        created_by in text(),
    ) -> Consignment {
        let created_at = time.map(|(seconds, nanos)| Timestamp { seconds, nanos });
        Consignment { id, description, weight, containers, vessel_id, created_at, sequence, created_by }
    }
}

/// Any time, with those more often than chance has them that show few digits of a second.
fn time() -> impl Strategy<Value = Option<Timestamp>> {
    let nanos = prop_oneof![
        any::<i32>(),
        0..1_000_000_000_i32,
        (0..1_000_000_i32).prop_map(|micros| micros * 1_000),
        (0..1_000_i32).prop_map(|millis| millis * 1_000_000),
    ];
    let seconds = prop_oneof![any::<i64>(), 1_795_356_185..1_795_356_187_i64];
    let time = (seconds, nanos).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos });
    prop::option::of(time)
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back_equal(consignments in prop::collection::vec(consignment(), 1..5)) {
        prop_assume!(consignments.iter().all(|consignment| violations(consignment).is_empty()));
        for format in [Format::Json, Format::Ndjson] {
            let back = read_back(&printed(format, None, vec![consignments.clone()]));
            prop_assert_eq!(&back, &consignments);
            for (back, sent) in back.into_iter().zip(&consignments) {
                prop_assert_eq!(canonical(&mut back.clone()), canonical(&mut sent.clone()));
            }
        }
    }

    #[test]
    fn lines_are_what_the_generated_mapping_writes(
        consignments in prop::collection::vec((consignment(), time(), any::<i32>()), 1..5)
    ) {
        // A server may send anything.
        let odd = |(kept, created_at, weight)| Consignment { created_at, weight, ..kept };
        let consignments: Vec<_> = consignments.into_iter().map(odd).collect();
        let mut expected = Vec::new();
        for consignment in consignments.clone() {
            write_object(&mut expected, &mut CompactFormatter, consignment).expect("memory takes all");
            expected.push(b'\n');
        }
        let expected = String::from_utf8(expected).expect("JSON is text");
        prop_assert_eq!(printed(Format::Ndjson, None, vec![consignments]), expected);
    }

    #[test]
    fn a_table_has_a_line_for_each_and_fits_a_usual_terminal(
        consignments in prop::collection::vec(consignment(), 1..5),
        // The widest numbers, times and headers alone take 101.
        limit in 101..200_usize,
    ) {
        let count = consignments.len();
        let table = printed(Format::Table, Some(limit), vec![consignments]);
        prop_assert_eq!(table.lines().count(), count + 1);
        for line in table.lines() {
            prop_assert!(line.width() <= limit, "{} > {limit}: {line}", line.width());
        }
    }
}

#[test]
fn csv_has_a_row_for_each_container_and_carries_nothing_out() {
    let with = |origin: &str| Container {
        origin: origin.into(),
        ..Container::default()
    };
    let mut two = tea();
    two.containers = vec![with("Porto, \"old\""), with("=HYPERLINK(1)")];
    two.description = "a\nb\u{9b}c".into();
    let mut none = tea();
    none.containers.clear();
    none.vessel_id = "-v".into();
    none.id = "@id".into();
    none.created_by = "@desk".into();
    none.description = "+1".into();
    let text = printed(Format::Csv, None, vec![vec![two], vec![none]]);
    let expected = "sequence,created_at,id,vessel_id,weight,description,container_id,customer_id,origin,user_id,created_by
7,2026-11-22T14:03:05.120Z,tea-1,vessel001,550,\"a\nb\\u{9b}c\",,,\"Porto, \"\"old\"\"\",,crane-7
7,2026-11-22T14:03:05.120Z,tea-1,vessel001,550,\"a\nb\\u{9b}c\",,,'=HYPERLINK(1),,crane-7
7,2026-11-22T14:03:05.120Z,'@id,'-v,550,'+1,,,,,'@desk
";
    assert_eq!(text, expected);
}

#[test]
fn csv_of_nothing_is_its_header() {
    let text = printed(Format::Csv, None, vec![vec![]]);
    assert_eq!(text.lines().count(), 1);
    assert!(text.starts_with("sequence,"));
}
