//! One connection to one server, and the register behind it.

use std::{sync::Arc, time::Duration};

use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataMap, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};

use super::{
    Attempt, ClientError, Options,
    dialer::Dialer,
    error,
    find::Wanted,
    mismatch::{Found, Mismatch},
};
use crate::{
    causes::chain,
    proto::REGISTER_KEY,
    registry::{Instance, access::Secret},
};

/// How often a silent server is pinged while something is expected of it, and how long it may take to answer. A server
/// answers pings whatever else it has to do, so one that does not is cut off: streams then go on with another one
/// within 2 s.
const KEEPALIVE_INTERVAL: Duration = Duration::from_millis(750);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(1);
/// What a server may send before it is read, in bytes, for one stream and for the connection.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Largest frame that is taken, in bytes: a chunk of a list comes in one then instead of in five.
const FRAME: u32 = 128 * 1024;

/// Where a server may be.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// The id of its register; empty where only the server can tell.
    pub(super) register: String,
    /// `HOST:PORT`.
    pub(super) address: String,
    /// Whether it expects TLS.
    pub(super) tls: bool,
}

/// A channel whose every request says which register it is for, and whose it is.
pub(super) type Service = InterceptedService<Channel, Introduction>;

/// An open connection.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) candidate: Candidate,
    pub(super) service: Service,
    /// The id of the register that answers there.
    pub(super) register: String,
    /// What was found out about the server since.
    found: Arc<Found>,
}

impl Connection {
    /// Why the server will not ever do, where that is known.
    pub(super) fn mismatch(&self) -> Option<Mismatch> {
        self.found.get().cloned()
    }
}

/// Names the wanted register in each request, so that any other refuses it before it does anything, and shows the token
/// where there is one to show.
#[derive(Debug, Clone)]
pub(super) struct Introduction {
    register: Option<MetadataValue<Ascii>>,
    token: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Introduction {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        if let Some(register) = &self.register {
            metadata.insert(REGISTER_KEY, register.clone());
        }
        if let Some(token) = &self.token {
            metadata.insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Introduction {
    /// Text that cannot be sent is no register's id, so nothing is lost by leaving it out.
    fn new(register: &str, token: Option<&Secret>) -> Self {
        let token = token.and_then(|token| format!("Bearer {}", token.reveal()).parse().ok());
        Self {
            register: register.parse().ok().filter(|_| !register.is_empty()),
            token: token.map(|mut token: MetadataValue<Ascii>| {
                // Neither shown in a log nor kept in HTTP/2's table of headers.
                token.set_sensitive(true);
                token
            }),
        }
    }
}

/// Why a connection could not be opened.
pub(super) enum OpenFailure {
    /// The address is none.
    Address(String),
    /// The server cannot be reached or does not serve.
    Server(String),
    /// The server says that it may serve a little later.
    Busy(Status),
    /// The server keeps this register, which is not the one asked for.
    AnotherRegister(String),
    /// The server refused to say what it serves.
    Refused(Status),
    /// The two do not get to speak to each other.
    Mismatch(Mismatch),
}

impl OpenFailure {
    pub(super) fn into_attempt(self, address: &str) -> Attempt {
        match self {
            Self::Server(reason) => Attempt::next(address, reason),
            Self::Busy(status) => Attempt::next(address, error::describe(&status)),
            Self::AnotherRegister(named) => Attempt::another_register(address, &named),
            Self::Address(reason) => Attempt::never(address, ClientError::Address(reason)),
            Self::Refused(status) => Attempt::never(address, ClientError::from_status(status)),
            Self::Mismatch(mismatch) => mismatch.into_attempt(address),
        }
    }
}

/// Connects to `candidate`. A server whose register is not known from discovery is asked for it before anything else,
/// so that nothing is ever sent to one register after another has answered.
pub(super) async fn open(
    candidate: Candidate,
    wanted: &Wanted,
    options: &Options,
) -> Result<Connection, OpenFailure> {
    let dialer = dialer(&candidate, options).map_err(OpenFailure::Mismatch)?;
    let found = dialer.found();
    // What was found out says more than what came of it.
    let or_found = |failure| (found.get().cloned()).map_or(failure, OpenFailure::Mismatch);
    let endpoint = endpoint(&candidate.address, options.tls.is_some());
    let address = |error| OpenFailure::Address(format!("{}: {}", candidate.address, chain(&error)));
    let channel = (endpoint.map_err(address)?)
        .connect_with_connector(dialer)
        .await;
    let channel = channel.map_err(|error| or_found(OpenFailure::Server(chain(&error))))?;
    let register = match candidate.register.as_str() {
        "" => ask_register(&channel, wanted).await.map_err(or_found)?,
        register => register.to_owned(),
    };
    let introduction = Introduction::new(&register, options.token.as_ref());
    Ok(Connection {
        candidate,
        service: InterceptedService::new(channel, introduction),
        register,
        found,
    })
}

/// Whether a connection to `instance` can be opened at `address`, as `options` want it. Nothing is said on it.
pub(super) async fn is_open(instance: &Instance, address: &str, options: &Options) -> bool {
    let candidate = Candidate {
        register: instance.register.clone(),
        address: address.to_owned(),
        tls: instance.tls,
    };
    let Ok(dialer) = dialer(&candidate, options) else {
        return false;
    };
    match endpoint(address, options.tls.is_some()) {
        Ok(endpoint) => endpoint.connect_with_connector(dialer).await.is_ok(),
        Err(_) => false,
    }
}

/// How to connect to `candidate`.
///
/// # Errors
///
/// Why not to.
fn dialer(candidate: &Candidate, options: &Options) -> Result<Dialer, Mismatch> {
    let stays_here = options.token.is_some() && options.tls.is_none();
    if options.tls.is_none() && candidate.tls {
        return Err(Mismatch::needs_tls());
    }
    if stays_here && !options.is_named {
        // Whoever likes can answer a search.
        let reason =
            "nothing proves that the server that was found is the one that the token is for";
        return Err(Mismatch::token_in_clear(reason));
    }
    // What it is announced with decides nothing else: where TLS is wanted there is no other connection.
    Ok(Dialer::new(options.tls.clone(), stays_here))
}

/// tonic is not told of TLS: the dialer sees to it, and requests only name their scheme.
fn endpoint(address: &str, tls: bool) -> Result<Endpoint, tonic::transport::Error> {
    let scheme = if tls { "https" } else { "http" };
    let origin = format!("{scheme}://{address}").parse();
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .user_agent(concat!("shippy/", env!("CARGO_PKG_VERSION")))?
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME);
    // The address is one already.
    Ok(match origin {
        Ok(origin) => endpoint.origin(origin),
        Err(_) => endpoint,
    })
}

async fn ask_register(channel: &Channel, wanted: &Wanted) -> Result<String, OpenFailure> {
    let introduction = Introduction::new(wanted.text(), None);
    let mut health = HealthClient::new(InterceptedService::new(channel.clone(), introduction));
    let answer = health.check(HealthCheckRequest::default()).await;
    let metadata = match &answer {
        Ok(response) => response.metadata(),
        Err(status) => status.metadata(),
    };
    match (named_register(metadata), answer) {
        (Some(named), _) if !wanted.includes(&named) => Err(OpenFailure::AnotherRegister(named)),
        // Whatever it says of its health, the call itself will tell.
        (Some(named), _) => Ok(named),
        (None, Err(status)) if error::is_worth_repeating(&status) => Err(OpenFailure::Busy(status)),
        (None, Ok(_)) => Err(OpenFailure::Refused(not_shippy())),
        (None, Err(status)) if status.code() == Code::Unimplemented => {
            Err(OpenFailure::Refused(not_shippy()))
        }
        (None, Err(status)) => Err(OpenFailure::Refused(status)),
    }
}

fn not_shippy() -> Status {
    Status::unimplemented("what listens there is not shippy: its reply names no register")
}

/// The register that a reply names.
pub(super) fn named_register(metadata: &MetadataMap) -> Option<String> {
    Some(metadata.get(REGISTER_KEY)?.to_str().ok()?.to_owned())
}

/// What a health reply says.
pub(super) fn is_serving(reply: HealthCheckResponse) -> bool {
    reply.status() == ServingStatus::Serving
}
