//! What changes on the network, told as it does.

use std::{
    collections::BTreeMap,
    io::Write as _,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::{json, table};
use crate::{
    causes::chain,
    cli::{Exit, exit::say},
    client::survey::{Survey, Surveyed, Surveyee},
    escape::escape_control,
    registry::RegistryError,
};

/// The least time from the beginning of one look to that of the next, for a registry that answers at once.
const PAUSE: Duration = Duration::from_secs(1);
/// How many looks in a row a server that still takes connections may be missed in: answers are lost at times.
const MISSES_MAX: u32 = 3;

/// Looks again and again, and prints what has changed; it ends with the process alone.
pub(super) async fn run(survey: &Survey, for_people: bool) -> anyhow::Result<Exit> {
    let mut watch = Watch::default();
    loop {
        let next = Instant::now() + PAUSE;
        let Surveyed {
            servers: seen,
            error,
            ..
        } = survey.run().await;
        watch.tell(error);
        let missed = watch.missed(&seen);
        let missed = survey.ask_again(missed).await;
        for event in watch.note(seen, missed) {
            let text = if for_people {
                event.text()
            } else {
                json::line(&event.json())
            };
            writeln!(std::io::stdout(), "{text}").context("could not print")?;
        }
        sleep_until(next).await;
    }
}

/// What became of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    /// It was found, and nothing was known of it.
    Appeared,
    /// It is announced, and does not take connections any more.
    Unreachable,
    /// It takes connections again.
    Back,
    /// It is not announced any more.
    Gone,
}

/// A change of one server.
#[derive(Debug)]
struct Event {
    time: SystemTime,
    change: Change,
    server: Surveyee,
}

#[derive(Serialize)]
struct Line<'e> {
    time: String,
    event: Change,
    server: json::Server<'e>,
}

impl Event {
    /// In milliseconds, which is as exact as it is known.
    fn time(&self) -> String {
        let mut time = prost_types::Timestamp::from(self.time);
        time.nanos -= time.nanos % 1_000_000;
        time.to_string()
    }

    fn json(&self) -> Line<'_> {
        Line {
            time: self.time(),
            event: self.change,
            server: json::Server::new(&self.server),
        }
    }

    fn text(&self) -> String {
        let word = match self.change {
            Change::Appeared if !self.server.is_reached() => "appeared, unreachable",
            Change::Appeared => "appeared",
            Change::Unreachable => "unreachable",
            Change::Back => "back",
            Change::Gone => "gone",
        };
        let instance = &self.server.instance;
        let addresses = instance.addresses.join(", ");
        format!(
            "{}  {word:<11}  {}  {}  at {}  register {}",
            self.time(),
            table::name(&self.server),
            escape_control(&instance.id),
            escape_control(&addresses),
            escape_control(self.server.register()),
        )
    }
}

/// What is known.
#[derive(Debug, Default)]
struct Watch {
    known: BTreeMap<String, Known>,
    /// What the registry failed in the last time.
    error: Option<String>,
}

#[derive(Debug)]
struct Known {
    server: Surveyee,
    reached: bool,
    /// In how many looks in a row it was missed.
    misses: u32,
}

impl Watch {
    /// Says once what the registry fails in.
    fn tell(&mut self, error: Option<RegistryError>) {
        let error = error.map(|error| chain(&error));
        if let Some(text) = &error
            && self.error != error
        {
            say(&format!("shippy: {}", escape_control(text)));
        }
        self.error = error;
    }

    /// Those that are known and not in `seen`.
    fn missed(&self, seen: &[Surveyee]) -> Vec<Surveyee> {
        let is_missed = |known: &&Known| {
            let id = &known.server.instance.id;
            seen.iter().all(|server| server.instance.id != *id)
        };
        let missed = self.known.values().filter(is_missed);
        missed.map(|known| known.server.clone()).collect()
    }

    /// Takes in one look: who was `seen`, and how those are who were `missed`.
    fn note(&mut self, seen: Vec<Surveyee>, missed: Vec<Surveyee>) -> Vec<Event> {
        let gone = missed.into_iter().filter_map(|server| self.miss(server));
        let mut changes: Vec<_> = gone.collect();
        changes.extend(seen.into_iter().filter_map(|server| self.see(server)));
        let time = SystemTime::now();
        let event = |(change, server)| Event {
            time,
            change,
            server,
        };
        changes.into_iter().map(event).collect()
    }

    fn miss(&mut self, server: Surveyee) -> Option<(Change, Surveyee)> {
        let known = self.known.get_mut(&server.instance.id)?;
        known.misses += 1;
        if server.is_reached() && known.misses < MISSES_MAX {
            return None;
        }
        self.known.remove(&server.instance.id);
        Some((Change::Gone, server))
    }

    fn see(&mut self, server: Surveyee) -> Option<(Change, Surveyee)> {
        let reached = server.is_reached();
        let now = Known {
            server: server.clone(),
            reached,
            misses: 0,
        };
        let change = match self.known.insert(server.instance.id.clone(), now) {
            None => Change::Appeared,
            Some(before) if before.reached && !reached => Change::Unreachable,
            Some(before) if !before.reached && reached => Change::Back,
            Some(_) => return None,
        };
        Some((change, server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::probe::{Answer, Place, Probed},
        registry::Instance,
    };

    fn server(reached: bool) -> Surveyee {
        let reason = "no".to_owned();
        let answer = if reached {
            Answer::Connected { reason }
        } else {
            Answer::Nobody { reason }
        };
        let address = "10.0.0.5:7".to_owned();
        Surveyee {
            instance: Instance::depot(),
            probed: Probed {
                places: vec![Place { address, answer }],
                size: Ok(0),
            },
        }
    }

    /// What one look after another tells: `Some` is a server that is seen, and `None` one that is missed, each with
    /// whether it takes connections.
    fn told(looks: &[(bool, bool)]) -> Vec<Vec<Change>> {
        let mut watch = Watch::default();
        let look = |&(seen, reached): &(bool, bool)| {
            let one = vec![server(reached)];
            let events = if seen {
                watch.note(one, Vec::new())
            } else {
                watch.note(Vec::new(), one)
            };
            events.iter().map(|event| event.change).collect()
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn each_change_is_told_once() {
        let looks = [
            (true, true),
            (true, true),
            (true, false),
            (true, false),
            (true, true),
            (false, false),
            (true, true),
        ];
        let expected = [
            vec![Change::Appeared],
            vec![],
            vec![Change::Unreachable],
            vec![],
            vec![Change::Back],
            vec![Change::Gone],
            vec![Change::Appeared],
        ];
        assert_eq!(told(&looks), expected);
    }

    #[test]
    fn who_still_takes_connections_may_be_missed_for_a_while() {
        let missed = [(true, true), (false, true), (false, true), (true, true)];
        assert_eq!(told(&missed)[1..], [vec![], vec![], vec![]]);
        let withdrawn = [(true, true), (false, true), (false, true), (false, true)];
        assert_eq!(told(&withdrawn)[3], [Change::Gone]);
    }
}
