//! Servers as JSON, whose fields are all there always, and `null` where nothing is known.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use super::table::health;
use crate::{
    client::{
        probe::{Answer, Place},
        survey::Surveyee,
    },
    escape::acts,
};

/// One server.
#[derive(Debug, Serialize)]
pub(super) struct Server<'s> {
    name: Option<&'s str>,
    id: Option<&'s str>,
    version: Option<&'s str>,
    register: Option<&'s str>,
    kind: Option<&'static str>,
    tls: Option<bool>,
    /// How many consignments the register holds.
    consignments: Option<u64>,
    /// Why that is not known.
    consignments_reason: Option<&'s str>,
    reached: bool,
    health: Option<&'static str>,
    round_trip_ms: Option<f64>,
    addresses: Vec<At<'s>>,
}

/// One of a server's addresses.
#[derive(Debug, Serialize)]
struct At<'s> {
    address: &'s str,
    reached: bool,
    health: Option<&'static str>,
    round_trip_ms: Option<f64>,
    /// Why it did not say how it is.
    reason: Option<&'s str>,
}

impl<'s> Server<'s> {
    pub(super) fn new(server: &'s Surveyee) -> Self {
        let instance = &server.instance;
        let is_announced = !instance.register.is_empty();
        let best = server.best().map(At::new);
        let size = &server.probed.size;
        Self {
            name: is_announced.then_some(&instance.name),
            id: is_announced.then_some(&instance.id),
            version: is_announced.then_some(&instance.version),
            register: Some(server.register()).filter(|register| !register.is_empty()),
            kind: is_announced.then_some(instance.kind.as_str()),
            tls: is_announced.then_some(instance.tls),
            consignments: size.as_ref().ok().copied(),
            consignments_reason: size.as_ref().err().map(String::as_str),
            reached: best.is_some(),
            health: best.as_ref().and_then(|best| best.health),
            round_trip_ms: best.and_then(|best| best.round_trip_ms),
            addresses: server.probed.places.iter().map(At::new).collect(),
        }
    }
}

impl<'s> At<'s> {
    fn new(place: &'s Place) -> Self {
        let (health, round_trip_ms, reason) = match &place.answer {
            Answer::Server {
                serving,
                round_trip,
                ..
            } => (
                Some(health(*serving)),
                Some(milliseconds(*round_trip)),
                None,
            ),
            Answer::Connected { reason } | Answer::Nobody { reason } => {
                (None, None, Some(reason.as_str()))
            }
        };
        Self {
            address: &place.address,
            reached: place.answer.is_reached(),
            health,
            round_trip_ms,
            reason,
        }
    }
}

/// Three digits after the point: what comes after them is noise.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// All of `servers`, indented.
pub(super) fn array(servers: &[Surveyee]) -> String {
    let servers: Vec<_> = servers.iter().map(Server::new).collect();
    indented(&servers)
}

/// `value` over several lines.
pub(super) fn indented(value: &impl Serialize) -> String {
    tame(&serde_json::to_string_pretty(value).expect("text is encoded without fail"))
}

/// `value` on one line.
pub(super) fn line(value: &impl Serialize) -> String {
    tame(&serde_json::to_string(value).expect("text is encoded without fail"))
}

/// The same JSON without a character that acts on a terminal. serde leaves some of them as they are, in strings alone;
/// what it breaks lines with stands between those.
fn tame(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for char in json.chars() {
        if acts(char) && char != '\n' {
            // None is beyond what four digits can say.
            let _ = write!(shown, "\\u{:04x}", u32::from(char));
        } else {
            shown.push(char);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_escaped_and_means_the_same() {
        let text = "a\u{202e}b\u{9b}c\nd\u{1b}e";
        let shown = line(&text);
        assert_eq!(shown, "\"a\\u202eb\\u009bc\\nd\\u001be\"");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }
}
