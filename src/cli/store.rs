//! Where the register is kept, as the command line and the environment say it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Args, error::ErrorKind, parser::ValueSource};

use super::exit::UsageError;
use crate::backend::StoreUrl;

const STORE_HELP: &str = "Where to keep the register: sqlite:FILE, sqlite:FOLDER/, \
    postgres://USER@HOST/DATABASE for one that several servers share, or memory: to keep it only while the server runs \
    [default: a file of the service's name in the user's data folder]";

#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    #[arg(long, env = "SHIPPY_STORE", value_name = "URL", help = STORE_HELP)]
    store: Option<String>,
    /// A file with the URL of --store in it, which may then hold a password
    #[arg(long, env = "SHIPPY_STORE_FILE", value_name = "PATH")]
    store_file: Option<PathBuf>,
}

/// Refuses two stores, and a password where every process of the machine can read it.
pub(super) fn check(matches: &ArgMatches) -> Result<(), clap::Error> {
    let (store, file) = (
        matches.value_source("store"),
        matches.value_source("store_file"),
    );
    let is_typed = |source| source == Some(ValueSource::CommandLine);
    if is_typed(store) && is_typed(file) {
        return Err(clap::Error::raw(
            ErrorKind::ArgumentConflict,
            "--store and --store-file both say where to keep the register: give one of them\n",
        ));
    }
    let url = matches.get_one::<String>("store");
    let url = url.filter(|_| is_typed(store));
    // Where it cannot be read this is not what is wrong with it.
    if url.is_some_and(|url| url.parse().is_ok_and(|url: StoreUrl| url.has_password())) {
        return Err(clap::Error::raw(
            ErrorKind::ValueValidation,
            "--store holds a password, which every user of this machine can read there: set SHIPPY_STORE instead, or \
             give a file with the URL as --store-file, or keep the password in ~/.pgpass\n",
        ));
    }
    Ok(())
}

impl StoreArgs {
    /// Where to keep the register. What is typed counts before what is set, and of what is set the file before the URL,
    /// which the image sets.
    pub(super) fn url(&self, name: &str) -> anyhow::Result<StoreUrl> {
        let text = match (&self.store, &self.store_file) {
            (Some(url), Some(_)) if env::var("SHIPPY_STORE").as_ref() != Ok(url) => {
                Some(url.clone())
            }
            (_, Some(path)) => Some(read_store(path)?),
            (url, None) => url.clone(),
        };
        Ok(match text {
            Some(text) => parse_store(&text)?.named(name),
            None => StoreUrl::default_for(name)?,
        })
    }
}

/// Not left to clap, which would print the whole value: it may hold a password.
fn parse_store(text: &str) -> Result<StoreUrl, UsageError> {
    text.parse().map_err(|reason| {
        let scheme = text.split(':').next().unwrap_or_default();
        UsageError(format!("could not use the store {scheme:?}: {reason}"))
    })
}

/// The URL that the file at `path` holds.
fn read_store(path: &Path) -> Result<String, UsageError> {
    let text = fs::read_to_string(path).map_err(|error| {
        UsageError(format!(
            "could not read --store-file {}: {error}",
            path.display()
        ))
    })?;
    Ok(text.trim().to_owned())
}
