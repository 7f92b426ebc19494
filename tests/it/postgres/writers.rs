//! Those who create without a pause, and what they were told.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use shippy::proto::{Consignment, shipping_service_client::ShippingServiceClient};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use crate::support::eventually;

/// What one create was told: its sequence number, and whether it was stored by that call.
pub(super) type Told = BTreeMap<String, (u64, bool)>;

/// Writers under way.
pub(super) struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<Vec<Ended>>,
}

/// How a writer ended.
pub(super) struct Ended {
    pub(super) told: Told,
    /// Creates that were sent again.
    pub(super) again: usize,
    /// The longest time that one took.
    pub(super) longest: Duration,
}

impl Writers {
    /// So many on each of `servers`. What is told to be unavailable is sent again.
    pub(super) fn start(servers: &[SocketAddr], each: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let addresses: Vec<_> = servers.iter().flat_map(|&one| vec![one; each]).collect();
        let (stops, counts) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let writers = addresses.into_iter().enumerate().map(|(number, address)| {
                let (stop, count) = (Arc::clone(&stops), Arc::clone(&counts));
                runtime.spawn(async move { write(address, number, &stop, &count).await })
            });
            let writers: Vec<_> = writers.collect();
            let ended = runtime.block_on(join_all(writers)).into_iter();
            ended.map(Result::unwrap).collect()
        });
        Self {
            stop,
            acknowledged,
            thread,
        }
    }

    /// Waits for so many more to be acknowledged.
    #[track_caller]
    pub(super) fn wait_for(&self, more: u64) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + more;
        eventually("what is acknowledged", || {
            (self.acknowledged.load(Ordering::Relaxed) >= goal).then_some(())
        });
    }

    /// Ends them, each with what it has under way.
    pub(super) fn end(self) -> Vec<Ended> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

async fn write(
    address: SocketAddr,
    writer: usize,
    stop: &AtomicBool,
    acknowledged: &AtomicU64,
) -> Ended {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client: ShippingServiceClient<Channel> =
        ShippingServiceClient::new(endpoint.connect_lazy());
    let mut ended = Ended {
        told: Told::new(),
        again: 0,
        longest: Duration::ZERO,
    };
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{writer}-{number}");
        let begun = Instant::now();
        loop {
            let consignment = Consignment {
                id: id.clone(),
                description: "goods".into(),
                vessel_id: format!("vessel-{writer}"),
                ..Consignment::default()
            };
            match client.create_consignment(consignment).await {
                Ok(reply) => {
                    let reply = reply.into_inner();
                    let sequence = reply.consignment.unwrap().sequence;
                    ended.told.insert(id, (sequence, reply.created));
                    break;
                }
                Err(status) if status.code() == Code::Unavailable => {
                    ended.again += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(status) => panic!("{id}: {status}"),
            }
        }
        ended.longest = ended.longest.max(begun.elapsed());
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    ended
}

/// Fails the test if more than one create of each was sent again, or said to be there already without that. Where a
/// machine stands still for as long as a create is waited for, each may have to send the one that is under way again.
pub(super) fn hardly_sent_again(ended: &[Ended]) {
    let again: usize = ended.iter().map(|one| one.again).sum();
    assert!(again <= ended.len(), "{again} were sent again");
    let told = ended.iter().flat_map(|one| one.told.values());
    let not_new = told.filter(|(_, created)| !created).count();
    assert!(not_new <= again, "{not_new} were said not to be new");
}

/// Compares what writers were told with what a register holds: its ids, by sequence number from 1.
pub(super) fn check<'e>(ended: impl IntoIterator<Item = &'e Ended>, listed: &[(u64, String)]) {
    for (place, (sequence, _)) in (1..).zip(listed) {
        assert_eq!(*sequence, place, "gapless");
    }
    let stored: BTreeMap<&str, u64> = (listed.iter())
        .map(|(sequence, id)| (id.as_str(), *sequence))
        .collect();
    assert_eq!(stored.len(), listed.len(), "each once");
    for (id, (sequence, _)) in ended.into_iter().flat_map(|one| &one.told) {
        assert_eq!(stored.get(id.as_str()), Some(sequence), "{id}");
    }
}
