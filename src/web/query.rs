//! What to list, as a query says it: the fields of `ListRequest` by their names.

use http::HeaderMap;
use pbjson_types::Timestamp;

use super::problem::{Field, Problem};
use crate::proto::{ListRequest, Position};

/// The parameters, each once, but for `ids`.
const PARAMETERS: [&str; 12] = [
    "ids",
    "vessel_id",
    "customer_id",
    "user_id",
    "origin",
    "created_from",
    "created_until",
    "after",
    "before",
    "limit",
    "newest_first",
    "follow",
];

/// How many problems of a query are told: enough to see a pattern, few enough to read.
const MAX_PROBLEMS: usize = 10;

/// Where a browser says after which event it goes on (HTML, Server-sent events).
const LAST_EVENT_ID: &str = "last-event-id";

/// What is asked for, and whether it is to be followed where it says so.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) request: ListRequest,
    pub(super) follow: Option<bool>,
}

/// Reads `query`; what is wrong with it is told, up to [`MAX_PROBLEMS`].
pub(super) fn parse(query: &str) -> Result<Query, Problem> {
    let mut request = ListRequest::default();
    let mut follow = None;
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let taken = if seen.contains(&name) && name != "ids" {
            Err("is given twice".to_owned())
        } else if value.contains(char::REPLACEMENT_CHARACTER) {
            Err("is not UTF-8".to_owned())
        } else {
            set(&mut request, &mut follow, &name, &value)
        };
        if let Err(description) = taken {
            wrong.push(Field::new(&*name, description));
        } else if name != "ids" {
            seen.push(name);
        }
        if wrong.len() == MAX_PROBLEMS {
            break;
        }
    }
    if wrong.is_empty() {
        return Ok(Query { request, follow });
    }
    Err(Problem::bad_request("the query makes no sense", wrong))
}

fn set(
    request: &mut ListRequest,
    follow: &mut Option<bool>,
    name: &str,
    value: &str,
) -> Result<(), String> {
    match name {
        "ids" => request.ids.extend(value.split(',').map(str::to_owned)),
        "vessel_id" => value.clone_into(&mut request.vessel_id),
        "customer_id" => value.clone_into(&mut request.customer_id),
        "user_id" => value.clone_into(&mut request.user_id),
        "origin" => value.clone_into(&mut request.origin),
        "created_from" => request.created_from = Some(time(value)?),
        "created_until" => request.created_until = Some(time(value)?),
        "after" => request.after = Some(position(value)?),
        "before" => request.before = Some(position(value)?),
        "limit" => request.limit = number(value)?,
        "newest_first" => request.newest_first = truth(value)?,
        "follow" => *follow = Some(truth(value)?),
        _ => {
            return Err(format!(
                "is no parameter of a list; there are {}",
                PARAMETERS.join(", ")
            ));
        }
    }
    Ok(())
}

/// Where to go on after a connection broke, where the caller says so.
pub(super) fn resumed(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let position = position(&text).map_err(|description| {
        Problem::bad_request(
            "the list cannot go on",
            vec![Field::new("Last-Event-ID", description)],
        )
    });
    position.map(Some)
}

/// A sequence number, of whichever register answers or with that register's id before it.
fn position(text: &str) -> Result<Position, String> {
    let (register, sequence) = text.rsplit_once(':').unwrap_or(("", text));
    let sequence = number(sequence)
        .map_err(|_| "is no position: write a sequence number, or REGISTER:NUMBER".to_owned())?;
    Ok(Position {
        register: register.to_owned(),
        sequence,
    })
}

fn number(text: &str) -> Result<u64, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.ok_or_else(|| format!("is no number from 0 to {}", u64::MAX))
}

fn truth(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_| "is neither true nor false".to_owned())
}

fn time(text: &str) -> Result<Timestamp, String> {
    let time: Result<prost_types::Timestamp, _> = text.parse();
    let prost_types::Timestamp { seconds, nanos } = time.map_err(
        |_| "is no time: write one like 2026-11-22T14:00:00Z, whose + is written %2B in a URL",
    )?;
    Ok(Timestamp { seconds, nanos })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_request_to_list() {
        let Query { request, follow } = parse(
            "vessel_id=a+b&origin=%C3%85rhus&ids=1,2&ids=3&after=x:7&before=9&limit=5&newest_first=true&follow=false\
             &created_from=1970-01-01T00:00:01Z&created_until=1970-01-01T01:00:00%2B01:00",
        )
        .unwrap();
        let expected = ListRequest {
            vessel_id: "a b".into(),
            origin: "Århus".into(),
            ids: ["1", "2", "3"].map(str::to_owned).into(),
            after: Some(Position {
                register: "x".into(),
                sequence: 7,
            }),
            before: Some(Position {
                register: String::new(),
                sequence: 9,
            }),
            limit: 5,
            newest_first: true,
            created_from: Some(Timestamp {
                seconds: 1,
                nanos: 0,
            }),
            created_until: Some(Timestamp {
                seconds: 0,
                nanos: 0,
            }),
            ..ListRequest::default()
        };
        assert_eq!((request, follow), (expected, Some(false)));
        assert_eq!(parse("").unwrap().request, ListRequest::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, field) in [
            ("vesel_id=x", "vesel_id"),
            ("limit=-1", "limit"),
            ("limit=%2B1", "limit"),
            ("limit=", "limit"),
            ("limit=18446744073709551616", "limit"),
            ("after=x", "after"),
            ("before=x:", "before"),
            ("follow=yes", "follow"),
            ("newest_first=1", "newest_first"),
            ("created_from=yesterday", "created_from"),
            ("created_until=2026-13-01T00:00:00Z", "created_until"),
            ("origin=a&origin=b", "origin"),
            ("origin=%ff", "origin"),
        ] {
            let fields = parse(query).unwrap_err().fields();
            assert_eq!(fields, [field], "{query}");
        }
        let both = parse("x=1&limit=y").unwrap_err().fields();
        assert_eq!(both, ["x", "limit"]);
        let many: Vec<_> = (0..5_000).map(|number| format!("a{number}")).collect();
        assert_eq!(
            parse(&many.join("&")).unwrap_err().fields().len(),
            MAX_PROBLEMS
        );
    }

    #[test]
    fn every_parameter_is_known() {
        for name in PARAMETERS {
            let wrong = parse(&format!("{name}=%ff")).unwrap_err();
            let wrong = wrong.to_text();
            assert!(wrong.contains("UTF-8"), "{name}: {wrong}");
            let taken = ["true", "1", "2026-11-22T14:00:00Z"]
                .iter()
                .any(|value| parse(&format!("{name}={value}")).is_ok());
            assert!(taken, "{name}");
        }
    }
}
