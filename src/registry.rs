//! Where servers announce themselves and clients find them.

use async_trait::async_trait;
use futures_util::stream::BoxStream;

pub mod access;
pub mod consul;
pub mod dns;
pub mod etcd;
pub mod fixed;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod kept;
pub mod mdns;
mod metadata;
mod outage;
mod places;
mod words;

/// One running server, as a registry knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Unique to the server process.
    pub id: String,
    /// The service's name (`--name`); clients look for exactly this.
    pub name: String,
    /// The server's version.
    pub version: String,
    /// Where it listens, as `HOST:PORT`, the best first. IPv6 addresses stand in brackets.
    pub addresses: Vec<String>,
    /// The id of the register that it serves.
    pub register: String,
    /// Whether other servers may serve the same register.
    pub kind: Kind,
    /// Whether it expects TLS.
    pub tls: bool,
    /// Whether to ask it before others.
    pub preference: Preference,
}

#[cfg(test)]
impl Instance {
    /// A server that tests announce and find. They say themselves what of it they look at.
    pub(crate) fn depot() -> Self {
        Self {
            id: "0198f2b4-7c1e-7d64-9f60-3b1d2a4c5e6f".to_owned(),
            name: "depot".to_owned(),
            version: "0.1.0".to_owned(),
            addresses: vec!["10.0.0.5:7".to_owned(), "[2001:db8::5]:7".to_owned()],
            register: "0198f2b4-0000-7000-8000-000000000001".to_owned(),
            kind: Kind::Shared,
            tls: false,
            preference: Preference::default(),
        }
    }
}

/// Which of several servers to ask first, as SRV records say it (RFC 2782).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Preference {
    /// Those with the least are asked before any others.
    pub priority: u16,
    /// Of those with one priority each is the first to be asked in proportion to this; 0 is next to never, unless all have
    /// it.
    pub weight: u16,
}

/// Whether a register has one server or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The register lives in one server: a second one with its id serves a copy.
    Single,
    /// Several servers share the register; each serves the same consignments.
    Shared,
}

impl Kind {
    /// The word for it in an announcement.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Shared => "shared",
        }
    }

    /// Reads what [`as_str`](Self::as_str) gives; `None` when it is another word.
    fn parse(word: &str) -> Option<Self> {
        let mut kinds = [Self::Single, Self::Shared].into_iter();
        kinds.find(|kind| kind.as_str() == word)
    }
}

/// Announces one server and finds others.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Makes `instance` known and returns when it can be found. Its addresses are where it listens: an unspecified
    /// host (`0.0.0.0`, `[::]`) stands for every address of this machine, each offered where it can be reached.
    /// An announcement lasts until [`withdraw`](Self::withdraw) or the end of the process.
    ///
    /// # Errors
    ///
    /// [`RegistryError`] when nobody can find it now. The server may serve on: the registry keeps what it has set up,
    /// [`withdraw`](Self::withdraw) stays safe to call, and announcing again replaces what was set up. Whether it goes
    /// on trying by itself, [`RegistryError::is_tried_again`] says.
    async fn announce(&self, instance: &Instance) -> Result<(), RegistryError>;

    /// Whether it has servers announce themselves, rather than being told of them by somebody else.
    fn takes_announcements(&self) -> bool {
        true
    }

    /// Whether what was announced last can be found now, as far as that is known here; `None` where nothing more is heard of
    /// it than what [`announce`](Self::announce) has returned.
    fn stands(&self) -> Option<bool> {
        None
    }

    /// Makes known that the announced instance is gone. Does nothing when none was announced.
    ///
    /// # Errors
    ///
    /// [`RegistryError`] when that could not be said; it then expires by itself.
    async fn withdraw(&self) -> Result<(), RegistryError>;

    /// Looks for the instances of the service `name`. Each comes as soon as it is found, again when more of its
    /// addresses become known. The stream does not end by itself: the caller decides how long to look, and dropping
    /// it ends the search.
    fn find(&self, name: &str) -> BoxStream<'static, Result<Instance, RegistryError>>;

    /// Looks for every server that there is, of whatever service, where the registry can be asked for that; else, as
    /// here, for those of the service `name`. Otherwise like [`find`](Self::find).
    fn find_all(&self, name: &str) -> BoxStream<'static, Result<Instance, RegistryError>> {
        self.find(name)
    }

    /// Whether it can be asked for the servers of the service `name` now, where there is somebody to ask. Announces and
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]: why an announcement would not be taken either. One may be refused all the same, as to
    /// whoever may only read.
    async fn check(&self, _name: &str) -> Result<(), RegistryError> {
        Ok(())
    }

    /// What is asked and where, for people: completes "no server found: asked …".
    fn describe(&self) -> String;

    /// What people can try when a server is not found.
    fn hints(&self) -> Hints;

    /// Whether its servers were named one by one: should they turn out to keep different registers, the one that was named
    /// first is meant.
    fn is_ordered(&self) -> bool {
        false
    }
}

/// Advice for those who find no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hints {
    /// How to start one that is found here: completes "start one: …".
    pub start: &'static str,
    /// What may keep one that is there from being found, a line each.
    pub reach: &'static [&'static str],
}

/// What goes for every registry that is asked for a service by its name: a line of [`Hints::reach`].
const ANOTHER_NAME: &str = "is it called something else there: --name NAME";

/// Why a registry could not be asked or told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No interface of this machine takes part in multicast.
    #[error("no network interface carries multicast DNS: {0}")]
    NoMulticast(String),
    /// It was told, but did not confirm in time.
    #[error("the announcement was not confirmed within {0:?}")]
    NotConfirmed(std::time::Duration),
    /// The registry itself failed.
    #[error("multicast DNS: {0}")]
    Mdns(String),
    /// The registry cannot be reached, or does not do its part; it may, a little later.
    #[error("could not reach {registry}: {reason}")]
    Away {
        /// What it is and where.
        registry: String,
        /// Why not.
        reason: String,
    },
    /// The registry answers that there are none; there may be some a little later.
    #[error("{registry} names no server: {reason}")]
    Empty {
        /// What it is, and what it was asked for.
        registry: String,
        /// What it answered.
        reason: String,
    },
    /// It is not known where the server to be announced is; it may be, a little later.
    #[error("{0}")]
    Nowhere(String),
    /// The registry refuses, or what we say to it is not what it wants: settings have to change, here or there.
    #[error("could not use {registry}: {reason}")]
    Refused {
        /// What it is and where.
        registry: String,
        /// What it said, and what can be done about it.
        reason: String,
    },
    /// Nothing can be sent with such settings.
    #[error("could not set up {registry}: {reason}")]
    Unusable {
        /// What it is and where.
        registry: String,
        /// Why not.
        reason: String,
    },
}

impl RegistryError {
    /// Whether it may pass by itself, so that whoever has time tries again.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Away { .. } | Self::Empty { .. } | Self::Nowhere(_)
        )
    }

    /// Whether a registry that said so of an announcement goes on trying by itself.
    #[must_use]
    pub const fn is_tried_again(&self) -> bool {
        matches!(
            self,
            Self::Away { .. } | Self::Refused { .. } | Self::Nowhere(_)
        )
    }
}
