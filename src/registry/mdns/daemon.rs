//! The responder and browser of the crate `mdns-sd`, which runs in a thread of its own.

use std::time::Duration;

use mdns_sd::{IfKind, IfPredicate, ServiceDaemon};

use super::interfaces::Reach;
use crate::registry::RegistryError;

/// How long the thread may take over what it was told to do; it takes less than a millisecond when it is not stuck.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

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
