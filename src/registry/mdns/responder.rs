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
    ///
    /// # Errors
    ///
    /// [`RegistryError::Mdns`] when the system gives no thread, or no descriptor for its runtime.
    pub(super) async fn start(service: Service) -> Result<Self, RegistryError> {
        let thread = thread::Builder::new().name("mdns".to_owned());
        let started = Self::start_in(thread, service).await;
        started
            .map_err(|error| RegistryError::Mdns(format!("could not start the responder: {error}")))
    }

    async fn start_in(thread: thread::Builder, service: Service) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (begun, ready) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        thread.spawn(move || {
            // Made here, as it may not be dropped on a thread of another runtime.
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            match runtime.enable_all().build() {
                Ok(runtime) => runtime.block_on(respond(&service, begun, stopped)),
                Err(error) => drop(begun.send(Err(error))),
            }
            drop(end);
        })?;
        // One that ends without a word has failed, which whoever looks for the server finds out.
        ready.await.unwrap_or(Ok(()))?;
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
async fn respond(
    service: &Service,
    begun: oneshot::Sender<io::Result<()>>,
    mut stop: oneshot::Receiver<()>,
) {
    let mut speaking = HashMap::new();
    let look = |speaking: &mut Speakers| {
        // Those that speak go on when nobody can tell what there is.
        if let Ok(links) = interfaces::links(service.offer.reach) {
            follow(speaking, service, &links);
        }
    };
    look(&mut speaking);
    // Nobody waits when whoever started it was dropped.
    let _ = begun.send(Ok(()));
    loop {
        tokio::select! {
            _ = &mut stop => break,
            () = sleep(LOOK_EVERY) => look(&mut speaking),
        }
    }
    for (_, speaking) in speaking {
        speaking.end().await;
    }
}

/// A speaker at work on an interface as it was.
struct Speaking {
    link: Link,
    /// Whether the interface was gone when it was looked for last.
    is_missed: bool,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Speaking {
    /// Whether it goes on, its interface now being `link`. It says goodbye as it is dropped.
    fn goes_on(&mut self, link: Option<&Link>, service: &Service, is_ipv4: bool) -> bool {
        let Some(link) = link else {
            // One that is back by the next look has nothing taken back, and is announced on anew.
            return !std::mem::replace(&mut self.is_missed, true);
        };
        let has_changed = *link != self.link || self.is_missed;
        // Where another takes its place, what it would take back may be what is announced now, which itself takes the
        // place of what was (RFC 6762 §10.2).
        if has_changed && !told(service, link, is_ipv4).0.is_empty() {
            self.task.abort();
        }
        !has_changed && !self.task.is_finished()
    }

    async fn end(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::debug!(%error, "a speaker has failed");
        }
    }
}

/// Speakers by the index of their interface and whether it is over IPv4.
type Speakers = HashMap<(u32, bool), Speaking>;

/// Has somebody speak for `service` on each of `links` that it is to be announced on, and nobody on others.
fn follow(speaking: &mut Speakers, service: &Service, links: &[Link]) {
    speaking.retain(|(index, is_ipv4), known| {
        let link = links.iter().find(|link| link.index == *index);
        known.goes_on(link, service, *is_ipv4)
    });
    for link in links {
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

/// The addresses of `service` on `link` of this version of IP, and of the other.
fn told(service: &Service, link: &Link, is_ipv4: bool) -> (Vec<IpAddr>, Vec<IpAddr>) {
    (service.offer.addresses_on(link).into_iter()).partition(|address| address.is_ipv4() == is_ipv4)
}

/// Has somebody speak for `service` on `link`; `None` when it has no address there.
fn speak(service: &Service, link: &Link, is_ipv4: bool) -> io::Result<Option<Speaking>> {
    let (told, other) = told(service, link, is_ipv4);
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
        is_missed: false,
        stop,
        task: tokio::spawn(speaker.run(stopped)),
    }))
}

#[cfg(test)]
mod tests {
    use super::{super::interfaces::Reach, *};
    use crate::registry::Instance;

    /// A server at 127.0.0.1, on a UDP port of multicast DNS that is for these tests alone.
    async fn service() -> Service {
        let addresses = ["127.0.0.1:50051".to_owned()];
        Service {
            label: "shippy-1".to_owned(),
            record: Record::new(&Instance::depot(), &[]).unwrap(),
            offer: Offer::new(&addresses, &[]).await.unwrap(),
            port: 25_358,
        }
    }

    #[tokio::test]
    async fn who_speaks_goes_on_until_two_looks_have_missed_the_interface() {
        let service = service().await;
        let links = interfaces::links(Reach::Loopback).unwrap();
        let mut speaking = Speakers::new();
        for (seen, count) in [(&links[..], 1), (&[], 1), (&links, 1), (&[], 1), (&[], 0)] {
            follow(&mut speaking, &service, seen);
            assert_eq!(speaking.len(), count);
        }
    }

    #[tokio::test]
    async fn a_thread_that_cannot_be_had_is_an_error() {
        // No address space has room for such a stack.
        let thread = thread::Builder::new().stack_size(1 << 47);
        assert!(Responder::start_in(thread, service().await).await.is_err());
    }
}
