//! What is logged of commits: for which requests they were.

use std::time::Duration;

use tracing::Level;

use super::{NewConsignment, Outcome, Receipt, StoreError, queue::Append};
use crate::causes::chain;

/// A commit that takes longer is warned of: a sound disk or database takes milliseconds, and a client waits for a few
/// seconds.
const SLOW: Duration = Duration::from_secs(1);
/// Most requests that one line names.
const MAX_NAMED: usize = 16;

/// `group` has been committed, in `took`.
pub(super) fn committed(group: &[Append], outcomes: &[Vec<Outcome>], took: Duration) {
    if took > SLOW {
        tracing::warn!(
            requests = requests(group),
            consignments = consignments(group),
            "a commit took {took:.1?}"
        );
    }
    if !tracing::enabled!(Level::DEBUG) {
        return;
    }
    tracing::debug!(
        requests = requests(group),
        consignments = consignments(group),
        seconds = took.as_secs_f64(),
        "committed"
    );
    for (append, outcomes) in group.iter().zip(outcomes) {
        for (new, outcome) in append.batch.iter().zip(outcomes) {
            if let Outcome::Conflict(known) = outcome {
                conflict(new, known);
            }
        }
    }
}

/// Another consignment, which is `known`, has the id of `new`.
pub(super) fn conflict(new: &NewConsignment, known: &Receipt) {
    tracing::debug!(
        request = new.request.as_deref(),
        consignment = new.id,
        sequence = known.sequence,
        "another consignment has this id"
    );
}

/// `group` could not be committed, and those who wait for it are told. That a database does not answer is warned of
/// once, and not for each of them.
pub(super) fn failed(group: &[Append], error: &StoreError) {
    if group.is_empty() {
        return;
    }
    let (requests, consignments) = (requests(group), consignments(group));
    let reason = chain(error);
    if matches!(error, StoreError::Unreachable(_)) {
        tracing::debug!(requests, consignments, "could not commit: {reason}");
    } else {
        tracing::warn!(requests, consignments, "could not commit: {reason}");
    }
}

/// The ids of the requests that `group` came with, as far as they have any, each of which is one word; the last word is
/// `…` where there are more.
pub(super) fn requests(group: &[Append]) -> Option<String> {
    // A batch is one request's, whole or a part.
    listed((group.iter()).filter_map(|append| append.batch.first()?.request.as_deref()))
}

fn listed<'a>(ids: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut named: Vec<&str> = Vec::new();
    for id in ids {
        if named.len() > MAX_NAMED {
            break;
        }
        if !named.contains(&id) {
            named.push(id);
        }
    }
    if let Some(last) = named.get_mut(MAX_NAMED) {
        *last = "…";
    }
    (!named.is_empty()).then(|| named.join(" "))
}

fn consignments(group: &[Append]) -> usize {
    group.iter().map(|append| append.batch.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_requests_are_named_once_each() {
        assert_eq!(listed(std::iter::empty()), None);
        assert_eq!(listed(["b", "a", "b"].into_iter()).as_deref(), Some("b a"));
        let ids: Vec<_> = (0..2 * MAX_NAMED)
            .map(|number| number.to_string())
            .collect();
        let all = |count: usize| listed(ids[..count].iter().map(String::as_str)).unwrap();
        assert_eq!(all(MAX_NAMED), ids[..MAX_NAMED].join(" "));
        for more in [MAX_NAMED + 1, ids.len()] {
            assert_eq!(all(more), ids[..MAX_NAMED].join(" ") + " …");
        }
    }
}
