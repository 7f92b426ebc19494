//! How a server is that has nothing else to do, and how long after an attack it is so again.

use std::{
    fmt,
    time::{Duration, Instant},
};

use shippy::proto::{Consignment, shipping_service_client::ShippingServiceClient};
use tokio::runtime::Runtime;
use tonic::transport::Channel;

use super::{MEMORY_KIB, way::Way};
use crate::support::{SOON, Server};

/// How many creates say how long one takes.
const CREATES: usize = 500;
/// What memory may be more than it was, as the allocator gives back what it likes: an eighth of what the server may take.
const KEPT_KIB: u64 = MEMORY_KIB / 8;

/// One who creates now and then, and looks at the server.
pub(super) struct Watch<'s> {
    server: &'s Server,
    way: &'s Way,
    runtime: Runtime,
    client: ShippingServiceClient<Channel>,
}

/// How the server is in peace.
#[derive(Debug)]
pub(super) struct Calm {
    /// How long 99 of 100 creates take at most.
    p99: Duration,
    memory_kib: u64,
    gauges: [u64; 2],
}

/// How long after an attack what is so again.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// The first create that took no longer than twice the usual.
    creates: Option<Duration>,
    memory: Option<Duration>,
    /// Open connections and requests under way.
    gauges: Option<Duration>,
    memory_kib: u64,
}

impl<'s> Watch<'s> {
    pub(super) fn new(server: &'s Server, way: &'s Way) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let channel = {
            let _within = runtime.enter();
            way.endpoint(server).connect_lazy()
        };
        Self {
            server,
            way,
            runtime,
            client: ShippingServiceClient::new(channel),
        }
    }

    /// How the server is, where nothing else is asked of it.
    pub(super) fn calm(&mut self) -> Calm {
        let create = || self.create().expect("nothing is in its way");
        let mut took: Vec<_> = std::iter::repeat_with(create).take(CREATES).collect();
        took.sort_unstable();
        Calm {
            p99: took[(CREATES - 1) * 99 / 100],
            memory_kib: self.server.memory_kib("VmRSS:"),
            gauges: self.gauges(),
        }
    }

    /// How long it takes from now until it is as it was.
    #[track_caller]
    pub(super) fn until(&mut self, calm: &Calm) -> Again {
        let begun = Instant::now();
        let mut again = Again::default();
        while again.all().is_none() {
            assert!(begun.elapsed() < SOON, "not as before: {again:?}, {calm:?}");
            let took = self.create();
            note(
                &mut again.creates,
                begun,
                took.is_some_and(|took| took <= 2 * calm.p99),
            );
            again.memory_kib = self.server.memory_kib("VmRSS:");
            let most = calm.memory_kib + KEPT_KIB;
            note(&mut again.memory, begun, again.memory_kib <= most);
            let gauges = self.gauges();
            let is_over = (gauges.iter().zip(&calm.gauges)).all(|(now, before)| now <= before);
            note(&mut again.gauges, begun, is_over);
        }
        again
    }

    /// How long one create takes; `None` where it is refused.
    fn create(&mut self) -> Option<Duration> {
        let consignment = Consignment {
            vessel_id: "watch".into(),
            ..Consignment::default()
        };
        let begun = Instant::now();
        let created = self.client.create_consignment(consignment);
        let created = self.runtime.block_on(created).is_ok();
        created.then(|| begun.elapsed())
    }

    fn gauges(&self) -> [u64; 2] {
        let metrics = self.way.metrics(self.server);
        ["shippy_connections ", "shippy_requests "].map(|name| {
            let value = metrics.lines().find_map(|line| line.strip_prefix(name));
            value.unwrap().parse().unwrap()
        })
    }
}

impl Again {
    /// How long it took until all was.
    pub(super) fn all(&self) -> Option<Duration> {
        let [creates, memory, gauges] = [self.creates?, self.memory?, self.gauges?];
        Some(creates.max(memory).max(gauges))
    }
}

impl fmt::Display for Calm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.memory_kib / 1024;
        write!(formatter, "creates of {:.1?} (p99) in {mib} MiB", self.p99)
    }
}

impl fmt::Display for Again {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |took: Option<Duration>| took.unwrap_or_default().as_secs_f64();
        write!(
            formatter,
            "after {:.2} s (creates {:.2} s, memory {:.2} s and {} MiB, connections and requests {:.2} s)",
            seconds(self.all()),
            seconds(self.creates),
            seconds(self.memory),
            self.memory_kib / 1024,
            seconds(self.gauges),
        )
    }
}

/// Notes when something is so for the first time.
fn note(first: &mut Option<Duration>, begun: Instant, is_so: bool) {
    if is_so && first.is_none() {
        *first = Some(begun.elapsed());
    }
}
