//! A register that is established.

use std::path::Path;

use anyhow::{Context as _, ensure};
use shippy::{
    consignment,
    proto::Consignment,
    store::{NewConsignment, Outcome, Store as _, sqlite::SqliteStore},
};

const SAMPLE: &str = include_str!("../../consignment.json");
/// How many are committed together.
const BATCH: u64 = 1_000;

/// Makes a register at `path` that holds the sample `count` times, each under an id of its own.
pub(crate) fn fill(path: &Path, count: u64) -> anyhow::Result<()> {
    let sample: Consignment = serde_json::from_str(SAMPLE).context("consignment.json")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let store = SqliteStore::open(path)?;
        for _ in 0..count / BATCH {
            let batch = (0..BATCH).map(|_| renamed(&sample)).collect();
            let outcomes = store.append(batch).await?;
            let is_stored = |outcome: &Outcome| matches!(outcome, Outcome::Stored(_));
            ensure!(outcomes.iter().all(is_stored), "an id came twice");
        }
        store.close().await;
        Ok(())
    })
}

fn renamed(sample: &Consignment) -> NewConsignment {
    let id = consignment::new_id();
    let mut consignment = Consignment {
        id: id.clone(),
        ..sample.clone()
    };
    let body = consignment::canonical(&mut consignment);
    NewConsignment::new(id, body)
}
