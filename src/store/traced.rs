//! What a request's trace has of a commit.

use std::time::{Duration, Instant};

use opentelemetry::KeyValue;

use super::StoreError;
use crate::traces::{Part, Trace};

/// A commit that is over, for those who waited for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Commit {
    /// As OpenTelemetry calls it.
    pub(super) database: &'static str,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    /// How long it took to make it durable, where that is known.
    pub(super) synced: Option<Duration>,
    /// How many batches and consignments were in it.
    pub(super) batches: usize,
    pub(super) consignments: usize,
}

impl Commit {
    /// Becomes a part of `trace`, whose batch has waited for it `since` then, with the failure that came of it.
    pub(super) fn add_to(&self, trace: &Trace, since: Instant, failure: Option<&StoreError>) {
        if !trace.takes_commit(self.begun) {
            return;
        }
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let waited = self.begun.saturating_duration_since(since);
        let mut attributes = vec![
            KeyValue::new("db.system.name", self.database),
            KeyValue::new("shippy.commit.batches", count(self.batches)),
            KeyValue::new("shippy.commit.consignments", count(self.consignments)),
            KeyValue::new("shippy.commit.wait_seconds", waited.as_secs_f64()),
        ];
        if let Some(synced) = self.synced {
            let seconds = synced.as_secs_f64();
            attributes.push(KeyValue::new("shippy.commit.sync_seconds", seconds));
        }
        trace.add(Part {
            name: "commit",
            begun: self.begun,
            ended: self.ended,
            attributes,
            failure: failure.map(ToString::to_string),
        });
    }
}
