//! Turns the text of one record into a consignment, or into all that is wrong with it.

use std::borrow::Cow;

use super::{
    count, explain,
    fault::{Fault, Refusal},
    frame::{Frame, MAX_RECORD_BYTES},
    path,
    unexpected::{UTF16, not_utf8},
};
use crate::{
    consignment::{MAX_CONTAINERS, Violation, too_many_containers, violations},
    proto::Consignment,
};

/// The consignment in `frame`.
///
/// # Errors
///
/// The first thing that is wrong with its JSON, or else each limit that it breaks.
pub(super) fn decode(frame: &Frame<'_>) -> Result<Consignment, Vec<Fault>> {
    if let Some(consignment) = plain(frame.text) {
        return Ok(consignment);
    }
    let text = std::str::from_utf8(frame.text).map_err(|error| {
        let offset = error.valid_up_to();
        Fault::at(offset, not_utf8(frame.text[offset]))
    })?;
    if count::may_exceed(frame.text) {
        let count = count::containers(text).map_err(|refusal| refused(frame, text, &refusal))?;
        if count > MAX_CONTAINERS {
            return Err(vec![broken(text, too_many_containers(count))]);
        }
    }
    let text = without_nulls(text);
    let consignment = parse(&text).map_err(|refusal| refused(frame, &text, &refusal))?;
    let violations = violations(&consignment);
    if violations.is_empty() {
        return Ok(consignment);
    }
    Err(violations
        .into_iter()
        .map(|violation| broken(&text, violation))
        .collect())
}

/// The consignment that `text` is, when nothing is wrong with it. Following the path to each value, as must be done to
/// say what is wrong, takes as long again. What may hold too many containers is not looked at.
pub(super) fn plain(text: &[u8]) -> Option<Consignment> {
    if count::may_exceed(text) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let consignment = serde_json::from_str(text).ok()?;
    violations(&consignment).is_empty().then_some(consignment)
}

fn parse(text: &str) -> Result<Consignment, Refusal> {
    // What is behind the object needs no look: the frame ends with it.
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text))
}

fn refused(frame: &Frame<'_>, text: &str, refusal: &Refusal) -> Vec<Fault> {
    if let Some(offset) = text.find('\0') {
        return Fault::at(offset, UTF16.into());
    }
    if refusal.inner().is_eof() && !frame.whole {
        let message = format!(
            "this object does not end within {MAX_RECORD_BYTES} bytes; is a closing quote or bracket missing?"
        );
        return Fault::at(0, message);
    }
    vec![explain::refusal(text, refusal)]
}

fn broken(text: &str, violation: Violation) -> Fault {
    let path = path::parse(&violation.field);
    let part = path::find(text, &path).unwrap_or(text);
    Fault {
        offset: path::offset(text, part),
        message: if path.is_empty() {
            format!("the consignment {}", violation.description)
        } else {
            violation.description
        },
        path,
    }
}

/// `text` with the default of its field for each `null`, as proto3 JSON defines it and pbjson does not do. Each is as
/// long as `null`, so all places stay as they are.
fn without_nulls(text: &str) -> Cow<'_, str> {
    if !text.contains("null") {
        return Cow::Borrowed(text);
    }
    let mut filled = text.to_owned();
    let mut fill = |object| {
        for member in path::members(object) {
            if member.value == "null" {
                let start = path::offset(text, member.value);
                filled.replace_range(start..start + "null".len(), default_of(&member.name()));
            }
        }
    };
    fill(text);
    if let Some(containers) = path::find(text, &path::parse("containers")) {
        path::elements(containers).into_iter().for_each(fill);
    }
    Cow::Owned(filled)
}

/// The default of a field, four bytes long. A key that is not in the contract is refused whatever its value is.
fn default_of(name: &str) -> &'static str {
    match name {
        "weight" | "sequence" => "0   ",
        "containers" => "[]  ",
        // A message has no default; pbjson takes its `null` itself.
        "created_at" => "null",
        _ => "\"\"  ",
    }
}
