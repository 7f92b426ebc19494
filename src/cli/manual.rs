//! `shippy man`

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};

use super::{Cli, Exit, completed};

/// Write the manual pages, shippy.1 and one for each command
///
/// For instance: shippy man ~/.local/share/man/man1
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The folder to put them in, which is made where it is missing; pages that are there already are written anew
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl ManArgs {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let folder = self.folder;
        fs::create_dir_all(&folder)
            .with_context(|| format!("could not make the folder {}", folder.display()))?;
        clap_mangen::generate_to(completed(Cli::command()), &folder)
            .with_context(|| format!("could not write the pages to {}", folder.display()))?;
        Ok(Exit::Done)
    }
}
