//! Finds a register, keeps to it, and calls it until it answers or time is up.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Response, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use self::{
    connection::{Candidate, Connection, Service},
    find::Wanted,
};
use crate::{
    proto::{self, Consignment, ListRequest, shipping_service_client::ShippingServiceClient},
    registry::Registry,
};

mod connection;
mod error;
mod find;
mod listing;

pub use error::{ClientError, Failure};
pub use listing::Listing;

/// How often the candidates are gone through before a call is given up; a fresh discovery lies between.
const ROUNDS: u32 = 3;
/// The pause before the second round; each later one is three times as long.
const BACK_OFF: Duration = Duration::from_millis(100);
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
        self.call(act).await.map(Response::into_inner)
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
        let serving = connection::is_serving(self.call(act).await?.into_inner());
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

    /// Attempts `act` on one candidate after another until one answers.
    async fn call<T>(
        &mut self,
        act: impl AsyncFn(Service) -> Result<Response<T>, Status>,
    ) -> Result<Response<T>, ClientError> {
        let begun = Instant::now();
        let deadline = begun + self.options.timeout;
        let mut failures = Vec::new();
        if let Some(connection) = self.connection.take() {
            let candidate = connection.candidate.clone();
            match self
                .attempt(candidate, Some(connection), deadline, &act)
                .await
            {
                Ok(response) => return Ok(response),
                Err(Attempt::Final(error)) => return Err(error),
                Err(Attempt::Next(failure)) => failures.push(failure),
            }
        }
        for round in 0..ROUNDS {
            if round > 0 {
                let pause = BACK_OFF * 3_u32.pow(round - 1);
                sleep_until((Instant::now() + pause).min(deadline)).await;
            }
            let candidates = match self.candidates(deadline).await {
                Err(ClientError::NoServer { .. }) if !failures.is_empty() => break,
                candidates => candidates?,
            };
            for candidate in candidates {
                match self.attempt(candidate, None, deadline, &act).await {
                    Ok(response) => return Ok(response),
                    Err(Attempt::Final(error)) => return Err(error),
                    Err(Attempt::Next(failure)) => failures.push(failure),
                }
            }
            if Instant::now() >= deadline {
                break;
            }
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
        let candidate = |register: &str, address: String| Candidate {
            register: register.to_owned(),
            address,
        };
        Ok((instances.into_iter())
            .flat_map(|instance| {
                let register = instance.register;
                (instance.addresses.into_iter()).map(move |address| candidate(&register, address))
            })
            .collect())
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
        let address = candidate.address.clone();
        let next = |reason: String| {
            Attempt::Next(Failure {
                address: address.clone(),
                reason,
            })
        };
        let until = deadline.min(Instant::now() + ATTEMPT);
        let late = || next("it did not answer in time".into());
        let connection = match connection {
            Some(connection) => connection,
            None => timeout_at(until, connection::open(candidate, &self.wanted()))
                .await
                .map_err(|_| late())?
                .map_err(|failure| failure.into_attempt(next))?,
        };
        // Kept to from now on, answer or not: a request that got no answer may have been carried out.
        let is_first = self.register.is_none();
        let register = self
            .register
            .get_or_insert(connection.register.clone())
            .clone();
        let result = timeout_at(until, act(connection.service.clone())).await;
        let result = result.map_err(|_| late())?;
        let metadata = result
            .as_ref()
            .map_or_else(Status::metadata, Response::metadata);
        if let Some(named) = connection::named_register(metadata).filter(|named| *named != register)
        {
            if is_first {
                // That server carries nothing out in another register's name.
                self.register = None;
            }
            return Err(next(format!("it keeps another register, {named}")));
        }
        match result {
            Err(status) if error::is_worth_repeating(&status) => {
                Err(next(error::describe(&status)))
            }
            answered => {
                self.connection = Some(connection);
                answered.map_err(|status| Attempt::Final(ClientError::from_status(status)))
            }
        }
    }
}

/// How an attempt failed.
enum Attempt {
    /// Another attempt or another server may do better.
    Next(Failure),
    /// The answer would be the same again.
    Final(ClientError),
}
