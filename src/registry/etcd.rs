//! etcd, a key-value store that several machines keep together: servers are found through it wherever its members can
//! be reached.
//!
//! The keys and values are go-micro's (version 2 and later), so that its gRPC clients find shippy (`node.rs` has them).
//! A key lasts as long as its lease, which the server renews; it is gone within the time to live when the server is.
//!
//! The rooms, from the top: `lease`, what is said of a server; `search`, what is asked; `watch`; `cluster`, the
//! connections; `node` and `proto`. Each uses only what is below it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::{
    ANOTHER_NAME, Hints, Instance, Registry, RegistryError,
    access::{Access, Tenure, User},
    kept::Kept,
};

mod cluster;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod lease;
mod node;
mod proto;
mod search;
mod watch;

use cluster::Cluster;
use lease::Leases;
use search::Search;

/// Where etcd listens unless it is told otherwise.
pub const PORT: u16 = 2379;

const HINTS: Hints = Hints {
    start: "shippy serve --registry etcd, with the same --registry-address and an address that is reached from here: \
            --lan or --advertise HOST:PORT",
    reach: &[ANOTHER_NAME],
};

/// The registry that etcd keeps.
///
/// An unspecified address is announced as all addresses of this machine but loopback. An announcement is kept up in
/// the background whatever becomes of etcd, and `find` goes on over broken connections. Any member will do for either:
/// a member that does not answer is passed over.
pub struct Etcd {
    cluster: Arc<Cluster>,
    kept: Kept<Leases>,
}

impl Etcd {
    /// The registry that is reached by `access`, as `user` if there is one. Nothing is sent before it is used.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unusable`] when no connection can be made with such settings.
    pub fn new(access: &Access, user: Option<User>, tenure: Tenure) -> Result<Self, RegistryError> {
        let cluster = Arc::new(Cluster::new(access, user)?);
        let leases = Leases::new(Arc::clone(&cluster), tenure.ttl);
        Ok(Self {
            cluster,
            kept: Kept::new(Arc::new(leases), tenure.interval),
        })
    }
}

#[async_trait]
impl Registry for Etcd {
    async fn announce(&self, instance: &Instance) -> Result<(), RegistryError> {
        self.kept.announce(instance).await
    }

    fn stands(&self) -> Option<bool> {
        Some(self.kept.stands())
    }

    async fn withdraw(&self) -> Result<(), RegistryError> {
        self.kept.withdraw().await
    }

    fn find(&self, name: &str) -> BoxStream<'static, Result<Instance, RegistryError>> {
        Search::new(Arc::clone(&self.cluster), Some(name)).into_stream()
    }

    fn find_all(&self, _: &str) -> BoxStream<'static, Result<Instance, RegistryError>> {
        Search::new(Arc::clone(&self.cluster), None).into_stream()
    }

    async fn check(&self, name: &str) -> Result<(), RegistryError> {
        let search = Search::new(Arc::clone(&self.cluster), Some(name));
        search.check().await
    }

    fn describe(&self) -> String {
        self.cluster.describe()
    }

    fn hints(&self) -> Hints {
        HINTS
    }
}
