//! A register in a PostgreSQL database, which any number of servers share.
//!
//! One task of each server commits for everybody who waits there (group commit). It locks the register's counter, so
//! that the sequence numbers of all servers together are gapless and in the order of commits. Plain SQL, so that
//! databases that speak PostgreSQL's protocol can serve; what PostgreSQL itself has beyond it is used where it is.

use std::{future::Future, io, sync::Arc, thread, time::Duration};

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use tokio::{
    runtime::{Builder, Handle},
    sync::watch,
    task::AbortHandle,
    time::sleep,
};
use tokio_postgres::error::SqlState;
use tokio_util::task::AbortOnDropHandle;

pub use self::address::PostgresUrl;
use self::{
    commit::Committer,
    connect::Connector,
    failure::{Failure, Meaning},
    follow::Newest,
    health::Health,
    readers::Readers,
    scan::Scanned,
    schema::{Found, Unusable},
    writer::Writer,
};
use super::{
    Condition, NewConsignment, OpenError, Outcome, Page, Prospect, Scan, Store, StoreError,
    queue::{Queue, QueueBound},
};

mod address;
mod commit;
mod connect;
mod failure;
mod follow;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod health;
mod password;
mod prospect;
mod readers;
mod scan;
mod schema;
mod terms;
mod tls;
mod turns;
mod writer;

/// How long a start waits before it asks a database again that does not answer.
const START_PAUSE: Duration = Duration::from_millis(500);

/// A register in a PostgreSQL database.
pub struct PostgresStore {
    queue: Queue,
    inner: Arc<Inner>,
    /// Follows what other servers store.
    following: AbortHandle,
    /// Where all that speaks with the database runs.
    engine: Engine,
}

/// What scans need.
struct Inner {
    found: Found,
    newest: Newest,
    health: Arc<Health>,
    readers: Readers,
}

impl PostgresStore {
    /// What [`PostgresStore::open`] would find for the service `name` in the database at `url`. It is waited for for 5 s,
    /// and nothing is made or changed there.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: that of opening it, or that the database does not answer.
    pub async fn prospect(url: &PostgresUrl, name: &str) -> Result<Prospect, OpenError> {
        prospect::of(url, name).await
    }

    /// Opens the register of the service `name` in the database at `url`, or makes a new one there, the tables
    /// included. Waits for a database that does not answer, and says so once in the log. Dropping the future leaves
    /// nothing behind.
    ///
    /// # Errors
    ///
    /// [`OpenError::Refused`] and [`OpenError::NewerDatabase`]: trying again is of no use until something is changed.
    pub async fn open(url: &PostgresUrl, name: &str, bound: QueueBound) -> Result<Self, OpenError> {
        let refused = |reason| refused(url, reason);
        let connector = Arc::new(Connector::new(url).map_err(refused)?);
        let engine = Engine::start().map_err(|error| refused(error.to_string()))?;
        let health = Arc::new(Health::new(url.to_string()));
        let opening = start(Arc::clone(&connector), name.to_owned());
        let (found, committer) = match engine.run(opening).await {
            Some(opened) => opened?,
            None => return Err(refused("its thread has ended".into())),
        };
        let newest = Newest::new(found.last_sequence);
        let readers = Readers::new(Arc::clone(&connector), Arc::clone(&health)).map_err(refused)?;
        let (queue, tasks) = Queue::new(bound);
        let writer = Writer {
            connector: Arc::clone(&connector),
            health: Arc::clone(&health),
            newest: newest.clone(),
            found: found.clone(),
            tasks,
            meters: queue.meters.clone(),
        };
        engine.handle.spawn(writer.run(committer));
        let following = follow::follow(
            connector,
            Arc::clone(&health),
            newest.clone(),
            found.clone(),
        );
        let following = engine.handle.spawn(following).abort_handle();
        let inner = Arc::new(Inner {
            found,
            newest,
            health,
            readers,
        });
        Ok(Self {
            queue,
            inner,
            following,
            engine,
        })
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn register(&self) -> &str {
        &self.inner.found.id
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn append(&self, batch: Vec<NewConsignment>) -> Result<Vec<Outcome>, StoreError> {
        self.queue.append(batch).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        let (inner, scan) = (Arc::clone(&self.inner), scan.clone());
        let page = self
            .engine
            .run(async move { inner.scanned().page(&scan).await });
        Ok(page.await.ok_or(StoreError::Closed)??)
    }

    async fn last_sequence(&self) -> Result<u64, StoreError> {
        let inner = Arc::clone(&self.inner);
        let last = self
            .engine
            .run(async move { inner.scanned().last_sequence().await });
        Ok(last.await.ok_or(StoreError::Closed)??)
    }

    fn newest(&self) -> watch::Receiver<u64> {
        self.inner.newest.watch()
    }

    fn condition(&self) -> watch::Receiver<Condition> {
        self.inner.health.watch()
    }

    fn measure(&self, registry: &mut Registry) {
        self.queue.measure(registry);
    }

    async fn close(&self) {
        self.inner.readers.close();
        self.queue.close().await;
        self.following.abort();
    }
}

impl Inner {
    fn scanned(&self) -> Scanned<'_> {
        Scanned {
            readers: &self.readers,
            newest: &self.newest,
            found: &self.found,
        }
    }
}

/// A thread with a runtime of its own: whoever asks may be on a runtime that ends before the store, or on one that
/// has other things to do.
struct Engine {
    handle: Handle,
    /// It ends when this is dropped.
    _stop: watch::Sender<()>,
}

impl Engine {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, mut stopped) = watch::channel(());
        let run = move || {
            // An error says that the sender is gone, which is the sign to end.
            let _ = runtime.block_on(stopped.changed());
            runtime.shutdown_background();
        };
        thread::Builder::new().name("postgres".into()).spawn(run)?;
        Ok(Self {
            handle,
            _stop: stop,
        })
    }

    /// Does `act` there. It is dropped with the future that waits for it; `None` when the thread has ended.
    async fn run<T: Send + 'static>(
        &self,
        act: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let task = AbortOnDropHandle::new(self.handle.spawn(act));
        task.await.ok()
    }
}

/// Connects and finds the register, however long it takes until the database answers.
async fn start(connector: Arc<Connector>, name: String) -> Result<(Found, Committer), OpenError> {
    let mut has_said = false;
    loop {
        let failure = match try_start(&connector, &name).await {
            Ok(started) => return Ok(started),
            Err(Unusable::Newer { found, known }) => {
                return Err(OpenError::NewerDatabase {
                    database: connector.url.to_string(),
                    found,
                    known,
                });
            }
            Err(Unusable::Failure(failure)) => failure,
        };
        if !matches!(failure.meaning(), Meaning::Away | Meaning::Again) {
            return Err(refusal(&connector.url, &failure));
        }
        if !has_said {
            let (database, reason) = (&connector.url, failure.reason());
            tracing::warn!("waiting for the database {database}, which does not answer: {reason}");
            has_said = true;
        }
        sleep(START_PAUSE).await;
    }
}

async fn try_start(connector: &Connector, name: &str) -> Result<(Found, Committer), Unusable> {
    let (session, _) = connector.open().await?;
    let found = schema::prepare(&session.client, name).await?;
    if found.features.notifies {
        for warning in schema::warnings(&session.client, connector.url.hosts()).await? {
            tracing::warn!("{warning}");
        }
    }
    let committer = Committer::connect(connector, &found).await?;
    Ok((found, committer))
}

fn refused(url: &PostgresUrl, reason: String) -> OpenError {
    OpenError::Refused {
        database: url.to_string(),
        reason,
        advice: "check the URL".into(),
    }
}

fn refusal(url: &PostgresUrl, failure: &Failure) -> OpenError {
    let (user, database) = (url.user(), url.database());
    let advice = match failure.code().map(SqlState::code) {
        Some("3D000") => format!("create it, or name another in the URL: createdb {database}"),
        Some("42501") if failure.reason().contains("owner") => {
            "start it once as the tables' owner: they have to be changed for this version".into()
        }
        Some("42501") => makers(url),
        Some("28000") => {
            format!(
                "check the user {user} in the URL, and what the server's pg_hba.conf says of it"
            )
        }
        Some(code) if code.starts_with("28") => PASSWORD_ADVICE.into(),
        Some("53100") => "free some space there".into(),
        Some(_) => "see the database's log".into(),
        None if failure.reason().contains("password") => PASSWORD_ADVICE.into(),
        None => "check sslmode and sslrootcert in the URL, and the server's certificate".into(),
    };
    OpenError::Refused {
        database: url.to_string(),
        reason: failure.reason(),
        advice,
    }
}

/// What lets the user of `url` make tables.
fn makers(url: &PostgresUrl) -> String {
    let user = url.user();
    format!("let {user} make tables: GRANT CREATE ON SCHEMA public TO \"{user}\"")
}

const PASSWORD_ADVICE: &str = "give the right password in SHIPPY_STORE, in the file of --store-file, in PGPASSWORD or in a password file (PGPASSFILE, ~/.pgpass)";
