//! What is measured of a store's writer.

use std::time::Duration;

use prometheus_client::{
    metrics::histogram::{Histogram, exponential_buckets},
    registry::Registry,
};

/// Measurements of commits, for all who hold a copy.
#[derive(Debug, Clone)]
pub(super) struct Meters {
    records: Histogram,
    commits: Histogram,
    syncs: Histogram,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            // From one to what a commit takes at most.
            records: Histogram::new(exponential_buckets(1.0, 4.0, 7)),
            commits: latencies(),
            syncs: latencies(),
        }
    }
}

/// A histogram of times from 100 µs, less than which no disk takes to sync, to 6.5 s.
fn latencies() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 17))
}

impl Meters {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "shippy_commit_records",
            "Consignments that were sent to be stored in one commit",
            self.records.clone(),
        );
        registry.register(
            "shippy_commit_seconds",
            "How long commits took, from their first statement until they were durable",
            self.commits.clone(),
        );
        registry.register(
            "shippy_sync_seconds",
            "How long the embedded store took to write a commit to its log and sync it; of a database nothing is known here",
            self.syncs.clone(),
        );
    }

    /// Writing a commit to the disk `took` so long.
    pub(super) fn synced(&self, took: Duration) {
        self.syncs.observe(took.as_secs_f64());
    }

    /// A commit of `records` is durable after it `took` so long.
    pub(super) fn committed(&self, records: usize, took: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "there are thousands at most")]
        self.records.observe(records as f64);
        self.commits.observe(took.as_secs_f64());
    }
}
