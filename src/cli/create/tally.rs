//! What became of the records of a run, in numbers and words.

use std::{fmt::Write as _, time::Duration};

use super::feed::Sent;
use crate::{
    cli::figures::{grouped, rate},
    escape::escape_control,
    proto::{FieldViolation, Outcome, outcome},
};

/// The rate of what is over sooner says nothing.
const WORTH_TIMING: Duration = Duration::from_millis(100);

/// What became of the records of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// Stored by this run.
    pub(super) created: u64,
    /// Sent, and there already.
    pub(super) already_there: u64,
    pub(super) refused: u64,
    /// Not sent, as they were there already.
    pub(super) passed_over: u64,
}

impl Tally {
    /// How many are stored, by whom ever.
    pub(super) fn stored(&self) -> u64 {
        self.created + self.already_there + self.passed_over
    }

    /// How many were answered for.
    pub(super) fn answered(&self) -> u64 {
        self.created + self.already_there + self.refused
    }

    /// Counts one record's outcome; what is to be said of it, where it was refused.
    pub(super) fn count(&mut self, sent: &Sent, outcome: &Outcome) -> Option<String> {
        let reason = match outcome.result() {
            outcome::Result::Created => {
                self.created += 1;
                return None;
            }
            outcome::Result::AlreadyThere => {
                self.already_there += 1;
                return None;
            }
            outcome::Result::Conflict => format!(
                "another consignment has this id, with sequence number {}: give this one an id of its own",
                outcome.sequence
            ),
            outcome::Result::Invalid => named(&outcome.violations),
            outcome::Result::Unspecified => "the server did not say what became of it".into(),
        };
        self.refused += 1;
        Some(format!("consignment {}: {reason}", sent.id))
    }

    /// How a run that took so long went.
    pub(super) fn summary(&self, took: Duration) -> String {
        let Self {
            created,
            already_there,
            refused,
            passed_over,
        } = *self;
        match (created, already_there, refused, passed_over) {
            (1, 0, 0, 0) => return "1 created".into(),
            (0, 1, 0, 0) => return "1 already there".into(),
            (0, 0, 1, 0) => return "1 refused".into(),
            _ => {}
        }
        let mut text = format!(
            "{} created, {} already there, {} refused",
            grouped(created),
            grouped(already_there),
            grouped(refused),
        );
        if took >= WORTH_TIMING {
            let rate = grouped(rate(self.answered(), took));
            let _ = write!(text, " in {:.1} s ({rate} a second)", took.as_secs_f64());
        }
        if passed_over > 0 {
            let _ = write!(text, "; {} were stored before", grouped(passed_over));
        }
        text
    }
}

/// What is wrong with the fields, as the server said it.
fn named(violations: &[FieldViolation]) -> String {
    let texts: Vec<_> = violations
        .iter()
        .map(|FieldViolation { field, description }| format!("{field} {description}"))
        .map(|text| escape_control(text.trim()).into_owned())
        .collect();
    texts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_more_of_more() {
        let tally = |created, already_there, refused, passed_over| Tally {
            created,
            already_there,
            refused,
            passed_over,
        };
        for (tally, millis, text) in [
            (tally(1, 0, 0, 0), 3, "1 created"),
            (tally(0, 1, 0, 0), 3, "1 already there"),
            (tally(0, 0, 1, 0), 3, "1 refused"),
            (
                tally(2, 1, 0, 0),
                99,
                "2 created, 1 already there, 0 refused",
            ),
            (
                tally(1_000_000, 0, 0, 0),
                9_800,
                "1,000,000 created, 0 already there, 0 refused in 9.8 s (102,000 a second)",
            ),
            (
                tally(1_000, 4_096, 1, 5_000),
                1_000,
                "1,000 created, 4,096 already there, 1 refused in 1.0 s (5,090 a second); 5,000 were stored before",
            ),
        ] {
            assert_eq!(tally.summary(Duration::from_millis(millis)), text);
        }
    }
}
