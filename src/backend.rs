//! The one place that names concrete stores and registries.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use anyhow::Context as _;
use clap::ValueEnum;

use crate::{
    registry::{Registry, fixed::Fixed, mdns::Mdns},
    store::{Store, memory::MemoryStore, sqlite::SqliteStore},
};

/// Where a register is kept, as `--store` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: one file; a path that ends in `/` is a folder, and the file in it has the service's name.
    Sqlite(PathBuf),
    /// `memory:`: nowhere.
    Memory,
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("sqlite", path)) if !path.is_empty() => {
                // `sqlite:///var/x` is the same file as `sqlite:/var/x`.
                Ok(Self::Sqlite(path.strip_prefix("//").unwrap_or(path).into()))
            }
            None => Err(format!("write sqlite:{text} for a register in that file")),
            _ => Err("it is none of: sqlite:PATH, sqlite:FOLDER/, memory:".into()),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
            Self::Memory => formatter.write_str("memory:"),
        }
    }
}

impl StoreUrl {
    /// Where the register of the service `name` is kept when nothing is said: in the state folder that systemd gives
    /// a service, else in the user's data folder (XDG Base Directory Specification).
    ///
    /// # Errors
    ///
    /// When there is neither.
    pub fn default_for(name: &str) -> anyhow::Result<Self> {
        let absolute = |variable| {
            env::var_os(variable)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        // systemd separates several by colons (systemd.exec(5)).
        let state = env::var("STATE_DIRECTORY").ok();
        let state = state
            .as_deref()
            .and_then(|paths| paths.split(':').next())
            .map(PathBuf::from);
        let data =
            || absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
        let folder = state.filter(|path| path.is_absolute()).or_else(data).context(
            "there is no folder for the register, as HOME is not set: say where to keep it with --store sqlite:PATH",
        )?;
        Ok(Self::Sqlite(folder.join("shippy").join(file_name(name))))
    }

    /// The same with the service's name filled in where the file's is open.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        match self {
            Self::Sqlite(path) if is_folder(&path) => Self::Sqlite(path.join(file_name(name))),
            other => other,
        }
    }

    /// Opens the store. This blocks.
    ///
    /// # Errors
    ///
    /// [`crate::store::OpenError`], which says what to do.
    pub fn open(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Sqlite(path) => Arc::new(SqliteStore::open(path)?),
            Self::Memory => Arc::new(MemoryStore::new()),
        })
    }
}

fn file_name(name: &str) -> String {
    format!("{name}.db")
}

fn is_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// Where servers announce themselves, as `--registry` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RegistryKind {
    /// Multicast DNS: on this network, with nothing to configure
    Mdns,
}

impl RegistryKind {
    /// Sets the registry up. Nothing is sent before it is used.
    #[must_use]
    pub fn open(self) -> Arc<dyn Registry> {
        match self {
            Self::Mdns => Arc::new(Mdns::new()),
        }
    }
}

/// The servers at `addresses` and no other.
#[must_use]
pub fn fixed(addresses: Vec<String>) -> Arc<dyn Registry> {
    Arc::new(Fixed::new(addresses))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_a_url() {
        let sqlite = |path: &str| Ok(StoreUrl::Sqlite(path.into()));
        assert_eq!("sqlite:depot.db".parse(), sqlite("depot.db"));
        assert_eq!("sqlite:/var/depot.db".parse(), sqlite("/var/depot.db"));
        assert_eq!("sqlite:///var/depot.db".parse(), sqlite("/var/depot.db"));
        assert_eq!("memory:".parse(), Ok(StoreUrl::Memory));
        for text in ["", "depot.db", "sqlite:", "memory:x", "mysql://x"] {
            assert!(text.parse::<StoreUrl>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_folder_gets_a_file_of_the_services_name() {
        let url: StoreUrl = "sqlite:/data/".parse().unwrap();
        assert_eq!(
            url.named("depot"),
            StoreUrl::Sqlite("/data/depot.db".into())
        );
    }
}
