//! A closed loop of calls: so many in flight, each followed by the next as soon as it is answered.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::task::JoinSet;

/// How long a loop runs.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    /// Not counted, at the beginning.
    pub(crate) warm_up: Duration,
    /// Counted, after that.
    pub(crate) time: Duration,
}

/// What a loop came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Operations a second.
    pub(crate) rate: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Sample {
    /// Of `latencies`, one for each call within `time`, that did `each` operations.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) fn new(
        mut latencies: Vec<Duration>,
        time: Duration,
        each: usize,
    ) -> anyhow::Result<Self> {
        latencies.sort_unstable();
        let last = latencies
            .len()
            .checked_sub(1)
            .context("nothing was answered in time")?;
        let operations = crate::text::as_f64((latencies.len() * each) as u64);
        Ok(Self {
            rate: operations / time.as_secs_f64(),
            p50: latencies[last / 2],
            p99: latencies[last * 99 / 100],
        })
    }
}

/// Calls `operation` for `span`, `in_flight` at a time. Each gets the number of the caller that it is called by.
///
/// # Errors
///
/// The first call that fails.
pub(crate) async fn closed_loop<O, F>(
    in_flight: usize,
    span: Span,
    operation: O,
) -> anyhow::Result<Sample>
where
    O: Fn(usize) -> F + Clone + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let from = Instant::now() + span.warm_up;
    let until = from + span.time;
    let mut callers = JoinSet::new();
    for caller in 0..in_flight {
        let operation = operation.clone();
        callers.spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let begun = Instant::now();
                operation(caller).await?;
                let ended = Instant::now();
                if ended >= until {
                    return anyhow::Ok(latencies);
                }
                if ended >= from {
                    latencies.push(ended - begun);
                }
            }
        });
    }
    let mut latencies = Vec::new();
    while let Some(ended) = callers.join_next().await {
        latencies.extend(ended??);
    }
    Sample::new(latencies, span.time, 1)
}

/// The one in the middle.
pub(crate) fn median<T: Copy + PartialOrd>(values: impl IntoIterator<Item = T>) -> T {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_by(|left, right| left.partial_cmp(right).expect("figures are numbers"));
    values[values.len() / 2]
}
