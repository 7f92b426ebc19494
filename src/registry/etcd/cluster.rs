//! The members of an etcd cluster: calls one that answers, in the name of the configured user.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::timeout;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use super::{
    node::PREFIX,
    proto::{
        AuthenticateRequest, auth_client::AuthClient, kv_client::KvClient,
        lease_client::LeaseClient, watch_client::WatchClient,
    },
};
use crate::{
    causes::chain,
    escape::escape_control,
    registry::{
        RegistryError,
        access::{self, Access, PASSWORD, USER, User},
    },
};

/// How long a connection to one member may take, and its answer: both take milliseconds when it is well, and there are
/// others when it is not.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a silent member is pinged while it is waited for, and how long it may take to answer. etcd closes
/// connections that ping more often than every 5 s (`--grpc-keepalive-min-time`).
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(6);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A cluster that calls are made to.
pub(super) struct Cluster {
    places: String,
    members: Vec<Member>,
    user: Option<User>,
    /// The connection that answered last.
    open: Mutex<Option<Session>>,
}

struct Member {
    /// `HOST:PORT`.
    address: String,
    tls: bool,
    endpoint: Endpoint,
}

impl Member {
    /// Why it is of no use, with what to try where one side may speak TLS and the other not.
    fn reason(&self, mut reason: String) -> String {
        let is_of_talk = |text: &&str| reason.contains(*text);
        let talk = [
            "connection error",
            "onnection reset",
            "corrupt message",
            "handshake eof",
        ];
        if !reason.contains("tcp connect error") && talk.iter().any(is_of_talk) {
            reason.push_str(if self.tls {
                "; if it speaks no TLS, leave https:// out"
            } else {
                "; if it speaks TLS, write https:// before its address"
            });
        }
        reason
    }
}

/// A connection to one member.
#[derive(Clone)]
pub(super) struct Session {
    member: usize,
    service: Service,
}

pub(super) type Service = InterceptedService<Channel, Credentials>;

/// Says who calls.
#[derive(Clone)]
pub(super) struct Credentials(Option<MetadataValue<Ascii>>);

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("token", token.clone());
        }
        Ok(request)
    }
}

impl Session {
    pub(super) fn kv(self) -> KvClient<Service> {
        KvClient::new(self.service)
    }

    pub(super) fn lease(self) -> LeaseClient<Service> {
        LeaseClient::new(self.service)
    }

    pub(super) fn watch(self) -> WatchClient<Service> {
        WatchClient::new(self.service)
    }
}

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// No member can be reached or has done its part: each with the reason.
    Away(String),
    /// The settings are at fault, and this says which.
    Refused(String),
    /// A member answered so, and another one would, too.
    Answered(Status),
}

impl Cluster {
    /// Sets the connections up; none is made yet.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unusable`] when one cannot be.
    pub(super) fn new(access: &Access, user: Option<User>) -> Result<Self, RegistryError> {
        let member = |place: &access::Endpoint| {
            let address = place.address.to_string();
            let unusable = |error: tonic::transport::Error| RegistryError::Unusable {
                registry: format!("etcd at {address}"),
                reason: match chain(&error) {
                    reason if place.tls && access.authority.is_none() => format!(
                        "{reason}; name the authority that its certificate comes from with --registry-ca FILE"
                    ),
                    reason => reason,
                },
            };
            let endpoint = endpoint(place, access.authority.as_deref()).map_err(unusable)?;
            let tls = place.tls;
            Ok(Member {
                address,
                tls,
                endpoint,
            })
        };
        Ok(Self {
            places: access.places(),
            members: access
                .endpoints
                .iter()
                .map(member)
                .collect::<Result<_, _>>()?,
            user,
            open: Mutex::new(None),
        })
    }

    /// What it is and where, for people.
    pub(super) fn describe(&self) -> String {
        format!("etcd at {}", self.places)
    }

    /// Calls members one after another, beginning with the one that answered last, until `act` has an answer from one.
    pub(super) async fn call<T, F>(
        &self,
        act: impl Fn(Session) -> F + Send + Sync,
    ) -> Result<T, Failure>
    where
        T: Send,
        F: Future<Output = Result<T, Status>> + Send,
    {
        let mut first = 0;
        if let Some(session) = self.kept() {
            // Where there is another one, it is asked first if this one fails.
            first = session.member + 1;
            match answered(act(session)).await {
                Ok(answer) => return Ok(answer),
                // The connection may have broken or the login lapsed long ago: neither says anything of now.
                Err(status) if is_passing(&status) || is_of_login(&status) => self.keep(None),
                Err(status) => return Err(Failure::Answered(status)),
            }
        }
        let mut failures = Vec::new();
        let mut refused = None;
        for offset in 0..self.members.len() {
            let index = (first + offset) % self.members.len();
            match self.call_member(index, &act).await {
                Err(Failure::Away(reason)) => {
                    failures.push(format!("{}: {reason}", self.members[index].address));
                }
                Err(Failure::Refused(reason)) => {
                    refused.get_or_insert(reason);
                }
                settled => return settled,
            }
        }
        // What the settings can mend comes before what may pass.
        Err(refused.map_or_else(|| Failure::Away(failures.join("; ")), Failure::Refused))
    }

    /// Calls the member `index` over a new connection, which is kept if there is an answer.
    async fn call_member<T, F>(
        &self,
        index: usize,
        act: &(impl Fn(Session) -> F + Send + Sync),
    ) -> Result<T, Failure>
    where
        T: Send,
        F: Future<Output = Result<T, Status>> + Send,
    {
        let session = self.connect(index).await?;
        let result = answered(act(session.clone())).await;
        match result {
            Err(status) if is_passing(&status) => {
                Err(Failure::Away(self.members[index].reason(said(&status))))
            }
            answered => {
                self.keep(Some(session));
                answered.map_err(Failure::Answered)
            }
        }
    }

    /// What `failure` is to whoever uses the registry.
    pub(super) fn error(&self, failure: Failure) -> RegistryError {
        let registry = self.describe();
        match failure {
            Failure::Away(reason) => RegistryError::Away {
                // The reasons name the places.
                registry: "etcd".to_owned(),
                reason,
            },
            Failure::Refused(reason) => RegistryError::Refused { registry, reason },
            Failure::Answered(status) => RegistryError::Refused {
                registry,
                reason: self.refusal(&status),
            },
        }
    }

    fn kept(&self) -> Option<Session> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clone()
    }

    fn keep(&self, session: Option<Session>) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }

    /// Connects to the member `index` and logs in.
    async fn connect(&self, index: usize) -> Result<Session, Failure> {
        let member = &self.members[index];
        let late = |_| Failure::Away(format!("no connection within {CONNECT_TIMEOUT:?}"));
        let connected = timeout(CONNECT_TIMEOUT, member.endpoint.connect());
        let channel = connected.await.map_err(late)?.map_err(|error| {
            let reason = chain(&error);
            // rustls begins so whatever is wrong with one (`rustls::Error`'s text).
            if reason.contains("invalid peer certificate") {
                Failure::Refused(access::untrusted(&member.address, &reason))
            } else {
                Failure::Away(member.reason(reason))
            }
        })?;
        let token = match &self.user {
            Some(user) => log_in(channel.clone(), user).await?,
            None => None,
        };
        Ok(Session {
            member: index,
            service: InterceptedService::new(channel, Credentials(token)),
        })
    }

    /// What a member said, and what can be done about it.
    fn refusal(&self, status: &Status) -> String {
        let text = said(status);
        let advice = match (status.code(), &self.user) {
            (Code::InvalidArgument, None) if text.contains("user name is empty") => {
                format!("it wants a user: set {USER} and {PASSWORD}")
            }
            (Code::InvalidArgument, Some(user)) if text.contains("authentication failed") => {
                let name = escape_control(&user.name);
                format!("check {USER} ({name}) and {PASSWORD}")
            }
            (Code::PermissionDenied, Some(user)) => {
                let name = escape_control(&user.name);
                format!("the user {name} needs a role that may read and write under {PREFIX}")
            }
            (Code::Unimplemented, _) => "what listens there is not etcd's v3 API".to_owned(),
            _ => return text,
        };
        format!("{text}; {advice}")
    }
}

fn endpoint(
    place: &access::Endpoint,
    authority: Option<&[u8]>,
) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(place.uri())?
        .user_agent(concat!("shippy/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    if !place.tls {
        return Ok(endpoint);
    }
    let trust = ClientTlsConfig::new();
    endpoint.tls_config(match authority {
        Some(pem) => trust.ca_certificate(Certificate::from_pem(pem)),
        None => trust.with_native_roots(),
    })
}

/// The token that stands for `user`; `None` where etcd asks nobody who they are.
async fn log_in(channel: Channel, user: &User) -> Result<Option<MetadataValue<Ascii>>, Failure> {
    let request = AuthenticateRequest {
        name: user.name.clone(),
        password: user.password.reveal().to_owned(),
    };
    let mut client = AuthClient::new(channel);
    match answered(client.authenticate(request)).await {
        Ok(answer) => match answer.into_inner().token.parse::<MetadataValue<Ascii>>() {
            Ok(mut token) => {
                token.set_sensitive(true);
                Ok(Some(token))
            }
            Err(_) => Err(Failure::Away("its login token cannot be sent".to_owned())),
        },
        // Authentication is not enabled.
        Err(status) if status.code() == Code::FailedPrecondition => Ok(None),
        Err(status) if is_passing(&status) => Err(Failure::Away(said(&status))),
        Err(status) => Err(Failure::Answered(status)),
    }
}

async fn answered<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    timeout(ANSWER_TIMEOUT, call).await.unwrap_or_else(|_| {
        let text = format!("no answer within {ANSWER_TIMEOUT:?}");
        Err(Status::deadline_exceeded(text))
    })
}

/// Whether another member, or the same one later, may do better.
fn is_passing(status: &Status) -> bool {
    use std::error::Error as _;

    // A status with a source was made on this side of the wire.
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) || status.source().is_some()
}

/// Whether a new login may mend it: tokens lapse, change with the rights of any user, and may be asked for from now on.
fn is_of_login(status: &Status) -> bool {
    let text = status.message();
    status.code() == Code::Unauthenticated
        || text.contains("revision of auth store")
        || text.contains("user name is empty")
}

/// What a status says, made safe to show.
pub(super) fn said(status: &Status) -> String {
    use std::error::Error as _;

    match status.source() {
        Some(source) => chain(source),
        None => escape_control(status.message()).into_owned(),
    }
}
