//! Announces a server on every interface that there is, in a thread of its own: neither a flood nor the server's own work
//! holds the other up, and it outlives the runtime that it was started from.
//!
//! It is ours because none that there is forgets what it hears: mdns-sd and others are a responder and a browser in one,
//! which caches what is said whether it is asked for or not, without a limit.

use std::{collections::HashMap, io, net::IpAddr, thread, time::Duration};

use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    group::{MEMBERS_MAX, Member},
    interfaces::{self, Link},
    offer::Offer,
    records::Records,
    speaker::Speaker,
    txt::Record,
};
use crate::registry::RegistryError;

/// How often to look for interfaces that have come, gone or changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long the thread may take over its goodbye; it takes a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(500);

/// A server, as it is announced.
#[derive(Debug)]
pub(super) struct Service {
    /// The name of the instance and of its host.
    pub(super) label: String,
    pub(super) record: Record,
    pub(super) offer: Offer,
    /// The UDP port of multicast DNS.
    pub(super) port: u16,
}

/// The thread that announces a server. Dropping it has it say goodbye without waiting; [`end`](Self::end) is the proper
/// way.
#[derive(Debug)]
pub(super) struct Responder {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Responder {
    /// Starts the thread, and returns when it has announced `service` on the interfaces that there are.
    pub(super) async fn start(service: Service) -> Result<Self, RegistryError> {
        let failed = |error: io::Error| {
            RegistryError::Mdns(format!("could not start the responder: {error}"))
        };
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let (begun, ready) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let respond = move || {
            runtime.block_on(respond(&service, begun, stopped));
            drop(end);
        };
        let thread = thread::Builder::new().name("mdns".to_owned());
        thread.spawn(respond).map_err(failed)?;
        // It is gone if that fails, which whoever looks for the server finds out.
        let _ = ready.await;
        Ok(Self { stop, ended })
    }

    /// Says goodbye, and returns when that is done.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Mdns`] when it takes too long; it is said as soon as the thread comes to it.
    pub(super) async fn end(self) -> Result<(), RegistryError> {
        let Self { stop, ended } = self;
        drop(stop);
        let late = |_| RegistryError::Mdns(format!("the goodbye was not sent within {PATIENCE:?}"));
        timeout(PATIENCE, ended).await.map_err(late).map(drop)
    }
}

/// Announces `service` until `stop` is dropped.
async fn respond(service: &Service, begun: oneshot::Sender<()>, mut stop: oneshot::Receiver<()>) {
    let mut speaking = HashMap::new();
    follow(&mut speaking, service);
    // Nobody waits when whoever started it was dropped.
    let _ = begun.send(());
    loop {
        tokio::select! {
            _ = &mut stop => break,
            () = sleep(LOOK_EVERY) => follow(&mut speaking, service),
        }
    }
    for (_, speaking) in speaking {
        speaking.end().await;
    }
}

/// A speaker at work on an interface as it was.
struct Speaking {
    link: Link,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Speaking {
    async fn end(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::debug!(%error, "a speaker has failed");
        }
    }
}

/// Speakers by the index of their interface and whether it is over IPv4.
type Speakers = HashMap<(u32, bool), Speaking>;

/// Has somebody speak for `service` on each interface that it is to be announced on, and nobody on others.
fn follow(speaking: &mut Speakers, service: &Service) {
    let links = interfaces::links(service.offer.reach);
    // One whose interface has changed is replaced: what it would take back may be what is announced now, which itself
    // takes the place of what was (RFC 6762 §10.2). One whose interface is gone says goodbye as it is dropped.
    speaking.retain(|(index, _), known| {
        let link = links.iter().find(|link| link.index == *index);
        let has_changed = link.is_some_and(|link| *link != known.link);
        if has_changed {
            known.task.abort();
        }
        link.is_some() && !has_changed && !known.task.is_finished()
    });
    for link in &links {
        for is_ipv4 in [true, false] {
            if speaking.len() >= MEMBERS_MAX || speaking.contains_key(&(link.index, is_ipv4)) {
                continue;
            }
            match speak(service, link, is_ipv4) {
                Ok(Some(one)) => drop(speaking.insert((link.index, is_ipv4), one)),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(link = link.name, is_ipv4, %error, "could not announce the server");
                }
            }
        }
    }
}

/// Has somebody speak for `service` on `link`; `None` when it has no address there.
fn speak(service: &Service, link: &Link, is_ipv4: bool) -> io::Result<Option<Speaking>> {
    let (told, other): (Vec<IpAddr>, Vec<IpAddr>) = (service.offer.addresses_on(link).into_iter())
        .partition(|address| address.is_ipv4() == is_ipv4);
    if told.is_empty() {
        return Ok(None);
    }
    let port = service.offer.port;
    let records = Records::new(&service.label, &service.record, port, &told, &other);
    let records = records.map_err(io::Error::other)?;
    let member = Member::join(link, is_ipv4, service.port)?;
    let (stop, stopped) = oneshot::channel();
    let speaker = Speaker::start(member, service.port, records);
    Ok(Some(Speaking {
        link: link.clone(),
        stop,
        task: tokio::spawn(speaker.run(stopped)),
    }))
}
