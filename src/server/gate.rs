//! What every request passes before it reaches the service, over gRPC or plain HTTP, and every reply after.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc};

use axum::{Router, body::Body};
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, header::CONTENT_TYPE,
    uri::PathAndQuery,
};
use hyper::{
    body::{Body as HttpBody, Incoming},
    service::Service,
};
use tokio::time::timeout;
use tonic::{Code, Status};
use tower_service::Service as _;

use super::{
    admission::{self, Admission},
    calls::{Call, Calls},
    counts::Refused,
    entry::{self, Entry},
    guard::{Admitted, Guard, Peer, is_open},
    limits::REQUEST_TIMEOUT,
    placed::{Held, Placed, code},
    request_id::{self, X_REQUEST_ID},
    room::Room,
    seats::Seat,
    traced::Traced,
};
use crate::{
    proto::{REGISTER_KEY, SERVICE, SERVICE_ALIAS},
    service::{self, Caller, RequestId},
    traces::Tracer,
    web::{self, Visitor, Web},
};

/// What the content type of every call of gRPC begins with.
const GRPC: &[u8] = b"application/grpc";

/// Serves `routes` in the name of one register.
pub(super) struct Gate {
    pub(super) routes: Router,
    /// What is not gRPC.
    pub(super) web: Web,
    pub(super) register: HeaderValue,
    pub(super) room: Arc<Room>,
    pub(super) calls: Calls,
    /// Where requests are traced.
    pub(super) tracer: Option<Tracer>,
    /// Where not everybody may call everything.
    pub(super) guard: Option<Guard>,
}

/// The gate as one peer meets it.
#[derive(Clone)]
pub(super) struct PeersGate {
    gate: Arc<Gate>,
    peer: Arc<Peer>,
    /// Who it is by its certificate, where nobody is asked for more.
    caller: Option<Caller>,
    /// Its connection's place.
    seat: Arc<Seat>,
}

impl Gate {
    /// The gate for `peer`, whose connection has `seat`.
    pub(super) fn meets(self: &Arc<Self>, peer: Peer, seat: Arc<Seat>) -> PeersGate {
        PeersGate {
            gate: Arc::clone(self),
            caller: (self.guard.is_none()).then(|| peer.caller()).flatten(),
            peer: Arc::new(peer),
            seat,
        }
    }
}

impl PeersGate {
    /// Answers `request`, which was `sent` with an id, if so.
    async fn answer(
        &self,
        mut request: Box<Request<Incoming>>,
        sent: Option<RequestId>,
    ) -> Response<Body> {
        let is_grpc = is_grpc(&request);
        let (rpc, mut call) = self.begin(&mut request, sent, is_grpc);
        match self.let_in(request, rpc, is_grpc, &mut call).await {
            Ok((response, held)) => {
                call.becomes(code_of(&response, is_grpc));
                call.is_answered(response.status());
                response.map(|body| Body::new(Placed::new(body, is_grpc, call, held)))
            }
            Err(refusal) => {
                call.becomes(refusal.code());
                let response = if is_grpc {
                    refusal.into_http()
                } else {
                    web::refusal(&refusal)
                };
                call.is_answered(response.status());
                response
            }
        }
    }

    /// The rpc that `request` stands for, where it is one over HTTP, and the call that begins with it. It was `sent` with an
    /// id, if so.
    fn begin(
        &self,
        request: &mut Request<Incoming>,
        sent: Option<RequestId>,
        is_grpc: bool,
    ) -> (Option<&'static str>, Call) {
        let traced = self.trace(request, is_grpc);
        let sent = sent.or_else(|| traced.as_ref().map(Traced::trace_id));
        let entry = identify(request, sent, is_grpc, &self.peer);
        let traced = traced.map(|traced| traced.join(request.extensions_mut()));
        let rpc = if is_grpc {
            resolve_alias(request.uri_mut());
            None
        } else {
            web::rpc(request.method(), request.uri().path())
        };
        let path = rpc.unwrap_or(request.uri().path());
        let mut call = self.gate.calls.begin(path);
        if let Some(entry) = entry {
            call.is_logged_as(entry);
        }
        if let Some(traced) = traced {
            call.is_traced_as(traced);
        }
        (rpc, call)
    }

    /// The span of `request`, where it has one.
    fn trace(&self, request: &Request<Incoming>, is_grpc: bool) -> Option<Traced> {
        let tracer = self.gate.tracer.as_ref()?;
        Traced::begin(tracer, request, is_grpc, self.peer.address)
    }

    /// Answers `request`, which stands for `rpc` where that is not what is at its path, and says what it holds meanwhile.
    async fn let_in(
        &self,
        mut request: Box<Request<Incoming>>,
        rpc: Option<&'static str>,
        is_grpc: bool,
        call: &mut Call,
    ) -> Result<(Response<Body>, Held), Status> {
        let Self {
            gate, peer, seat, ..
        } = self;
        let busy = seat.begin();
        if let Some(wanted) = request.headers().get(REGISTER_KEY)
            && !gate.register.as_bytes().starts_with(wanted.as_bytes())
        {
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            return Err(service::wrong_register(
                &text(wanted),
                &text(&gate.register),
            ));
        }
        if !is_grpc {
            gate.web.open(&mut request, peer.is_by_tls)?;
            let visitor = match &gate.guard {
                None => Visitor::anybody(),
                Some(guard) => guard.visitor(peer, request.headers()),
            };
            request.extensions_mut().insert(visitor);
        }
        let path = rpc.unwrap_or(request.uri().path());
        let Admitted { caller, pass } = match &gate.guard {
            None => Admitted {
                caller: self.caller.clone(),
                pass: None,
            },
            Some(guard) => guard.check(peer, path, request.headers())?,
        };
        // Where health alone is answered, nobody has more of a right to a place than others.
        if !is_open(path) && !gate.web.is_health_alone() {
            seat.know();
        }
        let room = &gate.room;
        let sort = room.sort(rpc.or(is_grpc.then_some(path)));
        if let Some(caller) = caller {
            if let Some(entry) = call.entry() {
                entry.is_by(&caller);
            }
            request.extensions_mut().insert(caller);
        }
        let Admission {
            request,
            sort,
            place,
            share,
        } = admission::admit(room, &gate.web, sort, request, is_grpc).await?;
        let answered = if is_grpc {
            let answered = timeout(REQUEST_TIMEOUT, gate.routes.clone().call(request)).await;
            answered.map(|Ok(response)| response)
        } else {
            // By itself, or every request would have room for it.
            let answering = Box::pin(gate.web.clone().answer(request));
            timeout(REQUEST_TIMEOUT, answering).await
        };
        drop(share);
        let response = answered.map_err(|_| {
            room.count(Refused::Time);
            service::timed_out(REQUEST_TIMEOUT)
        })?;
        if !is_grpc && response.status() == StatusCode::PAYLOAD_TOO_LARGE {
            room.count(Refused::Size);
        }
        let held = Held {
            _place: sort.kept(place),
            _busy: busy,
            most_unread: sort.most_unread(),
            unread: Arc::clone(&sort.unread),
            seat: Arc::clone(seat),
            pass,
        };
        Ok((response, held))
    }
}

/// Has all that is done for `request` know its id, with a new one where it is logged and none was `sent`; what to log of it,
/// where it is.
fn identify(
    request: &mut Request<Incoming>,
    sent: Option<RequestId>,
    is_grpc: bool,
    peer: &Peer,
) -> Option<Entry> {
    let is_logged = entry::is_logged();
    let id = sent.or_else(|| is_logged.then(request_id::made))?;
    request.extensions_mut().insert(id.clone());
    is_logged.then(|| Entry::new(id, request, is_grpc, peer.address))
}

/// What has become of a request when its reply begins. How a reply ends that is still to come is seen when it does.
fn code_of(response: &Response<Body>, is_grpc: bool) -> Code {
    if is_grpc {
        return code(response.headers()).unwrap_or(Code::Cancelled);
    }
    let is_there = response.body().size_hint().exact().is_some();
    let known = response.extensions().get::<Code>().copied();
    known.unwrap_or(if is_there { Code::Ok } else { Code::Cancelled })
}

/// Whether `request` is a call of gRPC (its specification, "Requests"), which there is over HTTP/2 alone.
fn is_grpc<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    request.version() == Version::HTTP_2
        && content_type.is_some_and(|value| value.as_bytes().starts_with(GRPC))
}

impl Service<Request<Incoming>> for PeersGate {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let this = self.clone();
        // Each function that it goes through has a place of its own for what it is given, so that a request as it is would
        // make all of this several times as large.
        let request = Box::new(request);
        Box::pin(async move {
            let sent = request_id::sent(request.headers());
            let said = (sent.as_ref()).and_then(|RequestId(id)| HeaderValue::from_str(id).ok());
            let mut response = this.answer(request, sent).await;
            let headers = response.headers_mut();
            headers.insert(
                HeaderName::from_static(REGISTER_KEY),
                this.gate.register.clone(),
            );
            if let Some(id) = said {
                headers.insert(&X_REQUEST_ID, id);
            }
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
