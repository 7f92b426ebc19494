//! Answers the contract's rpcs from a store: decode, check, store, encode.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{Stream, stream};
use pbjson_types::Timestamp;
use prometheus_client::metrics::gauge::Gauge;
use prost::Message as _;
use tokio::sync::{Semaphore, watch};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    consignment::{self, Violation},
    proto::{
        self, Consignment, CreateChunk, GetRequest, ListChunk, ListRequest, OutcomeChunk, Position,
        shipping_service_server::ShippingService,
    },
    store::{Filter, NewConsignment, Outcome, Scan, Store, StoreError},
    traces::Trace,
};

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod load;
mod pages;
mod statuses;

use load::Load;
use pages::{Counted, Follower, Pages, READ_AHEAD};
use statuses::{conflict, elsewhere, invalid, status};
pub use statuses::{
    no_scope, no_token, overloaded, read_only, timed_out, too_large, unknown_token, wrong_register,
};

/// The largest encoded reply of `GetConsignments`: what stock gRPC clients accept.
const MAX_REPLY_BYTES: usize = 4 * 1024 * 1024;
/// Most ids of one `ListRequest`, so that its pages stay cheap to find.
const MAX_LISTED_IDS: usize = 1_000;

/// The contract's service over one store.
#[derive(Clone)]
pub struct RegisterService {
    store: Arc<dyn Store>,
    /// Bounds what bulk loads have at the store.
    load_room: Arc<Semaphore>,
    load_bytes: usize,
    /// Bounds what lists have read that is not sent.
    read_ahead: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
    followers: Gauge,
    /// The newest sequence number with which the register was found too large for one reply. It only grows.
    large_at: Arc<AtomicU64>,
}

impl RegisterService {
    /// Serves the register that is kept in `store`, before whose writer `queue_bytes` may wait. Followed lists and bulk loads end when `stopping` becomes true.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        queue_bytes: usize,
        stopping: watch::Receiver<bool>,
        followers: Gauge,
    ) -> Self {
        let load_bytes = queue_bytes / load::SHARE;
        Self {
            store,
            load_room: Arc::new(Semaphore::new(load_bytes)),
            load_bytes,
            read_ahead: Arc::new(Semaphore::new(READ_AHEAD)),
            stopping,
            followers,
            large_at: Arc::new(u64::MAX.into()),
        }
    }

    async fn last_sequence(&self) -> Result<u64, Status> {
        let last = self.store.last_sequence().await;
        last.map_err(|error| status(&error))
    }

    /// What to read for `request`, when `last` is the newest sequence number.
    fn scan(&self, request: ListRequest, last: u64) -> Result<Scan, Status> {
        let after = self
            .position("after", request.after, last, last)?
            .unwrap_or(0);
        // What comes before the newest's successor is all that is there, so that is a position, too.
        let before = self.position("before", request.before, last, last + 1)?;
        let text = |text: String| (!text.is_empty()).then_some(text);
        let micros = |time: Option<Timestamp>| time.as_ref().map(consignment::micros);
        Ok(Scan {
            after,
            through: before.map_or(last, |before| before.saturating_sub(1)),
            ids: request.ids,
            filter: Filter {
                vessel_id: text(request.vessel_id),
                customer_id: text(request.customer_id),
                user_id: text(request.user_id),
                origin: text(request.origin),
                created_from: micros(request.created_from),
                created_until: micros(request.created_until),
            },
            newest_first: request.newest_first,
            limit: usize::MAX,
        })
    }

    fn pages(&self, scan: Scan, follower: Option<Follower>) -> Pages {
        let (store, places) = (Arc::clone(&self.store), Arc::clone(&self.read_ahead));
        Pages::new(store, places, scan, follower)
    }

    /// The sequence number of a position in this register, whose newest one is `last`; positions of its sort reach up to
    /// `end`.
    fn position(
        &self,
        field: &str,
        position: Option<Position>,
        last: u64,
        end: u64,
    ) -> Result<Option<u64>, Status> {
        let Some(Position { register, sequence }) = position else {
            return Ok(None);
        };
        let ours = self.store.register();
        if !register.is_empty() && register != ours {
            let description = format!(
                "is a position in another register than this one, {ours}: list from the beginning"
            );
            return Err(elsewhere(field, &description));
        }
        if sequence > end {
            let description =
                format!("is {sequence}, but the newest consignment of this register is {last}");
            return Err(elsewhere(field, &description));
        }
        Ok(Some(sequence))
    }
}

/// Who sends a request, by the name that it is known by here, not empty: an extension of the request.
#[derive(Debug, Clone)]
pub struct Caller(pub Arc<str>);

/// By what a request is known in the log, one word, not empty: an extension of the request.
#[derive(Debug, Clone)]
pub struct RequestId(pub Arc<str>);

/// Where consignments come from, as far as that is known.
#[derive(Debug, Default)]
struct Origin {
    created_by: Option<Arc<str>>,
    /// The id of the request that brings them.
    request: Option<Arc<str>>,
    /// That request, where it is traced.
    trace: Option<Trace>,
}

impl Origin {
    fn of<T>(request: &Request<T>) -> Self {
        let extensions = request.extensions();
        let caller = extensions.get::<Caller>();
        let id = extensions.get::<RequestId>();
        Self {
            created_by: caller.map(|Caller(name)| Arc::clone(name)),
            request: id.map(|RequestId(id)| Arc::clone(id)),
            trace: extensions.get::<Trace>().cloned(),
        }
    }
}

/// A consignment that can be stored.
struct Prepared {
    new: NewConsignment,
    /// The same, with its id and without what only a server sets.
    consignment: Consignment,
}

/// Makes what comes from `origin` ready to be stored, with a new id where it has none, or says what is wrong with it.
fn prepare(mut consignment: Consignment, origin: &Origin) -> Result<Prepared, Vec<Violation>> {
    if consignment.id.is_empty() {
        consignment.id = consignment::new_id();
    }
    let body = consignment::canonical(&mut consignment);
    let violations = consignment::violations(&consignment);
    if !violations.is_empty() {
        return Err(violations);
    }
    let id = consignment.id.clone();
    let new = NewConsignment {
        id,
        body,
        created_by: origin.created_by.clone(),
        request: origin.request.clone(),
        trace: origin.trace.clone(),
    };
    Ok(Prepared { new, consignment })
}

/// Makes the consignment of `request` ready to be stored.
fn prepare_single(request: Request<Consignment>) -> Result<Prepared, Status> {
    let origin = Origin::of(&request);
    prepare(request.into_inner(), &origin)
        .map_err(|violations| invalid("the consignment cannot be stored", violations))
}

/// Why all that is stored, up to the sequence number `last`, is no reply.
fn too_many(last: u64) -> Status {
    Status::resource_exhausted(format!(
        "the register's {last} consignments do not fit the {MAX_REPLY_BYTES} bytes of one reply: use ListConsignments"
    ))
}

/// What is wrong with a request to list, if anything.
fn check(request: &ListRequest) -> Result<(), Status> {
    let wrong = |field: &str, description: String| {
        let field = field.into();
        let violation = Violation { field, description };
        Err(invalid("the list cannot be made", vec![violation]))
    };
    let ids = request.ids.len();
    if ids > MAX_LISTED_IDS {
        let description = format!("has {ids} ids; at most {MAX_LISTED_IDS} are allowed");
        return wrong("ids", description);
    }
    if request.follow && (request.newest_first || request.before.is_some()) {
        let description = "goes on with what comes, so it goes neither back nor up to a position";
        return wrong("follow", description.into());
    }
    Ok(())
}

#[tonic::async_trait]
impl ShippingService for RegisterService {
    async fn create_consignment(
        &self,
        request: Request<Consignment>,
    ) -> Result<Response<proto::Response>, Status> {
        let Prepared {
            new,
            mut consignment,
        } = prepare_single(request)?;
        let outcomes = self.store.append(vec![new]).await;
        let (created, receipt) = match &outcomes.map_err(|error| status(&error))?[..] {
            [Outcome::Stored(receipt)] => (true, receipt.clone()),
            [Outcome::AlreadyThere(receipt)] => (false, receipt.clone()),
            [Outcome::Conflict(receipt)] => return Err(conflict(&consignment.id, receipt)),
            _ => return Err(Status::internal("the store answered for another batch")),
        };
        consignment.sequence = receipt.sequence;
        consignment.created_at = Some(consignment::timestamp(receipt.created_at));
        consignment.created_by = receipt.created_by.as_deref().unwrap_or_default().into();
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
        let last = self.last_sequence().await?;
        if last >= self.large_at.load(Ordering::Relaxed) {
            return Err(too_many(last));
        }
        let everything = self.scan(ListRequest::default(), last)?;
        let mut pages = self.pages(everything, None);
        let mut reply = proto::Response::default();
        let mut bytes = 0;
        while let Some(chunk) = pages.next().await? {
            for encoded in chunk.consignments {
                // A field of a message: its key, its length in at most 4 bytes, and itself.
                bytes += prost::length_delimiter_len(encoded.len()) + 1 + encoded.len();
                if bytes > MAX_REPLY_BYTES {
                    self.large_at.store(last, Ordering::Relaxed);
                    return Err(too_many(last));
                }
                // One that cannot be read would make the whole reply one that nobody can read.
                Consignment::decode(&encoded[..])
                    .map_err(|error| status(&StoreError::Damaged(Arc::new(error))))?;
                reply.consignments.push(encoded);
            }
        }
        Ok(Response::new(reply))
    }

    type ListConsignmentsStream = Pin<Box<dyn Stream<Item = Result<ListChunk, Status>> + Send>>;

    async fn list_consignments(
        &self,
        request: Request<ListRequest>,
    ) -> Result<Response<Self::ListConsignmentsStream>, Status> {
        let request = request.into_inner();
        check(&request)?;
        let last = self.last_sequence().await?;
        let limit = match request.limit {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        let follow = request.follow;
        let scan = Scan {
            limit,
            ..self.scan(request, last)?
        };
        let follower = follow.then(|| Follower {
            newest: self.store.newest(),
            stopping: self.stopping.clone(),
            _counted: Counted::new(&self.followers),
        });
        let pages = self.pages(scan, follower);
        let chunks = stream::try_unfold(pages, |mut pages| async {
            let chunk = pages.next().await?;
            Ok(chunk.map(|chunk| (chunk, pages)))
        });
        Ok(Response::new(Box::pin(chunks)))
    }

    type CreateConsignmentsStream =
        Pin<Box<dyn Stream<Item = Result<OutcomeChunk, Status>> + Send>>;

    async fn create_consignments(
        &self,
        request: Request<Streaming<CreateChunk>>,
    ) -> Result<Response<Self::CreateConsignmentsStream>, Status> {
        let load = Load::new(
            Arc::clone(&self.store),
            (Arc::clone(&self.load_room), self.load_bytes),
            self.stopping.clone(),
            request,
        );
        let outcomes = stream::try_unfold(load, |mut load| async {
            let outcomes = load.next().await?;
            Ok(outcomes.map(|outcomes| (outcomes, load)))
        });
        Ok(Response::new(Box::pin(outcomes)))
    }
}
