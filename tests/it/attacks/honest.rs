//! Clients that only want to create, and how they fare.

use std::{
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
    Request,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

use super::way::Way;
use crate::support::{SOON, Server, eventually};

/// As many as write at once.
const WRITERS: usize = 16;
/// How long one waits before it asks again, as the server says.
const AGAIN: Duration = Duration::from_millis(100);

/// They create one after the other, each on a connection of its own and on a thread that they have for themselves.
pub(super) struct Honest {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: JoinHandle<Vec<u64>>,
    begun: Instant,
}

/// How they fared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fared {
    pub(super) created: u64,
    /// How often they asked again.
    pub(super) again: u64,
    pub(super) per_second: f64,
}

impl Honest {
    /// They begin; once each has been answered, this returns.
    pub(super) fn start(server: &Server, token: Option<&str>) -> Self {
        Self::start_at(Way::in_clear().endpoint(server), token)
    }

    /// The same at `endpoint`.
    pub(super) fn start_at(endpoint: Endpoint, token: Option<&str>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let header = token.map(|token| format!("Bearer {token}").parse().unwrap());
        let shared = (Arc::clone(&stop), Arc::clone(&answered));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let writers = (0..WRITERS).map(|_| {
                    let channel = endpoint.connect_lazy();
                    write(channel, header.clone(), &shared.0, &shared.1)
                });
                join_all(writers).await
            })
        });
        let honest = Self {
            stop,
            answered,
            thread,
            begun: Instant::now(),
        };
        honest.gets_on();
        honest
    }

    /// Waits until each of them can have been answered once more.
    #[track_caller]
    pub(super) fn gets_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("honest creates", || {
            assert!(!self.thread.is_finished(), "a create was not answered");
            let now = self.answered.load(Ordering::Relaxed);
            (now >= before + 2 * WRITERS as u64).then_some(())
        });
    }

    /// They stop, each once it has been answered.
    #[track_caller]
    pub(super) fn stop(self) -> Fared {
        self.stop.store(true, Ordering::Relaxed);
        let took = self.begun.elapsed();
        let again = self.thread.join().expect("every create is answered");
        let created = self.answered.load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let per_second = created as f64 / took.as_secs_f64();
        Fared {
            created,
            again: again.iter().sum(),
            per_second,
        }
    }
}

/// One of them; how often it asked again.
async fn write(
    channel: Channel,
    header: Option<MetadataValue<tonic::metadata::Ascii>>,
    stop: &AtomicBool,
    answered: &AtomicU64,
) -> u64 {
    let mut client = ShippingServiceClient::new(channel);
    let mut again = 0;
    while !stop.load(Ordering::Relaxed) {
        let consignment = Consignment {
            id: uuid::Uuid::now_v7().to_string(),
            vessel_id: "honest".into(),
            ..Consignment::default()
        };
        let deadline = Instant::now() + SOON;
        loop {
            let mut request = Request::new(consignment.clone());
            if let Some(header) = &header {
                request
                    .metadata_mut()
                    .insert("authorization", header.clone());
            }
            let Err(status) = client.create_consignment(request).await else {
                break;
            };
            assert!(Instant::now() < deadline, "not answered: {status:?}");
            again += 1;
            tokio::time::sleep(AGAIN).await;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    again
}
