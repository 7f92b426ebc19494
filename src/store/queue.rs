//! What waits for a store's writer: bounded in bytes, in the order in which it came.

use std::{sync::Arc, time::Instant};

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{
    NewConsignment, Outcome, StoreError,
    meters::Meters,
    replies::{self, Recipient, Spent},
};
use crate::metrics::gauge;

/// Most consignments in one commit: many enough that the sync is shared, few enough that the first of them does not
/// wait long for the last.
pub(super) const GROUP_ROWS: usize = 4_096;
/// What may wait for the writer unless something else is said, in bytes: several seconds of the fastest disk's work.
pub const QUEUE_BYTES: usize = 32 * 1024 * 1024;
/// What a waiting consignment takes beside its text: its queue entry, its ids and its reply.
const QUEUE_OVERHEAD_BYTES: usize = 256;

/// What may wait for a store's writer.
#[derive(Debug, Clone)]
pub struct QueueBound {
    /// All of it together.
    pub bytes: usize,
    /// Counts the batches that there was no room for.
    pub refused: Counter,
}

impl Default for QueueBound {
    fn default() -> Self {
        Self {
            bytes: QUEUE_BYTES,
            refused: Counter::default(),
        }
    }
}

/// What a writer is asked to do.
#[derive(Debug)]
pub(super) enum Task {
    Append(Append),
    /// Finish what was asked before, refuse what comes after, release the store and answer.
    Close(oneshot::Sender<()>),
}

/// A batch that waits for its commit.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) batch: Vec<NewConsignment>,
    pub(super) recipient: Recipient,
    /// When it was handed over.
    pub(super) since: Instant,
    /// Its share of the queue's bound, given back with the answer.
    room: OwnedSemaphorePermit,
}

impl Append {
    /// Where its answer goes, and what it took with it.
    pub(super) fn into_recipient(self) -> Recipient {
        let Self {
            batch,
            recipient,
            room,
            ..
        } = self;
        recipient.bring(Spent {
            _batch: batch,
            _room: room,
        })
    }
}

/// Where a writer's tasks are handed over.
#[derive(Debug)]
pub(super) struct Queue {
    tasks: mpsc::UnboundedSender<Task>,
    /// Bounds what waits in `tasks`.
    room: Arc<Semaphore>,
    bound: QueueBound,
    /// What its writer measures.
    pub(super) meters: Meters,
}

impl Queue {
    /// An empty one, and where its writer takes from.
    pub(super) fn new(bound: QueueBound) -> (Self, mpsc::UnboundedReceiver<Task>) {
        let (tasks, taken) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(bound.bytes));
        let queue = Self {
            tasks,
            room,
            bound,
            meters: Meters::default(),
        };
        (queue, taken)
    }

    /// [`super::Store::measure`], of what all writers have.
    pub(super) fn measure(&self, registry: &mut Registry) {
        self.meters.register(registry);
        let (room, all) = (Arc::clone(&self.room), self.bound.bytes);
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        let waiting = move || Some((all - room.available_permits()) as f64);
        gauge(
            registry,
            "shippy_queue_bytes",
            "What waits for the store's writer or is being committed",
            waiting,
        );
    }

    /// [`super::Store::append`]: hands `batch` over at once, and waits for what became of it.
    pub(super) async fn append(
        &self,
        batch: Vec<NewConsignment>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let bytes: usize = (batch.iter())
            .map(|new| new.body.len() + QUEUE_OVERHEAD_BYTES)
            .sum();
        let permits = u32::try_from(bytes.min(self.bound.bytes)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(permits)
            .map_err(|_| {
                self.bound.refused.inc();
                StoreError::Busy
            })?;
        let (recipient, waiting) = replies::expect();
        let since = Instant::now();
        // A batch is one request's, whole or a part.
        let trace = batch.first().and_then(|new| new.trace.clone());
        let append = Append {
            batch,
            recipient,
            since,
            room,
        };
        self.tasks
            .send(Task::Append(append))
            .map_err(|_| StoreError::Closed)?;
        let (answer, commit) = waiting.answer().await;
        if let (Some(trace), Some(commit)) = (trace, commit) {
            commit.add_to(&trace, since, answer.as_ref().err());
        }
        answer
    }

    /// Lets the writer finish what was handed over and end; returns when it has.
    pub(super) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.tasks.send(Task::Close(reply)).is_ok() {
            // An error says that the writer has ended, which is what was asked.
            let _ = closed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn what_there_is_no_room_for_is_refused_and_counted() {
        let refused = Counter::default();
        let bound = QueueBound {
            bytes: 1_000,
            refused: refused.clone(),
        };
        let (queue, mut tasks) = Queue::new(bound);
        let batch = || vec![NewConsignment::new("tea-1", vec![0; 600])];
        let mut first = Box::pin(queue.append(batch()));
        assert!((&mut first).now_or_never().is_none());
        let second = queue.append(batch()).await;
        assert!(matches!(second, Err(StoreError::Busy)), "{second:?}");
        assert_eq!(refused.get(), 1);
        // What was taken makes room when it is done with.
        drop(tasks.recv().await);
        assert!(queue.append(batch()).now_or_never().is_none());
        assert_eq!(refused.get(), 1);
    }
}
