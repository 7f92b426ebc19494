//! Browsing (RFC 6763 §4): the answers that responders multicast, heard on the multicast DNS port itself.

use std::net::IpAddr;

use mdns_sd::{Receiver, ResolvedService, ScopedIp, ServiceEvent};

use super::SERVICE_TYPE;
use super::daemon::{self, Daemon};
use super::found::Sighting;
use super::interfaces::Reach;
use super::txt::Record;
use crate::registry::RegistryError;

/// A browse under way; it ends when this is dropped.
pub(super) struct Browse {
    /// Held for its end.
    _daemon: Daemon,
    events: Receiver<ServiceEvent>,
}

impl Browse {
    /// Starts to listen, and to ask, on port `port` of the interfaces within `reach`.
    pub(super) fn start(port: u16, reach: Reach) -> Result<Self, RegistryError> {
        let daemon = Daemon::start(port, reach)?;
        let events = daemon
            .handle()
            .browse(SERVICE_TYPE)
            .map_err(daemon::failed)?;
        Ok(Self {
            _daemon: daemon,
            events,
        })
    }

    /// The next instance that is resolved, again when its records change; `None` when the browse has failed.
    ///
    /// Losing the future loses nothing.
    pub(super) async fn next(&self) -> Option<Sighting> {
        loop {
            if let ServiceEvent::ServiceResolved(service) = self.events.recv_async().await.ok()? {
                if let Some(sighting) = sighting(&service) {
                    return Some(sighting);
                }
                tracing::trace!(
                    name = service.get_fullname(),
                    "an announcement that makes no sense is ignored"
                );
            }
        }
    }
}

fn sighting(service: &ResolvedService) -> Option<Sighting> {
    let properties = service.get_properties().iter();
    let pairs: Vec<_> = properties
        .map(|property| (property.key().as_bytes(), property.val()))
        .collect();
    let places: Vec<(IpAddr, u32)> = service.get_addresses().iter().flat_map(places).collect();
    let mut heard_on: Vec<u32> = places.iter().map(|&(_, index)| index).collect();
    heard_on.sort_unstable();
    heard_on.dedup();
    Some(Sighting {
        record: Record::parse(&pairs)?,
        port: service.get_port(),
        places,
        heard_on,
    })
}

/// An address and the interfaces on which it was heard.
fn places(address: &ScopedIp) -> Vec<(IpAddr, u32)> {
    let ip = address.to_ip_addr();
    match address {
        ScopedIp::V4(v4) => v4
            .interface_ids()
            .iter()
            .map(|interface| (ip, interface.index))
            .collect(),
        ScopedIp::V6(v6) => vec![(ip, v6.scope_id().index)],
        _ => Vec::new(),
    }
}
