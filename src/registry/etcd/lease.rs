//! Keeps a server in etcd: a key with a lease.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream;
use tonic::{Code, Status};

use super::{
    cluster::{Cluster, Failure},
    node,
    proto::{
        DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest,
        PutRequest, RangeRequest, event::EventType,
    },
    watch::{Change, Watch},
};
use crate::registry::{Instance, RegistryError, kept::Ledger};

/// Registers servers, each under a lease of its own.
pub(super) struct Leases {
    cluster: Arc<Cluster>,
    ttl: Duration,
}

/// A lease's id, and what is said of the server under it.
pub(super) struct Lease {
    id: i64,
    value: Vec<u8>,
}

impl Leases {
    /// Leases in `cluster` that end `ttl` after they were renewed last.
    pub(super) fn new(cluster: Arc<Cluster>, ttl: Duration) -> Self {
        Self { cluster, ttl }
    }

    /// A new one, under which `value` will be said.
    async fn grant(&self, value: Vec<u8>) -> Result<Lease, Failure> {
        // etcd counts whole seconds, and raises what is too short for its elections.
        let seconds = self.ttl.as_secs() + u64::from(self.ttl.subsec_nanos() > 0);
        let request = LeaseGrantRequest {
            ttl: i64::try_from(seconds).unwrap_or(i64::MAX),
            id: 0,
        };
        let granted = self
            .cluster
            .call(|session| async move { session.lease().lease_grant(request).await });
        let granted = granted.await?.into_inner();
        tracing::debug!(id = granted.id, ttl = granted.ttl, "lease granted");
        let id = granted.id;
        Ok(Lease { id, value })
    }

    async fn put(&self, instance: &Instance, lease: &Lease) -> Result<(), Failure> {
        let request = PutRequest {
            key: node::key(instance),
            value: lease.value.clone(),
            lease: lease.id,
        };
        let put = self.cluster.call(|session| {
            let request = request.clone();
            async move { session.kv().put(request).await }
        });
        put.await.map(drop)
    }

    /// Whether the lease lives on.
    async fn keep_alive(&self, lease: &Lease) -> Result<bool, Failure> {
        let request = LeaseKeepAliveRequest { id: lease.id };
        let answer = self.cluster.call(|session| async move {
            let requests = stream::iter([request]);
            let answers = session.lease().lease_keep_alive(requests).await?;
            let answer = answers.into_inner().message().await?;
            answer.ok_or_else(|| Status::unavailable("it ended without an answer"))
        });
        Ok(answer.await?.ttl > 0)
    }

    /// Whether the key is there under this lease: whoever may write there may have taken it away.
    async fn is_there(&self, instance: &Instance, lease: &Lease) -> Result<bool, Failure> {
        let request = RangeRequest {
            key: node::key(instance),
            ..RangeRequest::default()
        };
        let found = self.cluster.call(|session| {
            let request = request.clone();
            async move { session.kv().range(request).await }
        });
        let found = found.await?.into_inner();
        Ok(found.kvs.iter().any(|pair| pair.lease == lease.id))
    }

    async fn renewed(&self, instance: &Instance, lease: &Lease) -> Result<bool, Failure> {
        if !self.keep_alive(lease).await? {
            return Ok(false);
        }
        if self.is_there(instance, lease).await? {
            return Ok(true);
        }
        match self.put(instance, lease).await {
            Ok(()) => Ok(true),
            Err(Failure::Answered(status)) if status.code() == Code::NotFound => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    async fn removed(&self, instance: &Instance, lease: Option<&Lease>) -> Result<(), Failure> {
        let request = DeleteRangeRequest {
            key: node::key(instance),
        };
        let deleted = self.cluster.call(|session| {
            let request = request.clone();
            async move { session.kv().delete_range(request).await }
        });
        deleted.await?;
        let Some(lease) = lease else {
            return Ok(());
        };
        let request = LeaseRevokeRequest { id: lease.id };
        let revoked = self
            .cluster
            .call(|session| async move { session.lease().lease_revoke(request).await });
        // Nothing hangs on it any more, and it ends by itself.
        if let Err(failure) = revoked.await {
            tracing::debug!(?failure, "could not revoke the lease");
        }
        Ok(())
    }
}

#[async_trait]
impl Ledger for Leases {
    type Entry = Lease;

    async fn register(&self, instance: &Instance) -> Result<Lease, RegistryError> {
        let value = node::encode(instance)?;
        let registered = async {
            let lease = self.grant(value).await?;
            self.put(instance, &lease).await?;
            Ok(lease)
        };
        registered
            .await
            .map_err(|failure| self.cluster.error(failure))
    }

    async fn renew(&self, instance: &Instance, lease: &Lease) -> Result<bool, RegistryError> {
        let renewed = self.renewed(instance, lease).await;
        renewed.map_err(|failure| self.cluster.error(failure))
    }

    async fn remove(
        &self,
        instance: &Instance,
        lease: Option<&Lease>,
    ) -> Result<(), RegistryError> {
        let removed = self.removed(instance, lease).await;
        removed.map_err(|failure| self.cluster.error(failure))
    }

    /// Watches the server's own key: it goes when the lease does, and the watch when the member does.
    async fn disturbed(&self, instance: &Instance, _: &Lease) {
        let Ok(mut watch) = Watch::start(&self.cluster, &node::key(instance), &[]).await else {
            return std::future::pending().await;
        };
        loop {
            match watch.next().await {
                Change::Events(events)
                    if events.iter().all(|event| event.r#type() == EventType::Put) => {}
                Change::Events(_) => return,
                Change::Ended(reason) => {
                    tracing::debug!(reason, "the watch on the server's own key has ended");
                    return;
                }
            }
        }
    }

    fn describe(&self) -> String {
        self.cluster.describe()
    }
}
