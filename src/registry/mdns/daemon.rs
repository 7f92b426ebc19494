//! The responder and browser of the crate `mdns-sd`, which runs in a thread of its own.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use mdns_sd::{IfKind, IfPredicate, Metrics, ServiceDaemon};
use tokio::time::{sleep, timeout};

use super::interfaces::Reach;
use crate::registry::RegistryError;

/// How long the thread may take over what it was told to do; it takes less than a millisecond when it is not stuck.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// How often to see how much a daemon remembers: what a flood brings in that time is the most that it may cost.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Most records and times to look at them that a daemon may remember. It keeps for as long as they say whatever comes
/// without a PTR record, asked for or not (`is_for_us` in its `handle_response`), and has no limit. Three records and eight
/// times make an instance, so this is a network with more than a thousand.
const REMEMBERED_MAX: i64 = 16_384;

/// A running daemon, which is told to end when this is dropped.
pub(super) struct Daemon(ServiceDaemon);

impl Daemon {
    /// Starts the thread, on UDP port `port` and the interfaces within `reach`, those that come up later included.
    ///
    /// It discards what arrives on any other interface, by the interface that the kernel names with each datagram. That
    /// matters on Linux, where a socket is handed the group's datagrams also from an interface on which only another
    /// process has joined it (`IP_MULTICAST_ALL`), and what is sent to the machine's address on this port.
    pub(super) fn start(port: u16, reach: Reach) -> Result<Self, RegistryError> {
        let daemon = ServiceDaemon::new_with_port(port).map_err(failed)?;
        if reach != Reach::Everywhere {
            let beyond = IfPredicate::new(move |interface| !reach.admits(interface));
            daemon
                .disable_interface(IfKind::Predicate(beyond))
                .map_err(failed)?;
        }
        Ok(Self(daemon))
    }

    /// What to tell it.
    pub(super) fn handle(&self) -> &ServiceDaemon {
        &self.0
    }

    /// Ends when it remembers more than there is on any network, so that another is to take its place. Seeing that waits for
    /// as long as the thread has other things to do.
    pub(super) fn flooded(&self) -> BoxFuture<'static, ()> {
        let handle = self.0.clone();
        let flooded = async move {
            loop {
                sleep(LOOK_EVERY).await;
                let Ok(asked) = handle.get_metrics() else {
                    continue;
                };
                if asked
                    .recv_async()
                    .await
                    .is_ok_and(|metrics| remembered(&metrics) > REMEMBERED_MAX)
                {
                    return;
                }
            }
        };
        flooded.boxed()
    }

    /// Tells it to end, and waits until it has said goodbye for what it announced and is gone.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Mdns`] when that takes too long; it ends as soon as it comes to it.
    pub(super) async fn end(self) -> Result<(), RegistryError> {
        let late =
            |_| RegistryError::Mdns(format!("the responder did not end within {PATIENCE:?}"));
        let ended = self.0.shutdown().map_err(failed)?;
        // It answers or is gone: it has ended either way.
        timeout(PATIENCE, ended.recv_async())
            .await
            .map_err(late)
            .map(drop)
    }
}

fn remembered(metrics: &Metrics) -> i64 {
    let kept = |name: &str| name.starts_with("cached-") || name == "timer";
    let counts = metrics.iter().filter(|(name, _)| kept(name));
    counts.map(|(_, count)| count).sum()
}

impl Drop for Daemon {
    /// Tells the thread to end and does not wait: it says goodbye for what is still announced, if the process lasts.
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::trace!(%error, "the multicast DNS thread has ended before");
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
pub(super) fn failed(error: mdns_sd::Error) -> RegistryError {
    RegistryError::Mdns(error.to_string())
}
