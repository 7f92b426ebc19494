//! Answers the contract's rpcs from a store: decode, check, store, encode. The one place where errors become statuses.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use prost::Message as _;
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::{
    causes::chain,
    consignment::{self, Violation},
    proto::{
        self, Consignment, GetRequest, ListChunk, ListRequest, Position,
        shipping_service_server::ShippingService,
    },
    store::{NewConsignment, Outcome, Receipt, Scan, Store, StoreError, StoredConsignment},
};

/// The largest encoded reply of `GetConsignments`: what stock gRPC clients accept.
const MAX_REPLY_BYTES: usize = 4 * 1024 * 1024;
/// Most ids of one `ListRequest`, so that its pages stay cheap to find.
const MAX_LISTED_IDS: usize = 1_000;
/// How long a followed list stays silent at most: well below the shortest time after which a client gives up.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Most violations named in one reply: they travel in the trailers, whose size peers limit, often to 16 KiB.
const MAX_VIOLATIONS: usize = 10;
/// When to try again after the server had too much to do: long enough for some commits.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The contract's service over one store.
#[derive(Clone)]
pub struct RegisterService {
    store: Arc<dyn Store>,
    stopping: watch::Receiver<bool>,
}

impl RegisterService {
    /// Serves the register that is kept in `store`. Followed lists end when `stopping` becomes true.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, stopping: watch::Receiver<bool>) -> Self {
        Self { store, stopping }
    }

    /// Where a list begins: the sequence number that it comes after.
    fn start(&self, after: Option<Position>, last: u64) -> Result<u64, Status> {
        let Some(Position { register, sequence }) = after else {
            return Ok(0);
        };
        let ours = self.store.register();
        if !register.is_empty() && register != ours {
            return Err(Status::out_of_range(format!(
                "after is a position in another register than this one, {ours}: list from the beginning"
            )));
        }
        if sequence > last {
            return Err(Status::out_of_range(format!(
                "after is {sequence}, but the newest consignment of this register is {last}"
            )));
        }
        Ok(sequence)
    }
}

#[tonic::async_trait]
impl ShippingService for RegisterService {
    async fn create_consignment(
        &self,
        request: Request<Consignment>,
    ) -> Result<Response<proto::Response>, Status> {
        let mut consignment = request.into_inner();
        if consignment.id.is_empty() {
            consignment.id = consignment::new_id();
        }
        let body = consignment::canonical(&mut consignment);
        let violations = consignment::violations(&consignment);
        if !violations.is_empty() {
            return Err(invalid("the consignment cannot be stored", violations));
        }
        let id = consignment.id.clone();
        let outcomes = self.store.append(vec![NewConsignment { id, body }]).await;
        let (created, receipt) = match outcomes.map_err(|error| status(&error))?[..] {
            [Outcome::Stored(receipt)] => (true, receipt),
            [Outcome::AlreadyThere(receipt)] => (false, receipt),
            [Outcome::Conflict(receipt)] => return Err(conflict(&consignment.id, receipt)),
            _ => return Err(Status::internal("the store answered for another batch")),
        };
        consignment.sequence = receipt.sequence;
        consignment.created_at = Some(consignment::timestamp(receipt.created_at));
        Ok(Response::new(proto::Response {
            created,
            consignment: Some(consignment),
            consignments: Vec::new(),
        }))
    }

    async fn get_consignments(
        &self,
        _: Request<GetRequest>,
    ) -> Result<Response<proto::Response>, Status> {
        let last = self
            .store
            .last_sequence()
            .await
            .map_err(|error| status(&error))?;
        let mut pages = Pages::new(
            Arc::clone(&self.store),
            everything(0, last),
            usize::MAX,
            None,
        );
        let mut reply = proto::Response::default();
        let mut bytes = 0;
        while let Some(chunk) = pages.next().await? {
            for encoded in chunk.consignments {
                // A field of a message: its key, its length in at most 4 bytes, and itself.
                bytes += prost::length_delimiter_len(encoded.len()) + 1 + encoded.len();
                if bytes > MAX_REPLY_BYTES {
                    return Err(Status::resource_exhausted(format!(
                        "the register's {last} consignments do not fit the {MAX_REPLY_BYTES} bytes of one reply: \
                         use ListConsignments"
                    )));
                }
                let consignment = Consignment::decode(encoded)
                    .map_err(|error| status(&StoreError::Damaged(Arc::new(error))))?;
                reply.consignments.push(consignment);
            }
        }
        Ok(Response::new(reply))
    }

    type ListConsignmentsStream = Pin<Box<dyn Stream<Item = Result<ListChunk, Status>> + Send>>;

    async fn list_consignments(
        &self,
        request: Request<ListRequest>,
    ) -> Result<Response<Self::ListConsignmentsStream>, Status> {
        let ListRequest {
            ids,
            after,
            limit,
            follow,
        } = request.into_inner();
        if ids.len() > MAX_LISTED_IDS {
            let field = "ids".into();
            let description = format!(
                "has {} ids; at most {MAX_LISTED_IDS} are allowed",
                ids.len()
            );
            let violation = Violation { field, description };
            return Err(invalid("the list cannot be made", vec![violation]));
        }
        let last = self
            .store
            .last_sequence()
            .await
            .map_err(|error| status(&error))?;
        let scan = Scan {
            ids,
            ..everything(self.start(after, last)?, last)
        };
        let limit = match limit {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        let follower = follow.then(|| Follower {
            newest: self.store.newest(),
            stopping: self.stopping.clone(),
        });
        let pages = Pages::new(Arc::clone(&self.store), scan, limit, follower);
        let chunks = stream::try_unfold(pages, |mut pages| async {
            let chunk = pages.next().await?;
            Ok(chunk.map(|chunk| (chunk, pages)))
        });
        Ok(Response::new(Box::pin(chunks)))
    }
}

fn everything(after: u64, through: u64) -> Scan {
    Scan {
        after,
        through,
        ids: Vec::new(),
        limit: usize::MAX,
    }
}

/// What a list still has to send.
struct Pages {
    store: Arc<dyn Store>,
    scan: Scan,
    remaining: usize,
    /// Present when it goes on after what was stored when it began.
    follower: Option<Follower>,
    state: State,
}

/// How far a list has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is more to read.
    Reading,
    /// All that was stored has been sent; it waits for more.
    CaughtUp,
    Done,
}

/// What a followed list waits for.
struct Follower {
    newest: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
}

impl Follower {
    /// Waits for what comes after the sequence number `known`; the newest by then, which is `known` when there was
    /// nothing for long enough to say so.
    async fn next(&mut self, known: u64) -> Result<u64, Status> {
        let grown = self.newest.wait_for(|newest| *newest > known);
        tokio::select! {
            newest = tokio::time::timeout(HEARTBEAT, grown) => match newest {
                Ok(Ok(newest)) => Ok(*newest),
                Ok(Err(_)) => Err(status(&StoreError::Closed)),
                Err(_) => Ok(known),
            },
            // Its sender being gone means the same.
            _ = self.stopping.wait_for(|stopping| *stopping) => Err(status(&StoreError::Closed)),
        }
    }
}

impl Pages {
    fn new(store: Arc<dyn Store>, scan: Scan, limit: usize, follower: Option<Follower>) -> Self {
        Self {
            store,
            scan,
            remaining: limit,
            follower,
            state: State::Reading,
        }
    }

    /// The next chunk. There is always one, so that its receiver learns how far the register was searched.
    async fn next(&mut self) -> Result<Option<ListChunk>, Status> {
        if let (State::CaughtUp, Some(follower)) = (self.state, &mut self.follower) {
            self.scan.through = follower.next(self.scan.after).await?;
        }
        if self.state == State::Done {
            return Ok(None);
        }
        self.scan.limit = self.remaining;
        let page = self.store.scan(&self.scan).await;
        let page = page.map_err(|error| status(&error))?;
        self.remaining -= page.records.len();
        self.scan.after = page.through;
        self.state = match &self.follower {
            _ if self.remaining == 0 => State::Done,
            _ if page.through < self.scan.through => State::Reading,
            Some(_) => State::CaughtUp,
            None => State::Done,
        };
        Ok(Some(ListChunk {
            consignments: page.records.iter().map(encode).collect(),
            through_sequence: page.through,
        }))
    }
}

fn encode(record: &StoredConsignment) -> bytes::Bytes {
    let Receipt {
        sequence,
        created_at,
    } = record.receipt;
    consignment::with_server_fields(&record.body, sequence, consignment::timestamp(created_at))
}

/// The request is for another register.
#[must_use]
pub fn wrong_register(wanted: &str, ours: &str) -> Status {
    Status::failed_precondition(format!(
        "the request is for the register {wanted}, but this server keeps {ours}"
    ))
}

/// The server has too much to do; the same request may be sent again, as the status says when.
#[must_use]
pub fn overloaded() -> Status {
    Status::with_error_details(
        Code::ResourceExhausted,
        "the server has too much to do at the moment: try again shortly",
        ErrorDetails::with_retry_info(Some(RETRY_AFTER)),
    )
}

/// The request took longer than the server gives any request; what it asked for may have happened all the same.
#[must_use]
pub fn timed_out(limit: Duration) -> Status {
    Status::deadline_exceeded(format!("the request was not done within {limit:?}"))
}

/// What is wrong with `subject`, in the message for people and in the details for programs.
fn invalid(subject: &str, mut violations: Vec<Violation>) -> Status {
    violations.truncate(MAX_VIOLATIONS);
    let summary: Vec<_> = (violations.iter())
        .map(|Violation { field, description }| format!("{field} {description}").trim().to_owned())
        .collect();
    let fields: Vec<_> = (violations.into_iter())
        .map(|Violation { field, description }| FieldViolation::new(field, description))
        .collect();
    Status::with_error_details(
        Code::InvalidArgument,
        format!("{subject}: {}", summary.join("; ")),
        ErrorDetails::with_bad_request(fields),
    )
}

fn conflict(id: &str, known: Receipt) -> Status {
    Status::already_exists(format!(
        "another consignment has the id {id}, with sequence number {}: give this one an id of its own",
        known.sequence
    ))
}

/// What a caller is told of `error`; the log is told the whole of it, where it is the server's fault.
fn status(error: &StoreError) -> Status {
    match error {
        StoreError::Busy => return overloaded(),
        StoreError::Closed => {
            return Status::unavailable("the server is stopping: try another, or again shortly");
        }
        _ => tracing::error!("{}", chain(error)),
    }
    match error {
        StoreError::Full(_) => Status::resource_exhausted(
            "the server's disk is full, so nothing was stored: free space there, then try again",
        ),
        StoreError::WritesStopped(_) => Status::unavailable(
            "the server could not write to its disk and has stopped writing: see its log, and start it again",
        ),
        StoreError::Damaged(_) => {
            Status::data_loss("the register is damaged: see the server's log")
        }
        _ => Status::internal("the store failed: see the server's log"),
    }
}
