//! One connection to one server, and the register behind it.

use std::time::Duration;

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

use super::{Attempt, ClientError, error, find::Wanted};
use crate::{causes::chain, proto::REGISTER_KEY};

/// How long one connect may take: far more than it does on a local network.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a silent server is pinged while something is expected of it, and how long it may take to answer. A server
/// answers pings whatever else it has to do, so one that does not is cut off: streams then go on with another one
/// within 2 s.
const KEEPALIVE_INTERVAL: Duration = Duration::from_millis(750);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(1);
/// What a server may send before it is read, in bytes, for one stream and for the connection.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

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

/// A channel whose every request says which register it is for.
pub(super) type Service = InterceptedService<Channel, AskRegister>;

/// An open connection.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) candidate: Candidate,
    pub(super) service: Service,
    /// The id of the register that answers there.
    pub(super) register: String,
}

/// Names the wanted register in each request, so that any other refuses it before it does anything.
#[derive(Debug, Clone)]
pub(super) struct AskRegister(Option<MetadataValue<Ascii>>);

impl Interceptor for AskRegister {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(register) = &self.0 {
            request
                .metadata_mut()
                .insert(REGISTER_KEY, register.clone());
        }
        Ok(request)
    }
}

impl AskRegister {
    /// Text that cannot be sent is no register's id, so nothing is lost by leaving it out.
    fn new(register: &str) -> Self {
        Self(register.parse().ok().filter(|_| !register.is_empty()))
    }
}

/// Why a connection could not be opened.
pub(super) enum OpenFailure {
    /// The address is none.
    Address(String),
    /// The server cannot be reached or does not serve.
    Server(String),
    /// The server keeps this register, which is not the one asked for.
    AnotherRegister(String),
    /// The server refused to say what it serves.
    Refused(Status),
}

impl OpenFailure {
    pub(super) fn into_attempt(self, address: &str) -> Attempt {
        match self {
            Self::Server(reason) => Attempt::next(address, reason),
            Self::AnotherRegister(named) => Attempt::another_register(address, &named),
            Self::Address(reason) => Attempt::never(address, ClientError::Address(reason)),
            Self::Refused(status) => Attempt::never(address, ClientError::from_status(status)),
        }
    }
}

/// Connects to `candidate`. A server whose register is not known from discovery is asked for it before anything else,
/// so that nothing is ever sent to one register after another has answered.
pub(super) async fn open(candidate: Candidate, wanted: &Wanted) -> Result<Connection, OpenFailure> {
    if candidate.tls {
        let reason = "it expects TLS, which this version of shippy does not speak".into();
        return Err(OpenFailure::Server(reason));
    }
    let endpoint = Endpoint::from_shared(format!("http://{}", candidate.address))
        .and_then(|endpoint| endpoint.user_agent(concat!("shippy/", env!("CARGO_PKG_VERSION"))))
        .map_err(|error| OpenFailure::Address(format!("{}: {}", candidate.address, chain(&error))))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let channel = endpoint.connect().await;
    let channel = channel.map_err(|error| OpenFailure::Server(chain(&error)))?;
    let register = match candidate.register.as_str() {
        "" => ask_register(&channel, wanted).await?,
        register => register.to_owned(),
    };
    let ask = AskRegister::new(&register);
    Ok(Connection {
        candidate,
        service: InterceptedService::new(channel, ask),
        register,
    })
}

async fn ask_register(channel: &Channel, wanted: &Wanted) -> Result<String, OpenFailure> {
    let ask = AskRegister::new(wanted.text());
    let mut health = HealthClient::new(InterceptedService::new(channel.clone(), ask));
    let answer = health.check(HealthCheckRequest::default()).await;
    let metadata = match &answer {
        Ok(response) => response.metadata(),
        Err(status) => status.metadata(),
    };
    match (named_register(metadata), answer) {
        (Some(named), _) if !wanted.includes(&named) => Err(OpenFailure::AnotherRegister(named)),
        // Whatever it says of its health, the call itself will tell.
        (Some(named), _) => Ok(named),
        (None, Err(status)) if error::is_worth_repeating(&status) => {
            Err(OpenFailure::Server(error::describe(&status)))
        }
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
