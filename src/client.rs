//! Finds a register, keeps to it, and calls it until it answers or time is up.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};
use tonic::{Response, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use self::{
    attempt::{Attempt, Time},
    connection::{Candidate, Connection, OpenFailure, Service},
    find::Wanted,
    opening::{Opened, Opening},
    servers::Servers,
    tls::Tls,
};
use crate::{
    proto::{
        self, Consignment, CreateChunk, ListRequest, shipping_service_client::ShippingServiceClient,
    },
    registry::{Registry, access::Secret},
};

mod attempt;
mod connection;
mod dialer;
mod error;
mod find;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod identify;
mod listing;
mod load;
mod mismatch;
mod opening;
pub mod probe;
mod servers;
pub mod survey;
pub mod tls;

pub use error::{ClientError, Failure, TOLD_MAX};
use listing::FOLLOW_PATIENCE;
pub use listing::Listing;
pub use load::{LOAD_WINDOW, Load};

/// The pause after the candidates have been gone through in vain; each later one is twice as long, up to the longest.
/// A fresh discovery follows it.
const BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(1);
/// How long a stream may stand still, though its server lives, before another server is asked: that one may have been cut
/// off from what it keeps the register in. It is more than a server lets pass between two signs of life in a followed
/// list, if not by much, as asking another one costs little.
const STALL: Duration = Duration::from_secs(2);
/// How long to look for servers again where some are known: those may well be there when the registry is not.
const DISCOVERY: Duration = Duration::from_secs(1);

/// What to call and for how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// The service's name.
    pub name: String,
    /// The register's id or the beginning of it, where several may answer.
    pub register: Option<String>,
    /// For finding and one answer together; in a stream, for the next sign of progress.
    pub timeout: Duration,
    /// How to know servers, which speak TLS then; in clear without it.
    pub tls: Option<Tls>,
    /// What to prove by that one may do what one asks for. It is sent by TLS, or in clear within this machine to servers
    /// that are [named](Self::is_named), and else the call fails.
    pub token: Option<Secret>,
    /// Whether the caller has named the servers' addresses, so that none was looked up.
    pub is_named: bool,
}

/// A client of one register: the first that is asked for something is the only one that ever is. Servers that share it
/// are as good as each other: a client asks one of them, which is another one from client to client, and goes on with
/// the others where that one does not answer.
pub struct Client {
    registry: Arc<dyn Registry>,
    options: Arc<Options>,
    /// The id of the register that this client keeps to, once one was asked for something.
    register: Option<String>,
    connection: Option<Connection>,
    servers: Servers,
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
            options: Arc::new(options),
            register: None,
            connection: None,
            servers: Servers::default(),
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

    /// When a server that lives but gets nowhere has had its time: only when the call has, where there is no other.
    fn patience(&self) -> Instant {
        let time = if self.servers.are_several() {
            STALL
        } else {
            self.options.timeout.max(FOLLOW_PATIENCE)
        };
        Instant::now() + time
    }

    /// Lists what `request` asks for. Nothing is asked before the first [`Listing::next`].
    pub fn list(&mut self, request: ListRequest) -> Listing<'_> {
        Listing::new(self, request)
    }

    /// Stores what comes out of `chunks`. Nothing is sent before the first [`Load::next`]. Each consignment must have
    /// an id: what was not answered is sent again over the next connection, and only an id makes that safe.
    pub fn load(&mut self, chunks: mpsc::Receiver<CreateChunk>) -> Load<'_> {
        Load::new(self, chunks)
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

    /// Heeds what a stream was broken off with; why that was.
    fn heed(&mut self, status: &Status) -> String {
        self.servers.heed(&self.address(), status);
        error::describe(status)
    }

    /// Gives the connection up after a stream on it that began at `begun` has broken for `reason`, and waits a little,
    /// unless there is no time left for another before `deadline`.
    async fn give_up(
        &mut self,
        reason: String,
        begun: Instant,
        deadline: Instant,
    ) -> Result<(), ClientError> {
        let failure = Failure {
            address: self.address(),
            reason,
            is_another_register: false,
        };
        self.connection = None;
        self.servers.note_failure(&failure.address);
        tracing::debug!("a stream broke: {failure}");
        if Instant::now() + BACK_OFF >= deadline {
            return Err(ClientError::unanswered(vec![failure], begun.elapsed()));
        }
        sleep(BACK_OFF).await;
        Ok(())
    }

    /// Attempts `act` on one server after another, again and again, until one answers or it is `deadline`.
    async fn call<T>(
        &mut self,
        deadline: Instant,
        act: impl AsyncFn(Service) -> Result<Response<T>, Status>,
    ) -> Result<Response<T>, ClientError> {
        let begun = Instant::now();
        let time = Time { begun, deadline };
        let mut failures = Vec::new();
        if let Some(connection) = self.connection.take() {
            match self.attempt(connection, time, &act).await {
                Ok(response) => return Ok(response),
                Err(Attempt::Final(error)) => return Err(error),
                Err(Attempt::Next(failure) | Attempt::Never(failure, _)) => {
                    self.servers.note_failure(&failure.address);
                    failures.push(failure);
                }
            }
        }
        // Those that are known already may do at once what this one did not.
        let mut candidates = self.servers.candidates();
        candidates.retain(|one| (failures.iter()).all(|failure| failure.address != one.address));
        let mut back_off = BACK_OFF;
        loop {
            if candidates.is_empty() {
                self.discover(deadline).await?;
                candidates = self.servers.candidates();
            }
            let answer = (self.round(candidates, time, &act, &mut failures)).await?;
            if let Some(response) = answer {
                return Ok(response);
            }
            let pause = back_off.max(self.servers.least_wait());
            if Instant::now() + pause >= deadline {
                failures.extend(self.servers.said());
                return Err(ClientError::unanswered(failures, begun.elapsed()));
            }
            sleep(pause).await;
            back_off = (back_off * 2).min(LONGEST_BACK_OFF);
            candidates = Vec::new();
        }
    }

    /// Attempts `act` once on each of `candidates`, until one answers.
    ///
    /// # Errors
    ///
    /// An answer that would be the same again, or that none of them can ever do.
    async fn round<T>(
        &mut self,
        candidates: Vec<Candidate>,
        time: Time,
        act: &impl AsyncFn(Service) -> Result<Response<T>, Status>,
        failures: &mut Vec<Failure>,
    ) -> Result<Option<Response<T>>, ClientError> {
        let mut unfit = None;
        let mut may_do = false;
        let has_time = time.is_enough();
        // One that is left alone may serve later.
        let are_all_asked = self.servers.said().next().is_none();
        let mut opening = Opening::new(
            candidates,
            self.wanted(),
            Arc::clone(&self.options),
            time.deadline,
        );
        while let Some(Opened { address, result }) = opening.next().await {
            if self.servers.is_held(&address) {
                continue;
            }
            if let Err(OpenFailure::Busy(status)) = &result {
                self.servers.heed(&address, status);
            }
            let answer = match result {
                Ok(connection) => {
                    let overtaken = opening.overtaken().iter();
                    overtaken.for_each(|address| self.servers.note_failure(address));
                    self.attempt(connection, time, act).await
                }
                Err(failure) => Err(failure.into_attempt(&address)),
            };
            let failure = match answer {
                Ok(response) => return Ok(Some(response)),
                Err(Attempt::Final(error)) => return Err(error),
                Err(Attempt::Never(failure, error)) => {
                    unfit.get_or_insert(error);
                    failure
                }
                Err(Attempt::Next(failure)) => {
                    may_do = true;
                    failure
                }
            };
            tracing::debug!("no answer: {failure}");
            self.servers.note_failure(&address);
            // That a server did not answer in the little time that was left says less than what was told before.
            if has_time || failures.iter().all(|known| known.address != address) {
                failures.push(failure);
            }
        }
        match unfit {
            Some(error) if !may_do && are_all_asked && self.servers.said().next().is_none() => {
                Err(error)
            }
            _ => Ok(None),
        }
    }

    /// Looks for the register's servers. Where none is found now, those that were are still known.
    async fn discover(&mut self, deadline: Instant) -> Result<(), ClientError> {
        let until = if self.servers.is_empty() {
            deadline
        } else {
            deadline.min(Instant::now() + DISCOVERY)
        };
        let (name, wanted) = (&self.options.name, self.wanted());
        match find::find(&*self.registry, name, &wanted, &self.options, until).await {
            Ok(found) if self.register.is_none() => {
                let registry = &*self.registry;
                let options = &self.options;
                let found = identify::identify(registry, found, &wanted, options, deadline).await?;
                self.servers.set(found);
            }
            Ok(found) => self.servers.set(found),
            Err(ClientError::NoServer { .. } | ClientError::Registry { .. })
                if !self.servers.is_empty() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn wanted(&self) -> Wanted {
        match (&self.register, &self.options.register) {
            (Some(id), _) => Wanted::Exactly(id.clone()),
            (None, Some(prefix)) => Wanted::Beginning(prefix.clone()),
            (None, None) => Wanted::Any,
        }
    }

    /// One attempt over one connection, which is kept when it answers.
    async fn attempt<T>(
        &mut self,
        connection: Connection,
        time: Time,
        act: &impl AsyncFn(Service) -> Result<Response<T>, Status>,
    ) -> Result<Response<T>, Attempt> {
        let until = time.next_attempt();
        let address = connection.candidate.address.clone();
        if !self.wanted().includes(&connection.register) {
            // It was opened beside another that was asked first.
            return Err(Attempt::another_register(&address, &connection.register));
        }
        // Kept to from now on, answer or not: a request that got no answer may have been carried out.
        let is_first = self.register.is_none();
        self.register
            .get_or_insert_with(|| connection.register.clone());
        let result = timeout_at(until, act(connection.service.clone())).await;
        let result = result.map_err(|_| Attempt::next(&address, "it did not answer in time"))?;
        let metadata = (result.as_ref()).map_or_else(Status::metadata, Response::metadata);
        let named = connection::named_register(metadata);
        if let Err(status) = &result
            && error::is_worth_repeating(status)
        {
            if let Some(mismatch) = connection.mismatch() {
                return Err(mismatch.into_attempt(&address));
            }
            self.servers.heed(&address, status);
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
        self.servers.note_answer(&address);
        self.connection = Some(connection);
        result.map_err(|status| Attempt::Final(ClientError::from_status(status)))
    }
}
