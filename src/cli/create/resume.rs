//! How far an earlier run of a batch came.
//!
//! A run stores its records in the order of the file, but for those that were under way when a connection broke, which
//! are at most [`LOAD_WINDOW`] chunks. So of the ids that the batch made, those stored are the first few without a gap,
//! and a search for the last needs few questions: a batch of a million takes two.

use std::collections::BTreeMap;

use anyhow::Context as _;
use prost::Message as _;

use super::batch::Batch;
use crate::{
    cli::exit::UsageError,
    client::{Client, LOAD_WINDOW},
    consignment::canonical,
    formats::read::Checked,
    proto::{CHUNK_RECORDS, Consignment, ListRequest},
};

/// Most ids that a server takes in one question.
const MAX_ASKED: u64 = 1_000;

/// So many records before the last that is stored some may be missing.
const IN_DOUBT: u64 = (LOAD_WINDOW * CHUNK_RECORDS) as u64;

/// The last record of a batch that is stored.
#[derive(Debug)]
pub(super) struct Reached {
    /// Its number among the records without an id of their own.
    number: u64,
    consignment: Consignment,
}

/// Asks for the last stored record of `batch`, which may have `most` records, and one more, which would tell of
/// another file. `None` when none is stored.
pub(super) async fn reached(
    client: &mut Client,
    batch: Batch,
    most: u64,
) -> anyhow::Result<Option<Reached>> {
    let mut reached = None;
    let (mut stored, mut missing) = (0, most + 2);
    while missing - stored > 1 {
        let asked = probes(stored, missing);
        let found = ask(client, batch, &asked)
            .await
            .with_context(|| format!("could not ask how far batch {batch} got"))?;
        if let Some((number, consignment)) = found.into_iter().next_back() {
            stored = number;
            reached = Some(Reached {
                number,
                consignment,
            });
        }
        let above = asked.into_iter().find(|&number| number > stored);
        missing = above.unwrap_or(missing);
    }
    Ok(reached)
}

/// The numbers to ask for, ascending, when `stored` is known to be stored and `missing` not to be: all that are
/// between, or as many as can be asked for, evenly spread up to the last.
fn probes(stored: u64, missing: u64) -> Vec<u64> {
    let between = missing - stored - 1;
    let count = between.min(MAX_ASKED);
    (1..=count)
        .map(|step| stored + between * step / count)
        .collect()
}

/// Those of `numbers` that are stored.
async fn ask(
    client: &mut Client,
    batch: Batch,
    numbers: &[u64],
) -> anyhow::Result<BTreeMap<u64, Consignment>> {
    let request = ListRequest {
        ids: numbers.iter().map(|&number| batch.id(number)).collect(),
        ..ListRequest::default()
    };
    let mut found = BTreeMap::new();
    let mut listing = client.list(request);
    while let Some(chunk) = listing.next().await? {
        for encoded in &chunk.consignments {
            let consignment = Consignment::decode(encoded)?;
            // A server that lists what it was not asked for leads nobody astray.
            let number = batch.number(&consignment.id);
            if let Some(number) = number.filter(|number| numbers.contains(number)) {
                found.insert(number, consignment);
            }
        }
    }
    Ok(found)
}

/// How many records at the beginning of `input` need not be sent again, `reached` being stored. This blocks.
///
/// # Errors
///
/// [`UsageError`] when the batch was begun with another input, or [`InputError`](crate::formats::read::InputError).
pub(super) fn passed_over(
    input: &Checked,
    batch: Batch,
    reached: &mut Reached,
) -> anyhow::Result<u64> {
    let name = input.name();
    let certain = reached.number.saturating_sub(IN_DOUBT);
    let mut unnamed = 0;
    let mut passed_over = 0;
    for (index, record) in (0..).zip(input.records()?) {
        let mut record = record?;
        if !record.consignment.id.is_empty() {
            continue;
        }
        unnamed += 1;
        if unnamed <= certain {
            passed_over = index + 1;
        }
        if unnamed == reached.number {
            record.consignment.id = batch.id(unnamed);
            let is_same = canonical(&mut record.consignment) == canonical(&mut reached.consignment);
            if is_same {
                return Ok(passed_over);
            }
            let text = format!(
                "{name} is not what batch {batch} was begun with: {name}:{} differs from what is stored as {}; nothing was sent",
                record.line, record.consignment.id
            );
            return Err(UsageError(text).into());
        }
    }
    let text = format!(
        "{name} is not what batch {batch} was begun with: of that, more records are stored than this holds; nothing was sent"
    );
    Err(UsageError(text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_asks_for_all_between_or_for_evenly_spread_ones_up_to_the_last() {
        assert!(probes(0, 1).is_empty());
        assert_eq!(probes(0, 4), [1, 2, 3]);
        assert_eq!(probes(7, 9), [8]);
        let many = probes(10, 1_000_000);
        assert_eq!(many.len(), 1_000);
        assert!(many.is_sorted_by(|one, next| one < next && next - one <= 1_000));
        assert_eq!((many[0], many[999]), (10 + 999, 999_999));
    }
}
