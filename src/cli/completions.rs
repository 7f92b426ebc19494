//! `shippy completions`

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Exit, completed};

/// Print what lets a shell complete commands and flags
///
/// For bash, for instance: shippy completions bash >~/.local/share/bash-completion/completions/shippy
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        // Written at once: the generator has no way to say that a pipe was closed.
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut completed(Cli::command()),
            "shippy",
            &mut script,
        );
        let mut stdout = io::stdout().lock();
        (stdout.write_all(&script))
            .and_then(|()| stdout.flush())
            .context("could not print")?;
        Ok(Exit::Done)
    }
}
