//! A search: the one-shot query and the browse side by side.

use std::{collections::VecDeque, future::pending, time::Duration};

use futures_util::stream::{self, Stream};
use tokio::time::{Instant as Clock, sleep_until};

use super::{
    browse::Browse,
    found::{Found, Sighting},
    group::MESSAGE_MAX,
    interfaces::{self, Link, Reach},
    query::Query,
};
use crate::registry::{Instance, RegistryError};

/// The pauses between the first questions. A question or its answer may be lost, and the first are those that people
/// wait for.
const FIRST_PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(700),
];
/// The pause after those, while a command is likely to be waiting.
const PAUSE: Duration = Duration::from_secs(1);
/// How many questions are asked at that pace. The pauses double after them (RFC 6762 §5.2): who searches for so long
/// is a server that looks out for others.
const PACED: u32 = 12;
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long the one-shot query has the field to itself. The browse finds nothing sooner than some 20 to 100 ms after its
/// start (RFC 6762 §5.2 and §6 have both sides wait), so a command that is answered at once need not pay for its sockets.
const BROWSE_AFTER: Duration = Duration::from_millis(150);
/// A search under way. Dropping it closes its sockets.
pub(super) struct Search {
    port: u16,
    reach: Reach,
    found: Found,
    links: Vec<Link>,
    query: Query,
    questions: u32,
    next_question: Clock,
    /// Whether no question went out the last time, and it was said.
    mute: bool,
    browse: Option<Browse>,
    /// When to start the browse; `None` when there shall be none, or it runs.
    browse_at: Option<Clock>,
    ready: VecDeque<Result<Instance, RegistryError>>,
    buffer: Vec<u8>,
}

/// What a search waits for.
enum Event {
    Heard(Vec<Sighting>),
    QuestionDue,
    BrowseDue,
}

impl Search {
    /// A search for the service `name` that asks and browses on port `port` of the interfaces within `reach`.
    pub(super) fn new(name: &str, port: u16, reach: Reach) -> Self {
        let now = Clock::now();
        Self {
            port,
            reach,
            found: Found::new(name),
            links: Vec::new(),
            query: Query::new(port),
            questions: 0,
            next_question: now,
            mute: false,
            browse: None,
            browse_at: Some(now + BROWSE_AFTER),
            ready: VecDeque::new(),
            buffer: vec![0; MESSAGE_MAX],
        }
    }

    /// The same for every service.
    pub(super) fn for_all(port: u16, reach: Reach) -> Self {
        Self {
            found: Found::of_all(),
            ..Self::new("", port, reach)
        }
    }

    /// The same search without the browse.
    pub(super) fn by_query_alone(self) -> Self {
        Self {
            browse_at: None,
            ..self
        }
    }

    /// What is found next. It never ends. [`RegistryError::NoMulticast`] comes at most once until a question goes out
    /// again; the search goes on, since an interface may come up.
    ///
    /// Losing the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Instance, RegistryError> {
        loop {
            if let Some(result) = self.ready.pop_front() {
                return result;
            }
            let event = tokio::select! {
                sightings = self.query.replies(&mut self.buffer, &self.links) => Event::Heard(sightings),
                sightings = browsed(self.browse.as_mut()) => Event::Heard(sightings),
                () = until(self.next_question) => Event::QuestionDue,
                () = due(self.browse_at) => Event::BrowseDue,
            };
            match event {
                Event::Heard(sightings) => self.note(&sightings),
                Event::QuestionDue => self.ask(),
                Event::BrowseDue => {
                    self.browse = Some(Browse::start(self.port, self.reach));
                    self.browse_at = None;
                }
            }
        }
    }

    /// The search as a stream.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Instance, RegistryError>> + Send {
        stream::unfold(self, |mut search| async move {
            Some((search.next().await, search))
        })
    }

    fn note(&mut self, sightings: &[Sighting]) {
        for sighting in sightings {
            if let Some(instance) = self.found.note(sighting, &self.links) {
                self.ready.push_back(Ok(instance));
            }
        }
    }

    fn ask(&mut self) {
        if let Ok(links) = interfaces::links(self.reach) {
            self.links = links;
        }
        self.next_question = Clock::now() + pause(self.questions);
        self.questions = self.questions.saturating_add(1);
        let sent = self.query.ask(&self.links);
        if sent == 0 && !self.mute {
            self.ready.push_back(Err(no_multicast(&self.links)));
        }
        self.mute = sent == 0;
    }
}

async fn browsed(browse: Option<&mut Browse>) -> Vec<Sighting> {
    match browse {
        Some(browse) => browse.next().await,
        None => pending().await,
    }
}

async fn due(at: Option<Clock>) {
    match at {
        Some(at) => until(at).await,
        None => pending().await,
    }
}

/// What is due already does not wait for the timer, which ticks once a millisecond.
async fn until(at: Clock) {
    if Clock::now() < at {
        sleep_until(at).await;
    }
}

/// The pause after the `asked`th question, counted from 0.
fn pause(asked: u32) -> Duration {
    if let Some(&first) = usize::try_from(asked)
        .ok()
        .and_then(|asked| FIRST_PAUSES.get(asked))
    {
        return first;
    }
    let doublings = asked
        .saturating_sub(PACED)
        .min(PAUSE_MAX.as_secs().ilog2() + 1);
    (PAUSE * 2_u32.pow(doublings)).min(PAUSE_MAX)
}

fn no_multicast(links: &[Link]) -> RegistryError {
    if links.is_empty() {
        return RegistryError::NoMulticast("none is up".to_owned());
    }
    let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
    RegistryError::NoMulticast(format!("nothing could be sent on {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_quickly_then_every_second_then_seldom() {
        let milliseconds: Vec<u128> = (0..20).map(|asked| pause(asked).as_millis()).collect();
        assert_eq!(milliseconds[..5], [100, 200, 700, 1_000, 1_000]);
        assert_eq!(
            milliseconds[12..],
            [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
        );
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }
}
