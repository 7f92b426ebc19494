//! `shippy token`

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;

use super::{
    Exit,
    exit::{UsageError, say},
};
use crate::tokens::{Scope, generate, line, parse_name};

/// Make a token, with which somebody may list or create
///
/// Prints the token, which is kept nowhere else, and on the next line what to add to the file that `shippy serve` is
/// given as --tokens, in which there is only a hash of it. Needs no server.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Whose it is, as the server's log will say
    #[arg(value_name = "NAME", value_parser = parse_name)]
    name: String,
    /// What it is good for
    #[arg(long, value_enum)]
    scope: Scope,
    /// Write the token to this file, which must not be there yet and which only its owner can read, and print the line
    /// alone
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenArgs {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let token = generate().context("this system gives no random numbers")?;
        let line = line(&self.name, self.scope, &token);
        let printed = match &self.token_file {
            Some(path) => {
                keep(path, &token)?;
                format!("{line}\n")
            }
            None => format!("{token}\n{line}\n"),
        };
        let mut stdout = io::stdout().lock();
        (stdout.write_all(printed.as_bytes()))
            .and_then(|()| stdout.flush())
            .context("could not print")?;
        say(match &self.token_file {
            Some(_) => "shippy: add that line to the file of `shippy serve --tokens FILE`",
            None => {
                "shippy: the first line is the token, for SHIPPY_TOKEN or a file of --token-file, and is not shown again; add \
                 the second to the file of `shippy serve --tokens FILE`"
            }
        });
        Ok(Exit::Done)
    }
}

fn keep(path: &Path, token: &str) -> anyhow::Result<()> {
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow::Error::new(UsageError(format!(
            "{} is there already, and nothing is overwritten: name another file",
            path.display()
        ))),
        _ => anyhow::Error::new(error).context(format!("could not make {}", path.display())),
    })?;
    writeln!(file, "{token}").with_context(|| format!("could not write {}", path.display()))
}
