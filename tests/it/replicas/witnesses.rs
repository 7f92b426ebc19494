//! Clients that must not notice anything: those who create, one after another and in bulk, and one who follows.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join;
use prost::Message as _;
use shippy::{
    client::Client,
    proto::{Consignment, CreateChunk, ListRequest},
};
use tokio::{sync::mpsc, time::sleep};

use super::fresh;

/// Pauses between creates, so that what is measured is not how many fit on the machine.
const BETWEEN_CREATES: Duration = Duration::from_millis(60);
/// The same between chunks of a load, and how many consignments each holds.
const BETWEEN_CHUNKS: Duration = Duration::from_millis(25);
const CHUNK: usize = 8;

/// When somebody waited for an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pause {
    pub(super) begun: Instant,
    pub(super) ended: Instant,
}

/// All pauses of a client that are worth noting.
#[derive(Default)]
pub(super) struct Pauses(pub(super) Vec<Pause>);

impl Pauses {
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let result = work.await;
        let ended = Instant::now();
        if ended - begun > Duration::from_millis(20) {
            self.0.push(Pause { begun, ended });
        }
        result
    }
}

/// What was acknowledged, with the sequence number where that is told, by id.
pub(super) type Acknowledged = HashMap<String, u64>;

/// Creates one after another until `stop`.
pub(super) async fn create(mut client: Client, stop: &AtomicBool) -> (Acknowledged, Pauses) {
    let (mut acknowledged, mut pauses) = (HashMap::new(), Pauses::default());
    while !stop.load(Ordering::Relaxed) {
        let consignment = fresh();
        let created = pauses.during(client.create(&consignment)).await;
        let created = created.unwrap_or_else(|error| panic!("a create: {error}"));
        let sequence = created.consignment.unwrap().sequence;
        acknowledged.insert(consignment.id, sequence);
        sleep(BETWEEN_CREATES).await;
    }
    (acknowledged, pauses)
}

/// Creates in one bulk load until `stop`.
pub(super) async fn load(mut client: Client, stop: &AtomicBool) -> (Acknowledged, Pauses) {
    let (mut acknowledged, mut pauses) = (HashMap::new(), Pauses::default());
    let (sender, chunks) = mpsc::channel(1);
    let (told, mut sent) = mpsc::unbounded_channel();
    let sending = async move {
        while !stop.load(Ordering::Relaxed) {
            let consignments: Vec<_> = (0..CHUNK).map(|_| fresh()).collect();
            let encoded = consignments.iter().map(|one| one.encode_to_vec().into());
            let chunk = CreateChunk {
                consignments: encoded.collect(),
            };
            told.send(consignments).unwrap();
            sender.send(chunk).await.unwrap();
            sleep(BETWEEN_CHUNKS).await;
        }
    };
    let mut load = client.load(chunks);
    let loading = async {
        while let Some(outcomes) = pauses
            .during(load.next())
            .await
            .unwrap_or_else(|error| panic!("a load: {error}"))
        {
            let consignments = sent.recv().await.unwrap();
            assert_eq!(outcomes.len(), consignments.len());
            for (consignment, outcome) in consignments.into_iter().zip(outcomes) {
                assert!(outcome.sequence > 0, "{outcome:?}");
                acknowledged.insert(consignment.id, outcome.sequence);
            }
        }
    };
    join(sending, loading).await;
    (acknowledged, pauses)
}

/// Follows until it has come to the sequence number `end`, which is 0 as long as it is not known; the ids in order.
pub(super) async fn follow(mut client: Client, end: &AtomicU64) -> (Vec<String>, Pauses) {
    let (mut ids, mut pauses) = (Vec::new(), Pauses::default());
    let mut listing = client.list(ListRequest {
        follow: true,
        ..ListRequest::default()
    });
    while end.load(Ordering::Relaxed) == 0 || (ids.len() as u64) < end.load(Ordering::Relaxed) {
        let chunk = pauses.during(listing.next()).await;
        let chunk = chunk.unwrap_or_else(|error| panic!("a followed list: {error}"));
        for encoded in chunk.expect("a followed list does not end").consignments {
            let consignment = Consignment::decode(encoded).unwrap();
            assert_eq!(
                consignment.sequence,
                ids.len() as u64 + 1,
                "no gap, no repeat"
            );
            ids.push(consignment.id);
        }
    }
    (ids, pauses)
}

/// All that is there, in order.
pub(super) async fn list(mut client: Client) -> Vec<Consignment> {
    let mut listing = client.list(ListRequest::default());
    let mut listed = Vec::new();
    while let Some(chunk) = listing.next().await.unwrap() {
        for encoded in chunk.consignments {
            listed.push(Consignment::decode(encoded).unwrap());
        }
    }
    listed
}
