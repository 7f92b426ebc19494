//! The register over plain HTTP, for what speaks no gRPC: browsers, curl, probes, Prometheus.
//!
//! It is the service of the contract in other words: each request is answered by an rpc, with its checks and its errors.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, HttpBody},
    response::{IntoResponse as _, Response},
    routing::get,
};
use bytes::Bytes;
use http::{
    Extensions, HeaderName, HeaderValue, Method, Request, StatusCode,
    header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS},
};
use prometheus_client::registry::Registry;
use tokio::sync::{Semaphore, watch};
use tonic::{Code, Status, metadata::MetadataMap};
use tower_service::Service as _;

use self::{
    board::{BOARD, PARTS},
    intake::Intake,
    problem::Problem,
    session::{Cookie, SESSION},
    vessels::Totals,
};
use crate::proto::shipping_service_server::ShippingService;

mod accept;
mod board;
mod create;
mod events;
mod health;
mod hosts;
mod intake;
mod list;
mod metrics;
mod openapi;
mod problem;
mod query;
mod session;
mod vessels;

pub use hosts::Hosts;
pub use intake::{Crowding, is_one, is_small_post};
pub use problem::broken_off;
pub use session::Visitor;

/// What stands in place of a service in the path of what no rpc does.
pub const OWN: &str = "http";

const CONSIGNMENTS: &str = "/v1/consignments";
const VESSELS: &str = "/v1/vessels";
const OPENAPI: &str = "/v1/openapi.json";
const METRICS: &str = "/metrics";
const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";

/// What is answered over HTTP.
#[derive(Clone)]
pub struct Web {
    routes: Router,
    hosts: Arc<Hosts>,
    /// In which pages keep a token, where there are any.
    cookie: Option<Cookie>,
    stopping: watch::Receiver<bool>,
}

/// What a register's service is answered with over HTTP.
pub struct Around {
    /// The register's id.
    pub register: String,
    /// Whether the server can do something for its callers at the moment.
    pub ready: watch::Receiver<bool>,
    /// Nothing more is received when this becomes true.
    pub stopping: watch::Receiver<bool>,
    /// What is done where too much is being received.
    pub crowding: Crowding,
    /// The server's own names.
    pub hosts: Arc<Hosts>,
    /// What is measured.
    pub metrics: Arc<Registry>,
}

/// A register's service, and what it is answered with.
struct Site<S> {
    service: S,
    register: String,
    intake: Intake,
    /// Whose turn it is to read a body.
    reading: Arc<Semaphore>,
    totals: Totals,
}

impl Web {
    /// All there is, in front of `service`.
    pub fn new<S: ShippingService>(service: S, around: Around) -> Self {
        let probes = probes(&around);
        let Around {
            register,
            stopping,
            crowding,
            hosts,
            metrics,
            ..
        } = around;
        let site = Site {
            service,
            register,
            intake: Intake::new(crowding, stopping.clone()),
            reading: Arc::new(Semaphore::new(create::READ_AT_ONCE)),
            totals: Totals::default(),
        };
        let cookie = Cookie::of(&site.register);
        let consignments = get(list::list::<S>).post(create::create::<S>);
        let register = Router::new()
            .route(CONSIGNMENTS, consignments)
            .route(VESSELS, get(vessels::vessels::<S>))
            .with_state(Arc::new(site));
        let own = Router::new()
            .route(OPENAPI, get(openapi::openapi))
            .route(METRICS, get(metrics::metrics).with_state(metrics));
        let routes = register.merge(own).merge(probes);
        let pages = board::routes().merge(session::routes(cookie.clone()));
        Self::of(routes.merge(pages), hosts, Some(cookie), stopping)
    }

    /// `/healthz` and `/readyz` alone.
    #[must_use]
    pub fn health(around: &Around) -> Self {
        let (hosts, stopping) = (Arc::clone(&around.hosts), around.stopping.clone());
        Self::of(probes(around), hosts, None, stopping)
    }

    fn of(
        routes: Router,
        hosts: Arc<Hosts>,
        cookie: Option<Cookie>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let routes = routes
            .fallback(nowhere)
            .method_not_allowed_fallback(other_method);
        Self {
            routes,
            hosts,
            cookie,
            stopping,
        }
    }

    /// Whether it has no register to show or to write to.
    #[must_use]
    pub fn is_health_alone(&self) -> bool {
        self.cookie.is_none()
    }

    /// What `arriving` is once it is there.
    ///
    /// # Errors
    ///
    /// What to tell its sender where the server begins to stop before that.
    pub async fn arrived<T>(&self, arriving: impl Future<Output = T>) -> Result<T, Status> {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            arrived = arriving => Ok(arrived),
            // Its sender being gone means the same.
            _ = stopping.wait_for(|stopping| *stopping) => Err(intake::stopped()),
        }
    }

    /// Lets the token that a page keeps in its cookie count as one that `request`, which came `by_tls` or not, is sent with.
    ///
    /// # Errors
    ///
    /// What to tell the sender of a write that does not show that it comes from a page of ours.
    pub fn open<B>(&self, request: &mut Request<B>, by_tls: bool) -> Result<(), Status> {
        match &self.cookie {
            Some(cookie) => cookie.open(request, by_tls),
            None => Ok(()),
        }
    }

    /// Answers `request`, if it is for this server.
    pub async fn answer<B>(mut self, request: Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let (parts, body) = request.into_parts();
        if let Err(problem) = self.hosts.check(&parts) {
            return sealed(problem.into_response());
        }
        let request = Request::from_parts(parts, Body::new(body));
        match self.routes.call(request).await {
            Ok(response) => sealed(response),
            Err(never) => match never {},
        }
    }
}

/// The path of the rpc that a request stands for: it takes the same scope and the same place, but for a small body of one
/// consignment, and counts as that. `None` for what stands for nothing.
#[must_use]
pub fn rpc(method: &Method, path: &str) -> Option<&'static str> {
    let reads = [Method::GET, Method::HEAD].contains(method);
    Some(match path {
        CONSIGNMENTS if reads => "/go.micro.srv.consignment.ShippingService/ListConsignments",
        CONSIGNMENTS if method == Method::POST => {
            "/go.micro.srv.consignment.ShippingService/CreateConsignments"
        }
        // A session begins with what may read at least.
        SESSION if method == Method::POST => "/http/SignIn",
        SESSION => "/http/Session",
        BOARD if reads => "/http/Board",
        part if reads && part.starts_with(PARTS) => "/http/Board",
        VESSELS if reads => "/http/Vessels",
        OPENAPI if reads => "/http/OpenApi",
        METRICS if reads => "/http/Metrics",
        HEALTHZ | READYZ if reads => "/grpc.health.v1.Health/Check",
        _ => return None,
    })
}

/// What is at `path`, whatever is in the place of names in it: one of few. `None` where there is nothing.
#[must_use]
pub fn route(path: &str) -> Option<&'static str> {
    const ROUTES: [&str; 8] = [
        CONSIGNMENTS,
        VESSELS,
        OPENAPI,
        METRICS,
        HEALTHZ,
        READYZ,
        SESSION,
        BOARD,
    ];
    let exact = ROUTES.into_iter().find(|route| *route == path);
    exact.or_else(|| path.starts_with(PARTS).then_some("/board/{part}"))
}

/// `message` to the service, with what is known of its sender.
fn asking<M>(message: M, extensions: Extensions) -> tonic::Request<M> {
    tonic::Request::from_parts(MetadataMap::new(), extensions, message)
}

/// `status` as callers over HTTP get it.
#[must_use]
pub fn refusal(status: &Status) -> Response {
    sealed(Problem::from(status).into_response())
}

/// No page of another site may read or show what is answered here, no browser is to guess what it is, and none may keep it.
fn sealed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // But for the parts of the board, which are the same for everybody.
    (headers.entry(CACHE_CONTROL)).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    response
}

fn probes(around: &Around) -> Router {
    let ready = around.ready.clone();
    Router::new()
        .route(HEALTHZ, get(health::alive))
        .route(READYZ, get(health::ready).with_state(ready))
}

async fn nowhere() -> Problem {
    let said = "there is nothing at this path: the register is at /v1/consignments";
    Problem::new(StatusCode::NOT_FOUND, Code::NotFound, said)
}

async fn other_method() -> Problem {
    let said = "this path does not take that method: the header Allow says which it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, said)
}
