//! A bulk load under way: chunks in, outcomes out.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use prost::Message as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
    time::sleep,
};
use tonic::{Request, Status, Streaming};

use super::{
    Origin, Prepared, prepare,
    statuses::{MAX_VIOLATIONS, status},
};
use crate::{
    consignment::Violation,
    proto::{Consignment, CreateChunk, FieldViolation, Outcome, OutcomeChunk, outcome},
    store::{self, NewConsignment, Store, StoreError},
};

/// Most consignments of one chunk.
const MAX_CHUNK_RECORDS: usize = 1_000;
/// Most chunks of one load at the store at once: enough that one commit is filled while the next is gathered.
const IN_FLIGHT: usize = 16;
/// What part of the room before the writer all loads together may take: half of it, so that loads alone never make
/// single creates come again.
pub(super) const SHARE: usize = 2;
/// What a consignment on its way takes beside its encoding.
const OVERHEAD_BYTES: usize = 256;
/// How long a load may send nothing while nothing is under way: a sender that is there sends or ends.
const IDLE: Duration = Duration::from_secs(60);

/// A bulk load under way.
pub(super) struct Load {
    store: Arc<dyn Store>,
    /// Bounds what all loads have at the store.
    room: Arc<Semaphore>,
    /// All of it, in bytes.
    room_bytes: usize,
    stopping: watch::Receiver<bool>,
    chunks: Streaming<CreateChunk>,
    origin: Origin,
    /// Whether another chunk may come.
    is_open: bool,
    /// A chunk that has been read and waits for room.
    next: Option<Checked>,
    /// In the order in which they came.
    under_way: VecDeque<Appending>,
    /// Why the load ends once what is under way has been answered.
    ending: Option<Status>,
}

/// A chunk of which it is known what can be stored.
struct Checked {
    batch: Vec<NewConsignment>,
    answers: Vec<Answer>,
}

/// What to say of one consignment.
enum Answer {
    /// What the store says. The id is there when it was made here.
    Appended(Option<String>),
    Invalid(Vec<Violation>),
}

/// A chunk that the store has.
struct Appending {
    outcomes: JoinHandle<Result<Vec<store::Outcome>, StoreError>>,
    answers: Vec<Answer>,
    _room: OwnedSemaphorePermit,
}

/// What happened next.
enum Event {
    Read(Option<CreateChunk>),
    Room(OwnedSemaphorePermit),
    Appended(Vec<store::Outcome>),
    Stopping,
}

impl Load {
    pub(super) fn new(
        store: Arc<dyn Store>,
        (room, room_bytes): (Arc<Semaphore>, usize),
        stopping: watch::Receiver<bool>,
        request: Request<Streaming<CreateChunk>>,
    ) -> Self {
        Self {
            store,
            room,
            room_bytes,
            stopping,
            origin: Origin::of(&request),
            chunks: request.into_inner(),
            is_open: true,
            next: None,
            under_way: VecDeque::new(),
            ending: None,
        }
    }

    /// The outcomes of the next chunk; `None` after those of the last.
    pub(super) async fn next(&mut self) -> Result<Option<OutcomeChunk>, Status> {
        while self.is_open || self.next.is_some() || !self.under_way.is_empty() {
            match self.event().await? {
                Event::Read(Some(chunk)) => {
                    self.next = Some(check(&chunk, &self.origin)?);
                }
                Event::Read(None) => self.is_open = false,
                Event::Room(room) => self.append(room),
                Event::Appended(outcomes) => return self.answer(&outcomes).map(Some),
                Event::Stopping => {
                    self.is_open = false;
                    self.next = None;
                    self.ending = Some(status(&StoreError::Closed));
                }
            }
        }
        self.ending.take().map_or(Ok(None), Err)
    }

    async fn event(&mut self) -> Result<Event, Status> {
        let reads = self.is_open && self.next.is_none() && self.under_way.len() < IN_FLIGHT;
        let wanted = (self.next.as_ref()).map_or(0, |next| next.bytes(self.room_bytes));
        let is_idle = self.under_way.is_empty();
        tokio::select! {
            // What is answered makes room first, and a sender that waits for outcomes gets on.
            biased;
            outcomes = async { (&mut self.under_way[0].outcomes).await }, if !is_idle => {
                // It is not cancelled, so it has panicked.
                let outcomes = outcomes.unwrap_or_else(|panic| Err(StoreError::Engine(Arc::new(panic))));
                outcomes.map(Event::Appended).map_err(|error| status(&error))
            }
            room = Arc::clone(&self.room).acquire_many_owned(wanted), if self.next.is_some() => {
                // Never closed, so that there is always room in the end.
                room.map(Event::Room).map_err(|_| status(&StoreError::Closed))
            }
            // Its sender being gone means the same.
            _ = self.stopping.wait_for(|stopping| *stopping), if self.is_open => Ok(Event::Stopping),
            read = self.chunks.message(), if reads => read.map(Event::Read),
            () = sleep(IDLE), if reads && is_idle => {
                Err(Status::deadline_exceeded(format!("no chunk came for {IDLE:?}")))
            }
        }
    }

    /// Hands the chunk that waits to the store.
    fn append(&mut self, room: OwnedSemaphorePermit) {
        let Some(Checked { batch, answers }) = self.next.take() else {
            return;
        };
        let store = Arc::clone(&self.store);
        let mut outcomes = async move { store.append(batch).await }.boxed();
        // Begun now and not only when those before it are done, it shares their commit and keeps its place behind them.
        if let Some(done) = (&mut outcomes).now_or_never() {
            outcomes = async move { done }.boxed();
        }
        self.under_way.push_back(Appending {
            // A task of its own goes on when nobody reads what came before.
            outcomes: tokio::spawn(outcomes),
            answers,
            _room: room,
        });
    }

    fn answer(&mut self, outcomes: &[store::Outcome]) -> Result<OutcomeChunk, Status> {
        let mut outcomes = outcomes.iter();
        let answers = (self.under_way.pop_front()).map_or_else(Vec::new, |done| done.answers);
        let answer = |answer| match answer {
            Answer::Invalid(violations) => Some(refused(violations)),
            Answer::Appended(id) => outcomes.next().map(|outcome| outcome_of(outcome, id)),
        };
        let outcomes: Option<Vec<_>> = answers.into_iter().map(answer).collect();
        let outcomes =
            outcomes.ok_or_else(|| Status::internal("the store answered for another batch"))?;
        Ok(OutcomeChunk { outcomes })
    }
}

impl Checked {
    /// About what it takes in memory, as far as there is room at all.
    fn bytes(&self, room: usize) -> u32 {
        let bodies = self.batch.iter().map(|new| new.body.len() + OVERHEAD_BYTES);
        u32::try_from(bodies.sum::<usize>().min(room)).unwrap_or(u32::MAX)
    }
}

fn check(chunk: &CreateChunk, origin: &Origin) -> Result<Checked, Status> {
    let count = chunk.consignments.len();
    if count > MAX_CHUNK_RECORDS {
        return Err(Status::invalid_argument(format!(
            "the chunk holds {count} consignments; at most {MAX_CHUNK_RECORDS} are allowed"
        )));
    }
    let mut checked = Checked {
        batch: Vec::with_capacity(count),
        answers: Vec::with_capacity(count),
    };
    for encoded in &chunk.consignments {
        let consignment = Consignment::decode(encoded.clone()).map_err(|error| {
            Status::invalid_argument(format!("the chunk holds what is no consignment: {error}"))
        })?;
        let has_id = !consignment.id.is_empty();
        checked.answers.push(match prepare(consignment, origin) {
            Ok(Prepared { new, .. }) => {
                let made = (!has_id).then(|| new.id.clone());
                checked.batch.push(new);
                Answer::Appended(made)
            }
            Err(violations) => Answer::Invalid(violations),
        });
    }
    Ok(checked)
}

fn outcome_of(outcome: &store::Outcome, made_id: Option<String>) -> Outcome {
    use outcome::Result;
    let (result, receipt) = match outcome {
        store::Outcome::Stored(receipt) => (Result::Created, receipt),
        store::Outcome::AlreadyThere(receipt) => (Result::AlreadyThere, receipt),
        store::Outcome::Conflict(receipt) => (Result::Conflict, receipt),
    };
    Outcome {
        result: result.into(),
        sequence: receipt.sequence,
        id: made_id.unwrap_or_default(),
        violations: Vec::new(),
    }
}

fn refused(violations: Vec<Violation>) -> Outcome {
    let violations = (violations.into_iter().take(MAX_VIOLATIONS))
        .map(|Violation { field, description }| FieldViolation { field, description })
        .collect();
    Outcome {
        result: outcome::Result::Invalid.into(),
        violations,
        ..Outcome::default()
    }
}
