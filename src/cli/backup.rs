//! `shippy backup`

use std::path::PathBuf;

use clap::Args;
use tokio::task::spawn_blocking;

use super::{
    DEFAULT_NAME, Exit,
    exit::UsageError,
    parse_name,
    sound::{print_sound, watched},
    store::StoreArgs,
};
use crate::{
    backend::{Backup, BackupError, Target},
    store::OpenError,
};

/// Copy a register into a file, also while it is served
///
/// Copies what is stored when it begins, checks the copy as `shippy verify` does, and only then gives it its name. It is
/// served by `shippy serve --store sqlite:FILE`, as the register that it is a copy of: instead of it, never beside it.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace the file that is there
    #[arg(long)]
    force: bool,
    /// The service's name, which tells where its register is kept when nothing else does
    #[arg(long, env = "MICRO_SERVER_NAME", default_value = DEFAULT_NAME, value_parser = parse_name)]
    name: String,
    #[command(flatten)]
    store: StoreArgs,
    /// Print no progress
    #[arg(short, long)]
    quiet: bool,
}

impl BackupArgs {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let url = self.store.url(&self.name)?;
        let source = url.file().map_err(UsageError)?;
        let target = Target::new(&self.file, self.force).map_err(refused)?;
        let backup = Backup::open(source).map_err(|error| match error {
            OpenError::Missing(path) => anyhow::Error::new(UsageError(format!(
                "there is no register at {}: name the one that its server does, with --store sqlite:PATH or --name",
                path.display()
            ))),
            error => error.into(),
        })?;
        let (mut watch, gauge) = watched(self.file.display().to_string(), self.quiet)?;
        watch.progress.begin("copied", backup.records(), 0);
        let writing = spawn_blocking(move || backup.write(target, &gauge));
        let Ok(written) = watch.during(writing).await else {
            return Ok(Exit::Interrupted);
        };
        watch.progress.end();
        match written? {
            Ok(report) => print_sound(&report).map(|()| Exit::Done),
            Err(BackupError::Stopped) => Ok(Exit::Interrupted),
            Err(error) => Err(refused(error)),
        }
    }
}

/// A place that cannot be is the caller's to change.
fn refused(error: BackupError) -> anyhow::Error {
    match error {
        BackupError::Exists(_) | BackupError::Place { .. } => UsageError(error.to_string()).into(),
        error => error.into(),
    }
}
