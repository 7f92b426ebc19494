//! When to say what to the group: no record more often than once a second (RFC 6762 §6), so that what is asked, however
//! often, is answered in one message.

use std::time::Duration;

use tokio::time::Instant;

use super::records::Choice;

/// The least time between two messages with the same record.
const PAUSE: Duration = Duration::from_secs(1);

/// What is to be said to the group. It has room for each record once.
#[derive(Debug)]
pub(super) struct Schedule {
    pending: Choice,
    due: Option<Instant>,
    /// When each record was said last.
    said: Vec<Option<Instant>>,
}

impl Schedule {
    /// Of so many records none has been said.
    pub(super) fn new(records: usize) -> Self {
        Self {
            pending: Choice::default(),
            due: None,
            said: vec![None; records],
        }
    }

    /// Has `choice` said after `delay`, or as soon as all of it may be said again.
    ///
    /// What is pending waits for the second to be over and no longer, however much is added: each record puts it off once.
    pub(super) fn add(&mut self, choice: Choice, delay: Duration) {
        let due = self.due.unwrap_or_else(|| Instant::now() + delay);
        let fresh = choice.places().filter(|&place| !self.pending.has(place));
        let last = fresh.filter_map(|place| self.said[place]).max();
        self.due = Some(last.map_or(due, |last| due.max(last + PAUSE)));
        self.pending.add(choice);
    }

    /// When something is to be said.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What is to be said now, and noted when it is.
    pub(super) fn take(&mut self) -> Choice {
        self.due = None;
        std::mem::take(&mut self.pending)
    }

    /// Notes that `choice` is said now.
    pub(super) fn note(&mut self, choice: &Choice) {
        for place in choice.places() {
            self.said[place] = Some(Instant::now());
        }
    }

    /// Whether the record at `place` was said within `time`.
    pub(super) fn was_said(&self, place: usize, time: Duration) -> bool {
        self.said[place].is_some_and(|said| said.elapsed() < time)
    }
}

/// When a server is announced to the group: twice, and where that could not be sent, as by an IPv6 address that is still
/// looked at for a duplicate, again (RFC 6762 §8.3).
#[derive(Debug, Default)]
pub(super) struct Announcements {
    tried: u32,
    sent: u32,
    next: Option<Instant>,
}

impl Announcements {
    /// How many are to be sent, and how often that is tried.
    const WANTED: u32 = 2;
    const TRIES: u32 = 8;
    /// How long one is pending, so that what is asked meanwhile is answered by it.
    pub(super) const NOTICE: Duration = PAUSE;

    /// Notes that one was sent now, or could not be. The pause that follows doubles.
    pub(super) fn note(&mut self, is_sent: bool) {
        let pause = PAUSE * 2_u32.saturating_pow(self.tried.min(Self::TRIES));
        self.tried = self.tried.saturating_add(1);
        self.sent = self.sent.saturating_add(u32::from(is_sent));
        let is_enough = self.sent >= Self::WANTED || self.tried >= Self::TRIES;
        self.next = (!is_enough).then(|| Instant::now() + pause.saturating_sub(Self::NOTICE));
    }

    /// When the next is to be made ready, [`NOTICE`](Self::NOTICE) before it is to be said.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    /// Notes that the next is ready.
    pub(super) fn begin(&mut self) {
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn choice(places: &[usize]) -> Choice {
        let mut choice = Choice::default();
        choice.answers.extend(places);
        choice
    }

    const DELAY: Duration = Duration::from_millis(50);

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_again_and_again_is_said_once_a_second() {
        let mut schedule = Schedule::new(2);
        let mut said = 0;
        for _ in 0..100 {
            schedule.add(choice(&[0]), DELAY);
            advance(DELAY).await;
            if schedule.due().is_some_and(|due| due <= Instant::now()) {
                assert_eq!(schedule.take(), choice(&[0]));
                schedule.note(&choice(&[0]));
                said += 1;
            }
        }
        // In 5 s, beginning after 50 ms.
        assert_eq!(said, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_said_waits_for_no_more_than_it_has_to() {
        let mut schedule = Schedule::new(2);
        schedule.note(&choice(&[0]));
        schedule.add(choice(&[1]), DELAY);
        assert_eq!(schedule.due(), Some(Instant::now() + DELAY));
        // Together, as soon as both may be said.
        schedule.add(choice(&[0]), DELAY);
        assert_eq!(schedule.due(), Some(Instant::now() + PAUSE));
        advance(PAUSE).await;
        assert_eq!(schedule.take(), choice(&[0, 1]));
        assert_eq!((schedule.due(), schedule.take()), (None, choice(&[])));
        assert!(!schedule.was_said(1, PAUSE));
        schedule.note(&choice(&[0, 1]));
        assert!(schedule.was_said(1, PAUSE));
        advance(PAUSE).await;
        assert!(!schedule.was_said(1, PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_beside_the_schedule_does_not_put_off_what_is_pending() {
        let mut schedule = Schedule::new(1);
        schedule.add(choice(&[0]), DELAY);
        let due = schedule.due();
        // A name is defended, and asked for again.
        schedule.note(&choice(&[0]));
        schedule.add(choice(&[0]), DELAY);
        assert_eq!(schedule.due(), due);
    }

    /// The pauses in seconds after announcements that were sent, or could not be.
    fn pauses(are_sent: &[bool]) -> Vec<Option<u64>> {
        let mut announcements = Announcements::default();
        let pause = |&is_sent: &bool| {
            announcements.note(is_sent);
            let said = |due: Instant| due + Announcements::NOTICE - Instant::now();
            announcements.due().map(|due| said(due).as_secs())
        };
        are_sent.iter().map(pause).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_announced_twice_and_again_where_that_failed() {
        assert_eq!(pauses(&[true, true]), [Some(1), None]);
        assert_eq!(
            pauses(&[false, false, true, true]),
            [Some(1), Some(2), Some(4), None]
        );
        let mut all: Vec<_> = (0..7).map(|doublings| Some(1 << doublings)).collect();
        all.push(None);
        assert_eq!(pauses(&[false; 8]), all);
    }
}
