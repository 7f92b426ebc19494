//! `shippy verify`

use std::path::PathBuf;

use clap::Args;
use tokio::task::spawn_blocking;

use super::{
    Exit,
    exit::say,
    sound::{print_sound, watched},
};
use crate::{backend::Subject, store::OpenError};

/// Check that a register is sound
///
/// Looks at all of a register in a file, record by record, also while it is served, and changes nothing: sequence numbers
/// are gapless from 1, ids are unique, each body is the consignment that its id says, and the filter index beside it, if
/// there is one, says what the records do. Prints one line, and exits with 1 where something is wrong.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The register's file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print no progress
    #[arg(short, long)]
    quiet: bool,
}

impl VerifyArgs {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let name = self.file.display().to_string();
        let subject = Subject::open(&self.file).map_err(|error| match error {
            OpenError::NotARegister { path, reason } => {
                let path = path.display();
                anyhow::anyhow!("could not verify {path}: it is not a shippy register ({reason})")
            }
            error => error.into(),
        })?;
        let (mut watch, gauge) = watched(name.clone(), self.quiet)?;
        watch.progress.begin("checked", subject.records(), 0);
        let verifying = spawn_blocking(move || subject.verify(&gauge));
        let Ok(verified) = watch.during(verifying).await else {
            return Ok(Exit::Interrupted);
        };
        watch.progress.end();
        let Ok(report) = verified? else {
            return Ok(Exit::Interrupted);
        };
        if report.damage.is_empty() {
            print_sound(&report)?;
            return Ok(Exit::Done);
        }
        for (damage, places) in &report.damage {
            say(&format!("shippy: {name}: {damage}: {places}"));
        }
        anyhow::bail!(
            "{name} is damaged: serve a backup of it instead, once `shippy verify` finds that sound"
        );
    }
}
