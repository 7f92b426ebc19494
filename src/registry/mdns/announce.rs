//! Announcing (RFC 6762 §8.3) and saying goodbye (§10.1).

use std::{sync::Arc, time::Duration};

use mdns_sd::{DaemonEvent, IfKind, IfPredicate, Receiver, ServiceInfo};
use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    SERVICE_TYPE,
    daemon::{self, Daemon, PATIENCE},
    interfaces::Reach,
    offer::Offer,
    search::Search,
    txt::Record,
};
use crate::registry::RegistryError;

/// How long an announcement may take until it can be found; without probing it takes a few milliseconds.
const CONFIRM_DEADLINE: Duration = Duration::from_secs(2);

/// How long to wait before a responder that could not be started again is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A server's announcement. Dropping it says goodbye without waiting; [`withdraw`](Self::withdraw) is the proper way.
pub(super) struct Announcement {
    responder: Arc<Mutex<Responder>>,
    renewing: JoinHandle<()>,
}

impl Announcement {
    /// Announces `record` with what `offer` has, on port `port`; the events tell how that goes on.
    pub(super) fn start(
        offer: &Offer,
        record: &Record,
        port: u16,
    ) -> Result<(Self, Receiver<DaemonEvent>), RegistryError> {
        let service = service(offer, record)?;
        let (daemon, events) = respond(&service, port, offer.reach)?;
        let responder = Arc::new(Mutex::new(Responder {
            service,
            port,
            reach: offer.reach,
            daemon: Some(daemon),
        }));
        let renewing = tokio::spawn(renew(Arc::clone(&responder)));
        let announcement = Self {
            responder,
            renewing,
        };
        Ok((announcement, events))
    }

    /// Says goodbye and returns when it has been sent.
    pub(super) async fn withdraw(mut self) -> Result<(), RegistryError> {
        self.renewing.abort();
        // It lets the responder go.
        let _ = (&mut self.renewing).await;
        let mut responder = self.responder.lock().await;
        let Some(daemon) = responder.daemon.take() else {
            return Ok(());
        };
        let late = |_| RegistryError::Mdns(format!("the goodbye was not sent within {PATIENCE:?}"));
        let name = responder.service.get_fullname();
        let goodbye = daemon.handle().unregister(name).map_err(daemon::failed)?;
        let said = timeout(PATIENCE, goodbye.recv_async())
            .await
            .map_err(late)?;
        tracing::debug!(?said, name, "withdrawn");
        daemon.end().await
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

/// What answers for a server.
struct Responder {
    service: ServiceInfo,
    port: u16,
    reach: Reach,
    /// `None` when it could not be started again.
    daemon: Option<Daemon>,
}

/// Puts another daemon in the place of one that remembers too much, again and again. Without an end.
async fn renew(responder: Arc<Mutex<Responder>>) {
    let mut is_said = false;
    loop {
        let flooded = (responder.lock().await.daemon.as_ref()).map(Daemon::flooded);
        match flooded {
            Some(flooded) => flooded.await,
            None => sleep(AGAIN_AFTER).await,
        }
        if !is_said {
            tracing::warn!(
                "more is said by multicast DNS than any network has to say: what was heard is forgotten, again and again"
            );
            is_said = true;
        }
        let mut responder = responder.lock().await;
        // Its goodbye has to come before the announcement that follows.
        if let Some(daemon) = responder.daemon.take()
            && let Err(error) = daemon.end().await
        {
            tracing::debug!(%error, "a responder is replaced that has not ended");
        }
        match respond(&responder.service, responder.port, responder.reach) {
            Ok((daemon, _)) => responder.daemon = Some(daemon),
            Err(error) => tracing::debug!(%error, "could not announce again"),
        }
    }
}

/// Starts to announce `service` and to answer for it; the events tell how that goes on.
fn respond(
    service: &ServiceInfo,
    port: u16,
    reach: Reach,
) -> Result<(Daemon, Receiver<DaemonEvent>), RegistryError> {
    let daemon = Daemon::start(port, reach)?;
    // Before the registration, whose event is lost otherwise.
    let events = daemon.handle().monitor().map_err(daemon::failed)?;
    let register = daemon.handle().register(service.clone());
    register.map_err(daemon::failed)?;
    Ok((daemon, events))
}

/// Waits until `search` finds the instance `id`, which is what an announcement is for.
///
/// The responder's own word would not do: it reports an announcement although sending it failed.
///
/// # Errors
///
/// [`RegistryError::NoMulticast`] at once when no interface takes a question, [`RegistryError::NotConfirmed`] after
/// the deadline, [`RegistryError::Mdns`] when the responder refuses.
pub(super) async fn confirm(
    id: &str,
    events: Receiver<DaemonEvent>,
    mut search: Search,
) -> Result<(), RegistryError> {
    let confirmed = async {
        loop {
            tokio::select! {
                found = search.next() => if found?.id == id { return Ok(()) },
                event = events.recv_async() => match event {
                    // The question asked before this came too early.
                    Ok(DaemonEvent::Announce(..)) => search.hasten(),
                    Ok(DaemonEvent::Error(error)) => return Err(daemon::failed(error)),
                    Ok(_) => {}
                    Err(_) => return Err(RegistryError::Mdns("the responder ended".to_owned())),
                },
            }
        }
    };
    timeout(CONFIRM_DEADLINE, confirmed)
        .await
        .unwrap_or(Err(RegistryError::NotConfirmed(CONFIRM_DEADLINE)))
}

/// The records of the announcement.
fn service(offer: &Offer, record: &Record) -> Result<ServiceInfo, RegistryError> {
    let label = label(&record.id);
    let host = format!("{label}.local.");
    let (fixed, pairs) = (offer.fixed(), record.pairs());
    let service = ServiceInfo::new(
        SERVICE_TYPE,
        &label,
        &host,
        fixed.as_slice(),
        offer.port,
        pairs.as_slice(),
    );
    let mut service = service.map_err(daemon::failed)?.enable_addr_auto();
    let offer = offer.clone();
    let covered = IfPredicate::new(move |interface| offer.covers(interface.ip()));
    service.set_interfaces(vec![IfKind::Predicate(covered)]);
    // Probing takes 0.75 s and finds out whether a name is taken (RFC 6762 §8.1): this one is nobody else's.
    service.set_requires_probe(false);
    Ok(service)
}

/// The instance and host name of the server `id`. The host name is a server's own, because a goodbye withdraws the
/// addresses of the host as well, and servers that shared one would take each other off the network.
fn label(id: &str) -> String {
    // FNV-1a: the same short name for any form of id, of characters that a host name may have.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("shippy-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_a_name_of_its_own_that_dns_can_carry() {
        let names = ["a", "b", "depot 1 / north", &"x".repeat(64)].map(label);
        for (index, name) in names.iter().enumerate() {
            assert!(
                name.len() <= 63
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            );
            assert_eq!(names.iter().position(|other| other == name), Some(index));
        }
        assert_eq!(
            label("a"),
            "shippy-af63dc4c8601ec8c",
            "FNV-1a of \"a\", as published"
        );
    }
}
