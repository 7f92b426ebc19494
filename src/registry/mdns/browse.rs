//! Browsing (RFC 6763 §4): the answers that responders multicast, heard on the multicast DNS port itself.

use std::{collections::HashMap, net::IpAddr};

use futures_util::future::BoxFuture;
use mdns_sd::{HostnameResolutionEvent, Receiver, ResolvedService, ScopedIp, ServiceEvent};

use super::{
    SERVICE_TYPE,
    daemon::{self, Daemon},
    found::Sighting,
    interfaces::Reach,
    txt::Record,
};
use crate::registry::RegistryError;

/// Most hosts whose addresses are asked for: far more than a network has, and what a flood of lies may cost.
const HOSTS_MAX: usize = 32;

/// A browse under way; it ends when this is dropped.
pub(super) struct Browse {
    daemon: Daemon,
    events: Receiver<ServiceEvent>,
    flooded: BoxFuture<'static, ()>,
    /// The hosts whose addresses were asked for; the questions end when the receiver is dropped.
    hosts: HashMap<String, Receiver<HostnameResolutionEvent>>,
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
            flooded: daemon.flooded(),
            daemon,
            events,
            hosts: HashMap::new(),
        })
    }

    /// The next instance that is resolved, again when its records change; `None` when the browse has failed, or
    /// remembers too much.
    ///
    /// Losing the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Sighting> {
        loop {
            let event = tokio::select! {
                event = self.events.recv_async() => event.ok()?,
                () = &mut self.flooded => return None,
            };
            if let ServiceEvent::ServiceResolved(service) = event {
                if !service.get_addresses().iter().any(is_global) {
                    self.ask_for_addresses(service.get_hostname());
                }
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

    /// Asks for the addresses of `host`, which come as another resolved instance.
    ///
    /// Of a server that answers over IPv4 and IPv6, one answer may be lost. The browse does not make up for it: what it
    /// knows from the other it names when it asks again, and a responder keeps silent about what is known (RFC 6762
    /// §7.1).
    fn ask_for_addresses(&mut self, host: &str) {
        if self.hosts.len() >= HOSTS_MAX || self.hosts.contains_key(host) {
            return;
        }
        match self.daemon.handle().resolve_hostname(host, None) {
            Ok(answers) => {
                self.hosts.insert(host.to_owned(), answers);
            }
            Err(error) => tracing::debug!(host, %error, "could not ask for addresses"),
        }
    }
}

/// Whether the address goes without a scope; one that needs it cannot be connected to by URI.
fn is_global(address: &ScopedIp) -> bool {
    match address.to_ip_addr() {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
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
