//! Registers that hold much, made without a server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use shippy::{
    consignment,
    store::{NewConsignment, Outcome, Store as _, sqlite::SqliteStore},
};

use crate::{Subject, index, record};

/// How many are committed together.
const BATCH: u64 = 1_000;

/// Where the subject's register of `count` consignments is; it is made when it is not there yet.
pub(crate) fn of(subject: &Subject, count: u64) -> anyhow::Result<PathBuf> {
    let path = subject.folder.path().join(format!("{count}.db"));
    if !path.exists() {
        fill(&path, count)?;
    }
    Ok(path)
}

/// Makes a register at `path` that holds the first `count` consignments.
pub(crate) fn fill(path: &Path, count: u64) -> anyhow::Result<()> {
    eprintln!("filling a register with {count} consignments …");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = SqliteStore::open(path)?;
        for batch in 0..count.div_ceil(BATCH) {
            let numbers = batch * BATCH..((batch + 1) * BATCH).min(count);
            let outcomes = store.append(numbers.map(numbered).collect()).await?;
            let is_stored = |outcome: &Outcome| matches!(outcome, Outcome::Stored(_));
            ensure!(outcomes.iter().all(is_stored), "an id came twice");
        }
        // A server that is measured later is not to be measured while it catches up.
        index::watch(path);
        store.close().await;
        Ok(())
    })
}

fn numbered(number: u64) -> NewConsignment {
    let mut consignment = record::consignment(number, consignment::new_id());
    let body = consignment::canonical(&mut consignment);
    NewConsignment::new(consignment.id, body)
}

/// What the register at `path` and the files beside it take, in bytes.
pub(crate) fn size(path: &Path) -> anyhow::Result<u64> {
    files(path)?
        .iter()
        .try_fold(0, |sum, (file, _)| Ok(sum + fs::metadata(file)?.len()))
}

/// Takes the register at `path` away, and the files beside it.
pub(crate) fn remove(path: &Path) -> anyhow::Result<()> {
    for (file, _) in files(path)? {
        fs::remove_file(file)?;
    }
    Ok(())
}

/// Copies the register at `path` to `copy`, and the files beside it.
pub(crate) fn copy(path: &Path, copy: &Path) -> anyhow::Result<()> {
    for (file, suffix) in files(path)? {
        fs::copy(file, format!("{}{suffix}", copy.display()))?;
    }
    Ok(())
}

/// The register's files, each with what its name has behind the register's.
fn files(path: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let folder = path.parent().context("a register is in a folder")?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(suffix) = entry.file_name().to_string_lossy().strip_prefix(&*name) {
            files.push((entry.path(), suffix.to_owned()));
        }
    }
    Ok(files)
}
