//! Multicast DNS and DNS-based service discovery (RFC 6762, RFC 6763): servers are found on the local network with
//! nothing to configure.
//!
//! A server announces an instance of [`SERVICE_TYPE`], its TXT record in clear (`txt.rs` has the keys), so that
//! `avahi-browse -rt _shippy._tcp` and `dns-sd -B _shippy._tcp` show it. A client asks in two ways at once: a one-shot
//! query that is answered by unicast within milliseconds, and an ordinary browse for where a firewall drops that.
//!
//! The rooms, from the top: `diagnosis`; `announce`, which confirms that a server is found; `responder`, `speaker` and
//! `schedule`, who answer for it; `search`; `query` and `browse`, the two ways to ask; `records` and `message`, what is
//! said and read; `offer` and `found`; `group`, the sockets; `addresses`, `interfaces` and `txt`. Each uses only what is
//! below it.
//!
//! Nothing that is heard is kept but what a search has found, which is bounded: no flood makes a server or a client grow.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::{sync::Mutex, time::timeout};

use crate::registry::{ANOTHER_NAME, Hints, Instance, Registry, RegistryError};

mod addresses;
mod announce;
mod browse;
pub mod diagnosis;
mod found;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod group;
mod interfaces;
mod message;
mod offer;
mod query;
mod records;
mod responder;
mod schedule;
mod search;
mod speaker;
mod txt;

/// Most sockets that a server is announced by.
pub(crate) use group::MEMBERS_MAX as SOCKETS_MAX;
use interfaces::Reach;
use offer::Offer;
use responder::Responder;
use search::Search;
use txt::Record;

/// The service type (RFC 6763 §7) under which servers are announced.
pub const SERVICE_TYPE: &str = "_shippy._tcp.local.";

/// The UDP port of multicast DNS (RFC 6762 §3).
pub const PORT: u16 = 5353;

/// How long to wait for a question to go out.
const CHECK_DEADLINE: Duration = Duration::from_millis(500);

const HINTS: Hints = Hints {
    start: "shippy serve (it stays on its own machine; shippy serve --lan opens it to the network)",
    reach: &[
        "in a container: use the server's Docker network, or --network host",
        "on another machine: let UDP port 5353, multicast DNS, through both firewalls",
        ANOTHER_NAME,
    ],
};

/// The registry that needs no server: the local network itself.
///
/// An announcement covers what its addresses say: loopback addresses are announced on loopback alone, an unspecified
/// one on every interface with that interface's own addresses, others as they are. [`find`](Registry::find) asks on
/// every interface, bridges and loopback included; when none takes a question, it yields
/// [`RegistryError::NoMulticast`] once, asks on and yields what it finds when an interface comes up.
pub struct Mdns {
    port: u16,
    reach: Reach,
    announced: Mutex<Option<Responder>>,
}

impl Mdns {
    /// The registry of the network that this machine is on.
    #[must_use]
    pub fn new() -> Self {
        Self::with_port(PORT)
    }

    /// The same on the UDP port `port`, where it meets only its like: for tests.
    #[must_use]
    pub fn with_port(port: u16) -> Self {
        Self {
            port,
            reach: Reach::Everywhere,
            announced: Mutex::new(None),
        }
    }

    /// The same on the UDP port `port` of the loopback interface alone: for tests, which bother no network so.
    #[must_use]
    pub fn on_loopback(port: u16) -> Self {
        Self {
            reach: Reach::Loopback,
            ..Self::with_port(port)
        }
    }
}

impl Default for Mdns {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Registry for Mdns {
    /// Announces `instance` in place of what was announced before, and returns when this machine itself can find it.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NoMulticast`] at once when no interface takes part, [`RegistryError::NotConfirmed`] when it was
    /// not found within 2 s. In both cases it stays set up, and is announced when an interface comes up.
    /// [`RegistryError::Mdns`] when it cannot be announced as it is; then nothing is set up.
    async fn announce(&self, instance: &Instance) -> Result<(), RegistryError> {
        let links = interfaces::links(self.reach).map_err(|error| {
            RegistryError::Mdns(format!("could not list the network interfaces: {error}"))
        })?;
        let mut offer = Offer::new(&instance.addresses, &links).await?;
        if self.reach == Reach::Loopback {
            offer.reach = Reach::Loopback;
        }
        let unfit = |error: txt::Unfit| RegistryError::Mdns(error.to_string());
        let record = Record::new(instance, &offer.spelled_out).map_err(unfit)?;
        if let Err(error) = self.withdraw().await {
            tracing::debug!(%error, "could not withdraw the earlier announcement");
        }
        let search = Search::new(&record.service, self.port, offer.reach).by_query_alone();
        let id = record.id.clone();
        let responder = announce::announce(offer, record, self.port).await?;
        // Not held while it is confirmed: a server that is told to stop meanwhile withdraws at once.
        *self.announced.lock().await = Some(responder);
        announce::confirm(&id, search).await
    }

    async fn withdraw(&self) -> Result<(), RegistryError> {
        let announced = self.announced.lock().await.take();
        match announced {
            Some(responder) => responder.end().await,
            None => Ok(()),
        }
    }

    fn find(&self, name: &str) -> BoxStream<'static, Result<Instance, RegistryError>> {
        let (name, port, reach) = (name.to_owned(), self.port, self.reach);
        // The search starts when the stream is first polled: its clock does, and a runtime is there by then.
        stream::once(async move { Search::new(&name, port, reach).into_stream() })
            .flatten()
            .boxed()
    }

    fn find_all(&self, _: &str) -> BoxStream<'static, Result<Instance, RegistryError>> {
        let (port, reach) = (self.port, self.reach);
        stream::once(async move { Search::for_all(port, reach).into_stream() })
            .flatten()
            .boxed()
    }

    /// # Errors
    ///
    /// [`RegistryError::NoMulticast`] when no interface takes a question.
    async fn check(&self, name: &str) -> Result<(), RegistryError> {
        let mut search = self.find(name);
        match timeout(CHECK_DEADLINE, search.next()).await {
            Ok(Some(Err(error))) => Err(error),
            // Whether anybody answers is not what was asked.
            _ => Ok(()),
        }
    }

    fn describe(&self) -> String {
        let links = interfaces::links(self.reach).unwrap_or_default();
        let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
        let port = match self.port {
            PORT => String::new(),
            port => format!(" port {port}"),
        };
        match names.as_slice() {
            [] => format!("mDNS ({SERVICE_TYPE}){port} on no network interface: none is up"),
            names => format!("mDNS ({SERVICE_TYPE}){port} on {}", names.join(", ")),
        }
    }

    fn hints(&self) -> Hints {
        HINTS
    }
}
