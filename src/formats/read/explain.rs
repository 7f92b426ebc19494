//! Says what is wrong with a record's JSON in words that help to mend it.
//!
//! The judge is the JSON mapping (`pbjson`, `serde_json`); this only words its refusals. Of a value that does not fit,
//! the mapping's own text often says nothing ("data did not match any variant of untagged enum Content"), so the text
//! is made anew from the path and the value that stands there. An unknown or repeated key and bad syntax are told by
//! serde's texts, which have no other form: should one of them change, it is shown as it is.

use strsim::jaro_winkler;

use super::{
    fault::{Fault, Refusal, steps},
    path::{self, Step},
};
use crate::escape::escape_control;

/// From how much likeness on a key is taken for a slip (Jaro–Winkler, 0 to 1): `vesel_id` and `origen` are above,
/// `name` is below for every key.
const LIKENESS: f64 = 0.85;

/// How much of a wrong value is quoted, in characters.
const MAX_QUOTED_CHARS: usize = 40;

/// What is wrong with `text`, which the mapping refused.
pub(super) fn refusal(text: &str, refusal: &Refusal) -> Fault {
    let steps = steps(refusal);
    let said = said(refusal.inner());
    if !refusal.inner().is_data() {
        return Fault {
            offset: reported_offset(text, refusal.inner()),
            path: Vec::new(),
            message: syntax(&said),
        };
    }
    if let Some((key, rest)) = said
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.rsplit_once("`, expected one of "))
    {
        return unknown_key(text, steps, key, rest);
    }
    if let Some(key) = said.strip_prefix("duplicate field `") {
        return repeated_key(text, steps, key.trim_end_matches('`'));
    }
    wrong_value(text, steps, refusal.inner(), &said)
}

/// What serde said, without the place at its end, which is relative to the record.
fn said(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    said.strip_suffix(&place).unwrap_or(&said).to_owned()
}

/// Where serde saw the error, in bytes from the beginning of `text`.
fn reported_offset(text: &str, error: &serde_json::Error) -> usize {
    if error.is_eof() {
        return text.len();
    }
    let line_start: usize = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    // A line break has column 0 of the line that it begins; here it is the last character of the line that it ends.
    let offset = (line_start + error.column()).saturating_sub(1);
    // A column counts bytes, and may lie within a character.
    (0..=offset.min(text.len()))
        .rev()
        .find(|&offset| text.is_char_boundary(offset))
        .unwrap_or(0)
}

fn unknown_key(text: &str, mut parent: Vec<Step>, key: &str, allowed: &str) -> Fault {
    // serde_path_to_error puts the key that was refused at the end of the path.
    if parent.last() == Some(&Step::Key(path::contract_name(key))) {
        parent.pop();
    }
    let allowed: Vec<_> = allowed
        .split(['`', ',', ' '])
        // Of the two spellings of a key, the contract's is the one to show.
        .filter(|name| !name.is_empty() && !name.contains(|char: char| char.is_ascii_uppercase()))
        .collect();
    let advice = nearest(key, &allowed).map_or_else(
        || format!("the keys here are {}", allowed.join(", ")),
        |name| format!("did you mean `{name}`?"),
    );
    let offset = path::find(text, &parent).map_or(0, |object| {
        path::members(object)
            .iter()
            .find(|member| serde_json::from_str::<String>(member.key).is_ok_and(|name| name == key))
            .map_or(0, |member| path::offset(text, member.key))
    });
    Fault {
        offset,
        message: format!("there is no key `{}`; {advice}", escape_control(key)),
        path: parent,
    }
}

/// The one of `names` that `key` was probably meant to be.
fn nearest<'a>(key: &str, names: &[&'a str]) -> Option<&'a str> {
    let bare = |name: &str| name.replace(['_', '-', ' '], "").to_lowercase();
    let key = bare(key);
    names
        .iter()
        .map(|name| (jaro_winkler(&key, &bare(name)), *name))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

fn repeated_key(text: &str, mut path: Vec<Step>, key: &str) -> Fault {
    let name = path::contract_name(key);
    if path.last() == Some(&Step::Key(name.clone())) {
        path.pop();
    }
    let members = path::find(text, &path)
        .map(path::members)
        .unwrap_or_default();
    let same: Vec<_> = members
        .iter()
        .filter(|member| member.name() == name)
        .collect();
    path.push(Step::Key(name));
    let (offset, message) = match same[..] {
        [first, second, ..] if first.key != second.key => (
            path::offset(text, second.key),
            format!(
                "is given twice, as {} and as {}; keep one of them",
                first.key, second.key
            ),
        ),
        [_, second, ..] => (
            path::offset(text, second.key),
            "is given twice; keep one of them".into(),
        ),
        _ => (0, "is given twice; keep one of them".into()),
    };
    Fault {
        offset,
        path,
        message,
    }
}

fn wrong_value(text: &str, path: Vec<Step>, error: &serde_json::Error, said: &str) -> Fault {
    let Some(value) = path::find(text, &path) else {
        // Bad syntax follows within the same value, so its text cannot be told apart.
        return Fault {
            offset: reported_offset(text, error),
            message: format!(
                "{}; it must be {}",
                escape_control(said),
                expected(path.last())
            ),
            path,
        };
    };
    let mut message = format!("is {}; it must be {}", shown(value), expected(path.last()));
    if value.starts_with(|first: char| first.is_ascii_digit()) && value.contains(['e', 'E']) {
        message.push_str(", written without an exponent");
    }
    if is_text(path.last())
        && !value.starts_with(['{', '[', '"'])
        && value.len() <= MAX_QUOTED_CHARS
    {
        message.extend([": \"", value, "\""]);
    }
    Fault {
        offset: path::offset(text, value),
        message,
        path,
    }
}

fn is_text(field: Option<&Step>) -> bool {
    !matches!(field, None | Some(Step::Index(_)))
        && !matches!(field, Some(Step::Key(key)) if matches!(key.as_str(), "weight" | "sequence" | "created_at" | "containers"))
}

/// What the field at the end of a path must hold.
fn expected(field: Option<&Step>) -> String {
    match field {
        None => "a consignment, {…}".into(),
        Some(Step::Index(_)) => "a container, {…}".into(),
        Some(Step::Key(key)) => match key.as_str() {
            "weight" => format!("a whole number from 0 to {} (kilograms)", i32::MAX),
            "containers" => "an array of containers, [{…}, …]".into(),
            "sequence" => format!(
                "a whole number from 0 to {} or left out: the server sets it",
                u64::MAX
            ),
            "created_at" => {
                "a time like \"2026-11-22T14:03:05Z\" or left out: the server sets it".into()
            }
            _ => "a text in double quotes".into(),
        },
    }
}

/// A value as it is quoted in a message.
fn shown(value: &str) -> String {
    if value.starts_with('{') {
        return "an object".into();
    }
    if value.starts_with('[') {
        return "an array".into();
    }
    let mut chars = value.chars();
    let mut shown: String = chars.by_ref().take(MAX_QUOTED_CHARS).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    escape_control(&shown).into_owned()
}

/// What to do about a syntax error, by `serde_json`'s text for it.
fn syntax(said: &str) -> String {
    let meaning = match said {
        "EOF while parsing a list" => "the input ends within an array; is it complete?",
        "EOF while parsing an object" => "the input ends within an object; is it complete?",
        "EOF while parsing a string" => {
            "the input ends within a text; is a closing double quote missing?"
        }
        "EOF while parsing a value" => "the input ends where a value should stand; is it complete?",
        "expected `:`" => "expected a colon between the key and its value",
        "expected `,` or `]`" => "expected a comma and another element, or ] to close the array",
        "expected `,` or `}`" => "expected a comma and another key, or } to close the object",
        "expected value" | "expected ident" => {
            "expected a value: a number, a text in double quotes, an array or an object"
        }
        "trailing comma" => "a comma stands before the closing bracket; remove it",
        "key must be a string" => "expected a key in double quotes",
        "recursion limit exceeded" => {
            "arrays and objects are nested too deep; a consignment needs three levels"
        }
        "control character (\\u0000-\\u001F) found while parsing a string" => {
            "a line break or another control character stands within a text; write it as \\n or \\u001b, or add the \
             missing double quote"
        }
        "invalid escape" => "there is no such escape; a backslash itself is written \\\\",
        "invalid number" => "this is not a number as JSON writes it",
        "number out of range" => "this number is too large",
        "lone leading surrogate in hex escape" | "unexpected end of hex escape" => {
            "an escape is cut short; a character past U+FFFF takes two, like \\ud83d\\ude00"
        }
        other => return format!("not valid JSON: {}", escape_control(other)),
    };
    meaning.into()
}
