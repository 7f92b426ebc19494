//! What waits for a store's writer: bounded in bytes, in the order in which it came.

use std::{sync::Arc, time::Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{
    NewConsignment, Outcome, StoreError,
    replies::{self, Recipient},
};

/// Most consignments in one commit: many enough that the sync is shared, few enough that the first of them does not
/// wait long for the last.
pub(super) const GROUP_ROWS: usize = 4_096;
/// What may wait for the writer, in bytes: several seconds of the fastest disk's work, and a bound on memory.
const QUEUE_BYTES: usize = 32 * 1024 * 1024;
/// What a waiting consignment takes beside its text: its queue entry, its ids and its reply.
const QUEUE_OVERHEAD_BYTES: usize = 256;

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
    #[expect(dead_code, reason = "held")]
    room: OwnedSemaphorePermit,
}

/// Where a writer's tasks are handed over.
#[derive(Debug)]
pub(super) struct Queue {
    tasks: mpsc::UnboundedSender<Task>,
    /// Bounds what waits in `tasks`.
    room: Arc<Semaphore>,
}

impl Queue {
    /// An empty one, and where its writer takes from.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Task>) {
        let (tasks, taken) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        (Self { tasks, room }, taken)
    }

    /// [`super::Store::append`]: hands `batch` over at once, and waits for what became of it.
    pub(super) async fn append(
        &self,
        batch: Vec<NewConsignment>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let bytes: usize = (batch.iter())
            .map(|new| new.body.len() + QUEUE_OVERHEAD_BYTES)
            .sum();
        let permits = u32::try_from(bytes.min(QUEUE_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(permits)
            .map_err(|_| StoreError::Busy)?;
        let (recipient, waiting) = replies::expect();
        let append = Append {
            batch,
            recipient,
            since: Instant::now(),
            room,
        };
        self.tasks
            .send(Task::Append(append))
            .map_err(|_| StoreError::Closed)?;
        waiting.answer().await
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
