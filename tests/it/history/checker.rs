//! What a history of calls must be like, whoever called when: README's promises 1 to 3.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Instant,
};

use bytes::Bytes;

/// A call, from before it was made until after it was answered or given up.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    pub(super) result: Result,
}

#[derive(Debug, Clone)]
pub(super) enum Result {
    /// A create that was acknowledged.
    Created {
        sent: Sent,
        sequence: u64,
        /// Whether this call stored it.
        is_new: bool,
    },
    /// A create that was refused, as another consignment has its id.
    Conflict(Sent),
    /// A create without an answer: it may be stored.
    Unanswered(Sent),
    /// A whole list of what comes after a sequence number, in its order.
    Listed { after: u64, records: Vec<Record> },
}

/// What a create sends, or a list shows: an id and the canonical encoding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) contents: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) sequence: u64,
    pub(super) sent: Sent,
}

/// What must never be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    /// A list leaves out what was acknowledged, or listed, before it began.
    Lost,
    /// An id has two places, or was stored by two calls.
    Twice,
    /// Two consignments have one place.
    Replaced,
    /// A list has a gap, or is out of order.
    Gap,
    /// What is listed was not sent by then.
    NeverSent,
    /// A create was refused although nothing else has its id.
    WrongConflict,
    /// What was sent after an acknowledgement comes before it.
    OutOfOrder,
}

/// The first violation that is found in `calls`, which are all that were made, and the call that shows it.
pub(super) fn violation(calls: &[Call]) -> Option<(Violation, &Call)> {
    let known = Known::of(calls);
    let stored = match known {
        Ok(known) => known,
        Err(found) => return Some(found),
    };
    (calls.iter()).find_map(|call| Some((stored.violation_of(call)?, call)))
}

/// What all calls together say is stored.
#[derive(Default)]
struct Known<'c> {
    by_place: BTreeMap<u64, &'c Sent>,
    by_id: HashMap<&'c str, u64>,
    /// When each was first sent.
    sent: HashMap<&'c Sent, Instant>,
    /// By when a place was known, and the last of those known by then.
    reached: Steps,
    /// The same, of calls that stored.
    stored: Steps,
}

/// The greatest of some numbers by each moment.
#[derive(Default)]
struct Steps(Vec<(Instant, u64)>);

impl Steps {
    fn of(mut all: Vec<(Instant, u64)>) -> Self {
        all.sort_unstable();
        let mut greatest = 0;
        for (_, number) in &mut all {
            greatest = greatest.max(*number);
            *number = greatest;
        }
        Self(all)
    }

    fn before(&self, moment: Instant) -> u64 {
        let count = self.0.partition_point(|(at, _)| *at < moment);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

impl<'c> Known<'c> {
    fn of(calls: &'c [Call]) -> std::result::Result<Self, (Violation, &'c Call)> {
        let mut known = Self::default();
        let (mut reached, mut stored) = (Vec::new(), Vec::new());
        let mut makers = HashSet::new();
        for call in calls {
            match &call.result {
                Result::Created {
                    sent,
                    sequence,
                    is_new,
                } => {
                    known.note_sent(sent, call);
                    known.place(*sequence, sent).map_err(|v| (v, call))?;
                    reached.push((call.ended, *sequence));
                    if *is_new {
                        stored.push((call.ended, *sequence));
                        if !makers.insert(&sent.id) {
                            return Err((Violation::Twice, call));
                        }
                    }
                }
                Result::Conflict(sent) | Result::Unanswered(sent) => known.note_sent(sent, call),
                Result::Listed { records, .. } => {
                    for Record { sequence, sent } in records {
                        known.place(*sequence, sent).map_err(|v| (v, call))?;
                    }
                    reached.extend(records.last().map(|last| (call.ended, last.sequence)));
                }
            }
        }
        known.reached = Steps::of(reached);
        known.stored = Steps::of(stored);
        Ok(known)
    }

    fn note_sent(&mut self, sent: &'c Sent, call: &Call) {
        let first = self.sent.entry(sent).or_insert(call.begun);
        *first = call.begun.min(*first);
    }

    fn place(&mut self, sequence: u64, sent: &'c Sent) -> std::result::Result<(), Violation> {
        if *self.by_id.entry(&sent.id).or_insert(sequence) != sequence {
            return Err(Violation::Twice);
        }
        if *self.by_place.entry(sequence).or_insert(sent) != sent {
            return Err(Violation::Replaced);
        }
        Ok(())
    }

    fn violation_of(&self, call: &Call) -> Option<Violation> {
        match &call.result {
            Result::Created {
                sequence,
                is_new: true,
                ..
            } => (self.stored.before(call.begun) >= *sequence).then_some(Violation::OutOfOrder),
            Result::Conflict(sent) => {
                let place = self.by_id.get(sent.id.as_str());
                let other = place.and_then(|place| self.by_place.get(place));
                other
                    .is_none_or(|other| *other == sent)
                    .then_some(Violation::WrongConflict)
            }
            Result::Listed { after, records } => self.violation_of_list(call, *after, records),
            Result::Created { .. } | Result::Unanswered(_) => None,
        }
    }

    fn violation_of_list(&self, call: &Call, after: u64, records: &[Record]) -> Option<Violation> {
        let is_gapless = (after + 1..)
            .zip(records)
            .all(|(at, record)| record.sequence == at);
        if !is_gapless {
            return Some(Violation::Gap);
        }
        if self.reached.before(call.begun) > after + records.len() as u64 {
            return Some(Violation::Lost);
        }
        let was_sent = |record: &Record| {
            let first = self.sent.get(&record.sent);
            first.is_some_and(|first| *first < call.ended)
        };
        (!records.iter().all(was_sent)).then_some(Violation::NeverSent)
    }
}

#[cfg(test)]
mod planted {
    //! Each violation is noticed.

    use std::time::Duration;

    use super::*;

    fn sent(id: &str) -> Sent {
        let contents = Bytes::from(format!("contents of {id}"));
        Sent {
            id: id.into(),
            contents,
        }
    }

    fn other(id: &str) -> Sent {
        let contents = Bytes::from("others");
        Sent {
            contents,
            ..sent(id)
        }
    }

    fn created(id: &str, sequence: u64, is_new: bool) -> Result {
        Result::Created {
            sent: sent(id),
            sequence,
            is_new,
        }
    }

    fn listed(after: u64, ids: &[(u64, &str)]) -> Result {
        let record = |&(sequence, id): &(u64, &str)| Record {
            sequence,
            sent: sent(id),
        };
        let records = ids.iter().map(record).collect();
        Result::Listed { after, records }
    }

    /// One call after the other.
    fn history(results: Vec<Result>) -> Vec<Call> {
        let start = Instant::now();
        let call = |(at, result): (u64, Result)| Call {
            begun: start + Duration::from_secs(2 * at),
            ended: start + Duration::from_secs(2 * at + 1),
            result,
        };
        (0..).zip(results).map(call).collect()
    }

    #[track_caller]
    fn shows(results: Vec<Result>, expected: impl Into<Option<Violation>>) {
        let calls = history(results);
        let found = violation(&calls).map(|(violation, _)| violation);
        assert_eq!(found, expected.into());
    }

    #[test]
    fn nothing_is_found_where_nothing_is_wrong() {
        let good = vec![
            listed(0, &[]),
            created("a", 1, true),
            created("a", 1, false),
            Result::Conflict(other("a")),
            Result::Unanswered(sent("b")),
            Result::Unanswered(sent("c")),
            created("d", 3, true),
            listed(0, &[(1, "a"), (2, "c"), (3, "d")]),
            listed(2, &[(3, "d")]),
            listed(3, &[]),
        ];
        shows(good, None);
    }

    #[test]
    fn what_is_lost_is_found() {
        shows(vec![created("a", 1, true), listed(0, &[])], Violation::Lost);
        // What was listed may not go either, acknowledged or not.
        let gone = [listed(0, &[(1, "a")]), listed(0, &[])];
        let gone = [vec![Result::Unanswered(sent("a"))], gone.to_vec()].concat();
        shows(gone, Violation::Lost);
    }

    #[test]
    fn calls_at_one_time_may_be_seen_or_not() {
        for records in [vec![], vec![(1, "a")]] {
            let mut calls = history(vec![created("a", 1, true), listed(0, &records)]);
            calls[1].begun = calls[0].begun;
            assert!(violation(&calls).is_none());
        }
    }

    #[test]
    fn what_is_there_twice_is_found() {
        let one = || created("a", 1, true);
        shows(vec![one(), created("a", 2, false)], Violation::Twice);
        shows(vec![one(), one()], Violation::Twice);
        shows(
            vec![one(), listed(0, &[(1, "a"), (2, "a")])],
            Violation::Twice,
        );
    }

    #[test]
    fn what_took_anothers_place_is_found() {
        let one = || created("a", 1, true);
        shows(vec![one(), created("b", 1, true)], Violation::Replaced);
        let mut changed = listed(0, &[(1, "a")]);
        if let Result::Listed { records, .. } = &mut changed {
            records[0].sent = other("a");
        }
        shows(vec![one(), changed], Violation::Replaced);
    }

    #[test]
    fn gaps_and_disorder_are_found() {
        let some = ["a", "b", "c"].map(|id| Result::Unanswered(sent(id)));
        let with = |list| [some.to_vec(), vec![list]].concat();
        shows(with(listed(0, &[(1, "a"), (3, "c")])), Violation::Gap);
        shows(with(listed(0, &[(2, "b"), (1, "a")])), Violation::Gap);
        shows(with(listed(0, &[(2, "b")])), Violation::Gap);
    }

    #[test]
    fn what_nobody_had_sent_is_found() {
        shows(vec![listed(0, &[(1, "a")])], Violation::NeverSent);
        let early = vec![listed(0, &[(1, "a")]), Result::Unanswered(sent("a"))];
        shows(early, Violation::NeverSent);
    }

    #[test]
    fn a_refusal_without_a_reason_is_found() {
        shows(vec![Result::Conflict(sent("a"))], Violation::WrongConflict);
        let same = vec![created("a", 1, true), Result::Conflict(sent("a"))];
        shows(same, Violation::WrongConflict);
    }

    #[test]
    fn an_order_that_is_not_that_of_the_calls_is_found() {
        let turned = vec![created("a", 2, true), created("b", 1, true)];
        shows(turned, Violation::OutOfOrder);
    }
}
