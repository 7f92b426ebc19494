//! What every request passes before it reaches the service, and every reply after.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, uri::PathAndQuery};
use hyper::{
    body::{Body as HttpBody, Frame, Incoming},
    service::Service,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tower_service::Service as _;

use super::{
    guard::{Guard, Pass, Peer},
    limits::{LISTS, LOADS, REPLY_PIECE, REQUEST_TIMEOUT, REQUESTS, WHOLE_REPLIES},
};
use crate::{
    proto::{REGISTER_KEY, SERVICE, SERVICE_ALIAS},
    service,
};

/// Serves `routes` in the name of one register.
#[derive(Clone)]
pub(super) struct Gate {
    routes: Router,
    register: HeaderValue,
    room: Room,
    /// Where not everybody may call everything.
    guard: Option<Guard>,
}

/// The gate as one peer meets it.
#[derive(Clone)]
pub(super) struct PeersGate {
    gate: Gate,
    /// Who it is, where that matters.
    peer: Option<Arc<Peer>>,
}

/// How many more requests of each sort can be taken on, over all connections.
#[derive(Clone)]
struct Room {
    lists: Arc<Semaphore>,
    loads: Arc<Semaphore>,
    whole_replies: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

impl Room {
    fn new() -> Self {
        Self {
            lists: Arc::new(Semaphore::new(LISTS)),
            loads: Arc::new(Semaphore::new(LOADS)),
            whole_replies: Arc::new(Semaphore::new(WHOLE_REPLIES)),
            others: Arc::new(Semaphore::new(REQUESTS)),
        }
    }

    /// A place for a request to `path`; `None` when there is none. Readers wait for theirs, as others read on; a writer
    /// is told to come again, so that what waits is in the writers' memory.
    async fn take(&self, path: &str) -> Option<OwnedSemaphorePermit> {
        let now = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        let readers = match path.rsplit('/').next() {
            Some("ListConsignments") => &self.lists,
            Some("GetConsignments") => &self.whole_replies,
            Some("CreateConsignments") => return now(&self.loads),
            _ => return now(&self.others),
        };
        let place = Arc::clone(readers).acquire_owned();
        timeout(REQUEST_TIMEOUT, place).await.ok()?.ok()
    }
}

/// A reply's body, which keeps its request's place until it has been handed over or its peer has gone: until then it
/// takes memory, however slowly it is read. It is handed over in pieces, as HTTP/2 takes a piece of any size into its
/// buffers.
struct Placed {
    body: Body,
    rest: Bytes,
    _place: OwnedSemaphorePermit,
    /// Where its caller may be denied the rest of it.
    pass: Option<Pass>,
}

impl Placed {
    fn next_piece(&mut self) -> Frame<Bytes> {
        let length = self.rest.len().min(REPLY_PIECE);
        Frame::data(self.rest.split_to(length))
    }
}

impl HttpBody for Placed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.next_piece())));
        }
        if let Some(Err(refusal)) = self.pass.as_mut().map(Pass::holds) {
            self.pass = None;
            self.body = Body::empty();
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(match refusal.add_header(&mut trailers) {
                Ok(()) => Ok(Frame::trailers(trailers)),
                Err(unsayable) => Err(axum::Error::new(unsayable)),
            }));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            ended => return Poll::Ready(ended),
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                self.next_piece()
            }
            Err(trailers) => trailers,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}

impl Gate {
    pub(super) fn new(routes: Router, register: HeaderValue, guard: Option<Guard>) -> Self {
        Self {
            routes,
            register,
            room: Room::new(),
            guard,
        }
    }

    /// The gate for `peer`.
    pub(super) fn meets(&self, peer: Peer) -> PeersGate {
        PeersGate {
            gate: self.clone(),
            peer: self.guard.is_some().then(|| Arc::new(peer)),
        }
    }
}

impl PeersGate {
    async fn answer(self, mut request: Request<Incoming>) -> Response<Body> {
        let Self { gate, peer } = self;
        if let Some(wanted) = request.headers().get(REGISTER_KEY)
            && !gate.register.as_bytes().starts_with(wanted.as_bytes())
        {
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            return service::wrong_register(&text(wanted), &text(&gate.register)).into_http();
        }
        resolve_alias(request.uri_mut());
        let pass = match (gate.guard, peer) {
            (Some(guard), Some(peer)) => {
                match guard.check(&peer, request.uri().path(), request.headers()) {
                    Ok(pass) => pass,
                    Err(refusal) => return refusal.into_http(),
                }
            }
            _ => None,
        };
        let Some(place) = gate.room.take(request.uri().path()).await else {
            return service::overloaded().into_http();
        };
        let mut routes = gate.routes;
        match timeout(REQUEST_TIMEOUT, routes.call(request)).await {
            Ok(Ok(response)) => response.map(|body| {
                Body::new(Placed {
                    body,
                    rest: Bytes::new(),
                    _place: place,
                    pass,
                })
            }),
            Ok(Err(never)) => match never {},
            Err(_) => service::timed_out(REQUEST_TIMEOUT).into_http(),
        }
    }
}

impl Service<Request<Incoming>> for PeersGate {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let register = this.gate.register.clone();
            let mut response = this.answer(request).await;
            let key = HeaderName::from_static(REGISTER_KEY);
            response.headers_mut().insert(key, register);
            Ok(response)
        })
    }
}

/// The service has two names on the wire and one implementation.
fn resolve_alias(uri: &mut Uri) {
    let method = uri
        .path()
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(SERVICE_ALIAS));
    let Some(method) = method.filter(|method| method.starts_with('/')) else {
        return;
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(format!("/{SERVICE}{method}")).ok();
    if let Ok(resolved) = Uri::from_parts(parts) {
        *uri = resolved;
    }
}
