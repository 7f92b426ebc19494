//! Finds a register, keeps to it, and calls it until it answers or time is up.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Response, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use self::{
    connection::{Candidate, Connection, Service},
    find::Wanted,
};
use crate::{
    proto::{self, Consignment, ListRequest, shipping_service_client::ShippingServiceClient},
    registry::{Instance, Registry},
};

mod connection;
mod error;
mod find;
mod listing;

pub use error::{ClientError, Failure};
pub use listing::Listing;

/// The pause after the candidates have been gone through in vain; each later one is twice as long, up to the longest.
/// A fresh discovery follows it.
const BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(1);
/// The most that one attempt gets of the whole time, so that a server that does not answer leaves time for others.
const ATTEMPT: Duration = Duration::from_secs(1);

/// What to call and for how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// The service's name.
    pub name: String,
    /// The register's id or the beginning of it, where several may answer.
    pub register: Option<String>,
    /// For finding and one answer together; in a stream, for the next sign of progress.
    pub timeout: Duration,
}

/// A client of one register: the first that is asked for something is the only one that ever is.
pub struct Client {
    registry: Arc<dyn Registry>,
    options: Options,
    /// The id of the register that this client keeps to, once one was asked for something.
    register: Option<String>,
    connection: Option<Connection>,
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether it serves.
    pub serving: bool,
    /// Its register's id.
    pub register: String,
    /// Where it answered, `HOST:PORT`.
    pub address: String,
}

impl Client {
    /// A client that finds servers in `registry` when it first needs one.
    #[must_use]
    pub fn new(registry: Arc<dyn Registry>, options: Options) -> Self {
        Self {
            registry,
            options,
            register: None,
            connection: None,
        }
    }

    /// Stores `consignment`, which must have an id: attempts are repeated, and only an id makes that safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; whether it was stored is then unknown except for [`ClientError::Refused`]. Calling again with
    /// the same consignment is safe.
    pub async fn create(
        &mut self,
        consignment: &Consignment,
    ) -> Result<proto::Response, ClientError> {
        debug_assert!(!consignment.id.is_empty(), "an id makes repeating safe");
        let act = async |service: Service| {
            let mut client = ShippingServiceClient::new(service);
            client.create_consignment(consignment.clone()).await
        };
        (self.call(self.deadline(), act).await).map(Response::into_inner)
    }

    /// When a call that begins now is given up.
    fn deadline(&self) -> Instant {
        Instant::now() + self.options.timeout
    }

    /// Lists what `request` asks for. Nothing is asked before the first [`Listing::next`].
    pub fn list(&mut self, request: ListRequest) -> Listing<'_> {
        Listing::new(self, request)
    }

    /// Asks a server whether it serves.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when none answers.
    pub async fn health(&mut self) -> Result<Health, ClientError> {
        let act = async |service| {
            HealthClient::new(service)
                .check(HealthCheckRequest::default())
                .await
        };
        let serving = connection::is_serving(self.call(self.deadline(), act).await?.into_inner());
        Ok(Health {
            serving,
            register: self.register.clone().unwrap_or_default(),
            address: self.address(),
        })
    }

    /// Where the server is that answered last.
    fn address(&self) -> String {
        let connection = self.connection.as_ref();
        connection.map_or_else(String::new, |connection| {
            connection.candidate.address.clone()
        })
    }

    /// Attempts `act` on one candidate after another, again and again, until one answers or it is `deadline`.
    async fn call<T>(
        &mut self,
        deadline: Instant,
        act: impl AsyncFn(Service) -> Result<Response<T>, Status>,
    ) -> Result<Response<T>, ClientError> {
        let begun = Instant::now();
        let mut failures = Vec::new();
        let mut back_off = BACK_OFF;
        let mut kept = self.connection.take();
        loop {
            let candidates = match &kept {
                Some(connection) => vec![connection.candidate.clone()],
                None => match self.candidates(deadline).await {
                    Err(ClientError::NoServer { .. }) if !failures.is_empty() => break,
                    candidates => candidates?,
                },
            };
            for candidate in candidates {
                match self.attempt(candidate, kept.take(), deadline, &act).await {
                    Ok(response) => return Ok(response),
                    Err(Attempt::Final(error)) => return Err(error),
                    Err(Attempt::Next(failure)) => failures.push(failure),
                }
            }
            if Instant::now() + back_off >= deadline {
                break;
            }
            sleep(back_off).await;
            back_off = (back_off * 2).min(LONGEST_BACK_OFF);
        }
        Err(ClientError::unanswered(failures, begun.elapsed()))
    }

    async fn candidates(&self, deadline: Instant) -> Result<Vec<Candidate>, ClientError> {
        let instances = find::find(
            &*self.registry,
            &self.options.name,
            &self.wanted(),
            deadline,
        )
        .await?;
        let candidates = instances.into_iter().flat_map(|instance| {
            let Instance { register, tls, .. } = instance;
            (instance.addresses.into_iter()).map(move |address| Candidate {
                register: register.clone(),
                address,
                tls,
            })
        });
        Ok(candidates.collect())
    }

    fn wanted(&self) -> Wanted {
        match (&self.register, &self.options.register) {
            (Some(id), _) => Wanted::Exactly(id.clone()),
            (None, Some(prefix)) => Wanted::Beginning(prefix.clone()),
            (None, None) => Wanted::Any,
        }
    }

    /// One attempt on one candidate; keeps the connection when it answers.
    async fn attempt<T>(
        &mut self,
        candidate: Candidate,
        connection: Option<Connection>,
        deadline: Instant,
        act: &impl AsyncFn(Service) -> Result<Response<T>, Status>,
    ) -> Result<Response<T>, Attempt> {
        let until = deadline.min(Instant::now() + ATTEMPT);
        let address = candidate.address.clone();
        let late = || Attempt::next(&address, "it did not answer in time");
        let connection = match connection {
            Some(connection) => connection,
            None => timeout_at(until, connection::open(candidate, &self.wanted()))
                .await
                .map_err(|_| late())?
                .map_err(|failure| failure.into_attempt(&address))?,
        };
        // Kept to from now on, answer or not: a request that got no answer may have been carried out.
        let is_first = self.register.is_none();
        self.register
            .get_or_insert_with(|| connection.register.clone());
        let result = timeout_at(until, act(connection.service.clone())).await;
        let result = result.map_err(|_| late())?;
        let metadata = (result.as_ref()).map_or_else(Status::metadata, Response::metadata);
        let named = connection::named_register(metadata);
        if let Err(status) = &result
            && error::is_worth_repeating(status)
        {
            return Err(Attempt::next(&address, error::describe(status)));
        }
        if named != self.register {
            if is_first {
                // That server carries nothing out in another register's name.
                self.register = None;
            }
            return Err(match named {
                Some(named) => Attempt::another_register(&address, &named),
                None => Attempt::next(
                    &address,
                    "what listens there is not shippy, as it names no register",
                ),
            });
        }
        self.connection = Some(connection);
        result.map_err(|status| Attempt::Final(ClientError::from_status(status)))
    }
}

/// How an attempt failed.
enum Attempt {
    /// Another attempt or another server may do better.
    Next(Failure),
    /// The answer would be the same again.
    Final(ClientError),
}

impl Attempt {
    fn next(address: &str, reason: impl Into<String>) -> Self {
        Self::Next(Failure {
            address: address.to_owned(),
            reason: reason.into(),
            is_another_register: false,
        })
    }

    fn another_register(address: &str, named: &str) -> Self {
        Self::Next(Failure {
            address: address.to_owned(),
            reason: format!("it keeps another register, {named}"),
            is_another_register: true,
        })
    }
}
