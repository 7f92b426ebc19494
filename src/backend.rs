//! The one place that names concrete stores and registries.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use anyhow::Context as _;
use clap::ValueEnum;
use tokio::task::spawn_blocking;

use crate::{
    registry::{
        Registry, RegistryError,
        access::{Access, AccessError, Secret, Tenure, User},
        consul::{self, Consul},
        dns::Dns,
        etcd::{self, Etcd},
        fixed::Fixed,
        mdns::Mdns,
    },
    store::{
        Prospect, QueueBound, Store,
        memory::MemoryStore,
        postgres::{PostgresStore, PostgresUrl},
        sqlite::SqliteStore,
    },
};

pub use crate::store::sqlite::{
    backup::{Backup, BackupError, Target},
    existing::Gauge,
    verify::{IndexState, Report, Subject},
};

/// Where a register is kept, as `--store` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: one file; a path that ends in `/` is a folder, and the file in it has the service's name.
    Sqlite(PathBuf),
    /// `postgres://…`: a database that several servers can share, in which each service has a register of its own.
    Postgres(Box<PostgresUrl>),
    /// `memory:`: nowhere.
    Memory,
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            // SQLite would take no name at all for a file that is gone when it is closed.
            Some(("sqlite", "" | "//")) => {
                Err("it names no file: write sqlite:PATH or sqlite:FOLDER/".into())
            }
            Some(("sqlite", path)) => {
                // `sqlite:///var/x` is the same file as `sqlite:/var/x`.
                Ok(Self::Sqlite(path.strip_prefix("//").unwrap_or(path).into()))
            }
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(Box::new(text.parse()?))),
            None => Err(format!("write sqlite:{text} for a register in that file")),
            _ => Err("it is none of: sqlite:PATH, sqlite:FOLDER/, postgres://…, memory:".into()),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(formatter),
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

    /// The file that holds the register.
    ///
    /// # Errors
    ///
    /// How it is backed up instead, where there is none.
    pub fn file(&self) -> Result<&Path, String> {
        match self {
            Self::Sqlite(path) => Ok(path),
            Self::Postgres(url) => Err(format!(
                "the register is in {url}, which is backed up by the database's own tools: pg_dump, or pg_basebackup \
                 and an archive of its log"
            )),
            Self::Memory => Err(
                "a register that is kept in memory is in no file: `shippy list -o ndjson` prints all of it"
                    .into(),
            ),
        }
    }

    /// Whether it holds a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        matches!(self, Self::Postgres(url) if url.has_password())
    }

    /// Opens the store of the service `name`, where `bound` is what may wait for its writer. A database that does not answer is waited for, for as long as the future
    /// is.
    ///
    /// # Errors
    ///
    /// [`crate::store::OpenError`], which says what to do.
    pub async fn open(&self, name: &str, bound: QueueBound) -> anyhow::Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Sqlite(path) => {
                let path = path.clone();
                Arc::new(spawn_blocking(move || SqliteStore::open_bounded(&path, bound)).await??)
            }
            Self::Postgres(url) => Arc::new(PostgresStore::open(url, name, bound).await?),
            Self::Memory => Arc::new(MemoryStore::new()),
        })
    }

    /// What [`open`](Self::open) would find; `None` where a store is kept nowhere. Nothing is made or changed. A database
    /// is given 5 s to answer.
    ///
    /// # Errors
    ///
    /// [`crate::store::OpenError`], which says what to do.
    pub async fn prospect(&self, name: &str) -> anyhow::Result<Option<Prospect>> {
        Ok(match self {
            Self::Sqlite(path) => {
                let path = path.clone();
                Some(spawn_blocking(move || SqliteStore::prospect(&path)).await??)
            }
            Self::Postgres(url) => Some(PostgresStore::prospect(url, name).await?),
            Self::Memory => None,
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
    /// etcd, on port 2379 of this machine unless --registry-address says otherwise
    Etcd,
    /// Consul, by the agent on port 8500 of this machine unless --registry-address says otherwise
    Consul,
    /// DNS, to which servers announce nothing: clients look up --registry-address, by SRV records or else addresses
    Dns,
    /// None: clients name the servers with --server
    Static,
}

/// A registry and how it is reached.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Which one.
    pub kind: RegistryKind,
    /// Where it is, as people write it.
    pub addresses: Vec<String>,
    /// The file with the certificate authority that its certificates come from.
    pub authority: Option<PathBuf>,
    /// How long an announcement lasts.
    pub tenure: Tenure,
}

/// Why a registry cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A setting of its is not sound.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Nothing can be sent with such settings.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl RegistrySettings {
    /// Sets the registry up. Nothing is sent before it is used.
    ///
    /// # Errors
    ///
    /// [`SettingsError`], which says what to change.
    pub fn open(&self) -> Result<Arc<dyn Registry>, SettingsError> {
        let access = |port| Access::new(&self.addresses, port, self.authority.as_deref());
        Ok(match self.kind {
            RegistryKind::Mdns => Arc::new(Mdns::new()),
            RegistryKind::Etcd => {
                let user = User::from_env()?;
                Arc::new(Etcd::new(&access(etcd::PORT)?, user, self.tenure)?)
            }
            RegistryKind::Consul => {
                let token = Secret::from_env(consul::TOKEN)?;
                Arc::new(Consul::new(&access(consul::PORT)?, token, self.tenure)?)
            }
            RegistryKind::Dns => Arc::new(Dns::new(&self.addresses)?),
            RegistryKind::Static => fixed(Vec::new()),
        })
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
        let postgres: StoreUrl = "postgresql://ann:secret@db/depot".parse().unwrap();
        assert!(postgres.has_password());
        assert_eq!(postgres.to_string(), "postgres://ann@db/depot");
        for text in [
            "",
            "depot.db",
            "sqlite:",
            "sqlite://",
            "memory:x",
            "mysql://x",
        ] {
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
