//! Servers as a table for people, and what is to be said of them beside it.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

use crate::{
    cli::figures::grouped,
    client::{
        probe::{Answer, Place},
        survey::Surveyee,
    },
    escape::escape_control,
};

const HEADER: [&str; 10] = [
    "NAME",
    "INSTANCE",
    "VERSION",
    "REGISTER",
    "KIND",
    "TLS",
    "SIZE",
    "HEALTH",
    "ROUND TRIP",
    "ADDRESS",
];
const SIZE: usize = 6;
const ROUND_TRIP: usize = 8;
const GAP: &str = "  ";
/// What is not known.
const UNKNOWN: &str = "-";
/// The least that is shown of a register's id.
const PREFIX_MIN: usize = 8;
/// How much is shown of a longer instance's id: its end, since ids of one time begin alike.
const INSTANCE_WIDTH: usize = 8;

type Row = [String; HEADER.len()];

/// The table, its header included.
pub(super) fn table(servers: &[Surveyee]) -> String {
    let registers: Vec<&str> = servers.iter().map(Surveyee::register).collect();
    let mut rows = vec![HEADER.map(str::to_owned)];
    rows.extend(servers.iter().map(|server| row(server, &registers)));
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max();
    let widths: Vec<usize> = (0..HEADER.len())
        .map(|column| width(column).unwrap_or_default())
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            let (first, second) = if matches!(column, SIZE | ROUND_TRIP) {
                (&*padding, &**cell)
            } else {
                (&**cell, &*padding)
            };
            line.extend([first, second, GAP]);
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn row(server: &Surveyee, registers: &[&str]) -> Row {
    let instance = &server.instance;
    let announced = |text: &str| match text {
        "" => UNKNOWN.to_owned(),
        text => escape_control(text).into_owned(),
    };
    let is_announced = !instance.register.is_empty();
    let known = |text: &str| if is_announced { text } else { UNKNOWN }.to_owned();
    let (health, round_trip) = match server.best().map(|place| &place.answer) {
        Some(Answer::Server {
            serving,
            round_trip,
            ..
        }) => (
            health(*serving),
            format!("{:.1} ms", round_trip.as_secs_f64() * 1e3),
        ),
        Some(_) => ("UNKNOWN", UNKNOWN.into()),
        None => ("UNREACHED", UNKNOWN.into()),
    };
    [
        if is_announced {
            announced(&instance.name)
        } else {
            UNKNOWN.into()
        },
        if is_announced {
            short(&instance.id)
        } else {
            UNKNOWN.into()
        },
        announced(&instance.version),
        announced(prefix(server.register(), registers)),
        known(instance.kind.as_str()),
        known(if instance.tls { "yes" } else { "no" }),
        (server.probed.size.as_ref()).map_or_else(|_| UNKNOWN.into(), |size| grouped(*size)),
        health.into(),
        round_trip,
        escape_control(&instance.addresses.join(", ")).into_owned(),
    ]
}

/// What a server says of itself, in the word of the health service.
pub(super) const fn health(serving: bool) -> &'static str {
    if serving { "SERVING" } else { "NOT_SERVING" }
}

/// The beginning of `register` that tells it from the others in `registers`.
pub(super) fn prefix<'r>(register: &'r str, registers: &[&str]) -> &'r str {
    let is_told_apart = |length: &usize| {
        let others = registers.iter().filter(|other| **other != register);
        let mut alike = others.filter(|other| other.starts_with(&register[..*length]));
        alike.next().is_none()
    };
    // Whatever it is, it is ASCII.
    let mut lengths = PREFIX_MIN..register.len();
    let length = lengths.find(|length| register.is_char_boundary(*length) && is_told_apart(length));
    length.map_or(register, |length| &register[..length])
}

fn short(id: &str) -> String {
    let shown = escape_control(id);
    let count = shown.chars().count();
    if count <= INSTANCE_WIDTH + 1 {
        return shown.into_owned();
    }
    let end: String = shown.chars().skip(count - INSTANCE_WIDTH).collect();
    format!("…{end}")
}

/// A line for each address that did not answer as it should, and for each size that is not known although the server is.
pub(super) fn notes(servers: &[Surveyee]) -> Vec<String> {
    servers.iter().flat_map(notes_of).collect()
}

fn notes_of(server: &Surveyee) -> Vec<String> {
    let mut notes: Vec<String> = (server.probed.places.iter())
        .filter_map(|place| note(&name(server), place))
        .collect();
    let is_known = matches!(
        server.best().map(|place| &place.answer),
        Some(Answer::Server { .. })
    );
    if let (true, Err(reason)) = (is_known, &server.probed.size) {
        let reason = escape_control(reason);
        notes.push(format!("{}: the size is not known: {reason}", name(server)));
    }
    notes
}

/// What to call a server: its name, or else where it is.
pub(super) fn name(server: &Surveyee) -> String {
    let instance = &server.instance;
    let name = if instance.register.is_empty() {
        &instance.id
    } else {
        &instance.name
    };
    escape_control(name).into_owned()
}

fn note(name: &str, place: &Place) -> Option<String> {
    let what = match &place.answer {
        Answer::Server { .. } => return None,
        Answer::Connected { reason } => format!("takes connections, but {reason}"),
        Answer::Nobody { reason } => format!("is not reached: {reason}"),
    };
    let address = escape_control(&place.address);
    Some(format!("{name}: {address} {}", escape_control(&what)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registers_prefix_tells_it_from_the_others() {
        let registers = ["01a204df-cc18-76b4", "01a204df-cc19-76b4", "ffffffff-0000"];
        let shown = registers.map(|register| prefix(register, &registers));
        assert_eq!(shown, ["01a204df-cc18", "01a204df-cc19", "ffffffff"]);
        assert_eq!(prefix("short", &["short", "short-not"]), "short");
        assert_eq!(prefix("", &["", "x"]), "");
    }

    #[test]
    fn of_an_id_its_end_is_shown() {
        assert_eq!(short("depot"), "depot");
        assert_eq!(short("0198f2b4-7c1e-7d64-9f60-3b1d2a4c5e6f"), "…2a4c5e6f");
        assert_eq!(short("a\u{1b}b"), "…a\\u{1b}b".replace('…', ""));
    }
}
