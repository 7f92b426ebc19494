//! What must hold of any file and of any text on the command line.

use std::{io::Read, ops::RangeInclusive};

use pbjson_types::Timestamp;

use super::{
    connect::{parse_register, parse_server},
    duration::parse_duration,
    list::{parse_id, parse_time},
    output::{Format, Printer},
    parse_name,
};
use crate::{
    address::Address,
    backend::StoreUrl,
    consignment::violations,
    escape::acts,
    formats::read::{InputError, Record, Records},
    proto::Consignment,
    registry::access::Endpoint,
};

/// Reads `data` as a file: it says the same however it comes, and what is good can be printed and read again. What is
/// wrong is told in words that a terminal can take, at a place that is in the file.
pub(crate) fn input(data: &[u8]) {
    let whole = read(data);
    assert_eq!(whole, read(Piecemeal(data)));
    match whole {
        Ok(records) => {
            assert!(
                records
                    .iter()
                    .all(|record| violations(&record.consignment).is_empty())
            );
            let consignments = records.into_iter().map(|record| record.consignment);
            let consignments = consignments.map(without_odd_time);
            printed(&consignments.collect::<Vec<_>>());
        }
        Err(Refused { said, line }) => {
            assert!(
                !said.contains(|char| char != '\n' && acts(char)),
                "{said:?}"
            );
            let lines = data.split(|&byte| byte == b'\n').count();
            assert!(
                line.is_none_or(|line| (1..=lines).contains(&line)),
                "{said}"
            );
        }
    }
}

/// `created_at` is what a server says, and ignored in what it is sent; nobody minds there what cannot be printed again:
/// a year of five digits, or a leap second.
fn without_odd_time(consignment: Consignment) -> Consignment {
    /// The years 1 to 9999 (proto3 JSON), in seconds of the Unix epoch.
    const YEARS: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    let is_plain = |time: &Timestamp| {
        YEARS.contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos)
    };
    Consignment {
        created_at: consignment.created_at.filter(is_plain),
        ..consignment
    }
}

/// Why a file is not good.
#[derive(Debug, PartialEq)]
struct Refused {
    said: String,
    /// Where, if it is at a place.
    line: Option<usize>,
}

fn read(input: impl Read) -> Result<Vec<Record>, Refused> {
    let refused = |error: InputError| Refused {
        said: error.to_string(),
        line: match error {
            InputError::Invalid { problems, .. } => Some(problems[0].line),
            _ => None,
        },
    };
    Records::new(input, "x")
        .collect::<Result<_, _>>()
        .map_err(refused)
}

/// Comes a byte at a time.
struct Piecemeal<'d>(&'d [u8]);

impl Read for Piecemeal<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let room = buffer.len().min(1);
        self.0.read(&mut buffer[..room])
    }
}

/// Prints `consignments` in each format: `create` reads its own formats again, and none drives a terminal.
pub(crate) fn printed(consignments: &[Consignment]) {
    let rows = consignments
        .iter()
        .map(|one| one.containers.len().max(1))
        .sum::<usize>();
    for format in [Format::Table, Format::Csv, Format::Ndjson, Format::Json] {
        let mut out = Vec::new();
        let mut printer = Printer::new(format, &mut out, Some(80));
        printer.print(consignments.to_vec()).unwrap();
        printer.finish().unwrap();
        let text = std::str::from_utf8(&out).unwrap();
        assert!(
            !text.contains(|char| char != '\n' && acts(char)),
            "{text:?}"
        );
        match format {
            Format::Table => assert_eq!(text.lines().count(), consignments.len() + 1),
            Format::Csv => check_csv(text, rows),
            Format::Ndjson | Format::Json => {
                let again = read(&out[..]).unwrap_or_else(|error| panic!("{error:?}: {text}"));
                assert!(
                    again
                        .iter()
                        .map(|record| &record.consignment)
                        .eq(consignments),
                    "{text}"
                );
            }
        }
    }
}

/// No cell is a formula.
fn check_csv(text: &str, rows: usize) {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let cells: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(cells.len(), rows);
    let is_formula = |cell: &str| cell.starts_with(['=', '+', '-', '@']);
    assert!(!cells.iter().flatten().any(is_formula), "{text}");
}

/// Reads `data` as each kind of setting: what is understood is shown so that it is understood in the same way.
pub(crate) fn setting(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    if let Ok(server) = parse_server(text) {
        assert_eq!(parse_server(&server).as_ref(), Ok(&server));
    }
    if let Ok(endpoint) = Endpoint::parse(text, 2379) {
        assert_eq!(Endpoint::parse(&endpoint.uri(), 1).unwrap(), endpoint);
    }
    // Of several slashes at the beginning two are the URL's.
    if let Ok(url @ StoreUrl::Sqlite(_)) = text.parse()
        && !text.starts_with("sqlite:////")
    {
        assert_eq!(url.to_string().parse(), Ok(url));
    }
    for parse in [parse_name, parse_id, parse_register] {
        if let Ok(parsed) = parse(text) {
            assert!(!parsed.is_empty() && !parsed.contains(acts), "{parsed:?}");
        }
    }
    if let Ok(time) = parse_time(text) {
        let shown = prost_types::Timestamp {
            seconds: time.seconds,
            nanos: time.nanos,
        };
        assert_eq!(parse_time(&shown.to_string()), Ok(time), "{shown}");
    }
    if let Ok(timeout) = parse_duration(text) {
        let seconds = timeout.as_secs_f64().to_string();
        let again = parse_duration(&seconds).unwrap();
        assert!(again.abs_diff(timeout).as_micros() <= 1, "{seconds}");
    }
}
