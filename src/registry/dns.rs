//! DNS: the platform, or somebody's hand, names the servers in it; clients look them up.
//!
//! Asked are SRV records (RFC 2782) and else addresses. Which servers keep which register is not in there: clients ask
//! the servers themselves.
//!
//! The rooms, from the top: `search`, what is asked again and again; `lookup`, the records of one name; `resolver`, who
//! is asked; `target`, how names are written. Each uses only what is below it.

use async_trait::async_trait;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};

use super::{Hints, Instance, Registry, RegistryError, access::AccessError};

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod lookup;
mod resolver;
mod search;
mod target;

use search::Search;
use target::Target;

/// Where a server listens whose address alone is in DNS: where the image's does, and the Go services' run command says.
pub const PORT: u16 = 50_051;

/// What stands before a name when its SRV records are asked for: the service type is the one of multicast DNS.
const SERVICE: &str = "_shippy._tcp";

const HINTS: Hints = Hints {
    start: "shippy serve --lan, where DNS names it by an SRV record _shippy._tcp.NAME or by its address; Kubernetes \
            does so for a headless Service with a port called shippy, once the server is ready",
    reach: &[
        "is it called something else in DNS: --registry-address NAME",
        "does another DNS server know it: --registry-address dns://SERVER/NAME",
    ],
};

/// The registry that DNS is.
///
/// It announces nothing: whoever keeps the zone does, as Kubernetes does for those that are ready. `find` ignores the
/// service's name, since what is looked up are the DNS names that it was given.
#[derive(Debug, Clone)]
pub struct Dns {
    targets: Vec<Target>,
}

impl Dns {
    /// Looks up `addresses`, each `NAME`, `NAME:PORT` or one of these after `dns:` or `dns://SERVER/` (gRPC's name
    /// syntax). Empty ones do not count. Nothing is sent before it is used.
    ///
    /// # Errors
    ///
    /// [`AccessError::Address`].
    pub fn new(addresses: &[String]) -> Result<Self, AccessError> {
        let written = addresses.iter().map(|text| text.trim());
        let targets = written
            .filter(|text| !text.is_empty())
            .map(Target::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self { targets })
    }
}

#[async_trait]
impl Registry for Dns {
    fn takes_announcements(&self) -> bool {
        false
    }

    async fn announce(&self, _: &Instance) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn withdraw(&self) -> Result<(), RegistryError> {
        Ok(())
    }

    /// What can be known only by asking the server is left empty; every kind is taken for shared, as two names may well
    /// be of one server. Within a search an answer is good for its time to live; each search asks anew, as whoever
    /// searches again has found nobody there.
    fn find(&self, name: &str) -> BoxStream<'static, Result<Instance, RegistryError>> {
        let search = Search::new(self.targets.clone(), name);
        stream::unfold(search, |mut search| async move {
            Some((search.next().await, search))
        })
        .boxed()
    }

    fn describe(&self) -> String {
        let targets: Vec<_> = self.targets.iter().map(ToString::to_string).collect();
        format!("DNS for {}", targets.join(", "))
    }

    fn hints(&self) -> Hints {
        HINTS
    }
}
