//! Connections that only read, each used by one scan at a time.

use std::{future::pending, sync::Arc, time::Duration};

use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod,
    Runtime, Timeouts,
};
use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_postgres::{Client, Config, Error, Row, types::ToSql};

use super::{
    address::CONNECT_TIMEOUT,
    connect::{Connector, within},
    failure::{Failure, Meaning},
    health::Health,
    schema,
};

/// Readers at work at once: enough that one waits for the database while another is answered, and so few that ten
/// servers stay below the 100 connections that PostgreSQL takes when nothing else is said.
const READERS: usize = 6;
/// How long one reading may take: a page is found by an index and is small.
const READ_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a reading is tried again while the database does not answer, before whoever asked is told.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);
/// Of those who read.
const SETTINGS: [&str; 3] = [
    "default_transaction_read_only = on",
    "plan_cache_mode = force_custom_plan",
    "statement_timeout = '10s'",
];

pub(super) struct Readers {
    pool: Pool,
    health: Arc<Health>,
}

impl Readers {
    pub(super) fn new(connector: Arc<Connector>, health: Arc<Health>) -> Result<Self, String> {
        let patience = CONNECT_TIMEOUT * u32::try_from(connector.url.hosts()).unwrap_or(1);
        // It is closed by the store, not by a look before each use: whoever uses it finds out and takes another.
        let config = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        // How to connect is the connector's business.
        let manager = Manager::from_connect(Config::new(), Shared(connector), config);
        let settle = Hook::async_fn(|client, _| {
            Box::pin(async move {
                let settled = schema::settle(client, &SETTINGS).await;
                settled.map_err(|failure| HookError::message(failure.reason()))
            })
        });
        let pool = Pool::builder(manager)
            .max_size(READERS)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: None,
                create: Some(patience),
                recycle: Some(CONNECT_TIMEOUT),
            })
            .post_create(settle)
            .build();
        Ok(Self {
            pool: pool.map_err(|error| error.to_string())?,
            health,
        })
    }

    /// What `query` with `parameters` selects. It is tried again on another connection where one does not answer.
    pub(super) async fn read(
        &self,
        query: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let begun = Instant::now();
        loop {
            let failure = match self.try_read(query, parameters).await {
                Err(failure) => failure,
                read => return read,
            };
            let is_over = begun.elapsed() >= PATIENCE || self.health.is_away();
            match failure.meaning() {
                Meaning::Away | Meaning::Again if !is_over && !self.pool.is_closed() => {}
                _ => return Err(failure),
            }
            // What one connection has met the others have, too.
            self.pool.retain(|_, _| false);
            sleep(PAUSE).await;
        }
    }

    async fn try_read(
        &self,
        query: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let reader = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => Failure::Engine(error),
            PoolError::Closed => Failure::Closed,
            _ => Failure::Silent(CONNECT_TIMEOUT),
        })?;
        let mut reader = Asked(Some(reader));
        let rows = within(READ_TIMEOUT, async {
            let reader = reader.get();
            let statement = reader.prepare_cached(query).await?;
            reader.query(&statement, parameters).await
        });
        let rows = rows.await?;
        reader.has_answered();
        Ok(rows)
    }

    /// Refuses those who come later.
    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// A connection that was asked something. It goes back to the others once it has answered, and else nowhere: it may still have
/// to, also where nobody waits for it any more.
struct Asked(Option<Object>);

impl Asked {
    fn get(&self) -> &Object {
        self.0.as_ref().expect("it has not answered")
    }

    fn has_answered(&mut self) {
        self.0 = None;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        drop(self.0.take().map(Object::take));
    }
}

/// A connector that others use, too.
struct Shared(Arc<Connector>);

impl Connect for Shared {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        async {
            match self.0.open_unwatched().await {
                Ok(connected) => Ok(connected),
                Err(Failure::Engine(error)) => Err(error),
                // The pool's own time for it is as long, and it says so then.
                Err(_) => pending().await,
            }
        }
        .boxed()
    }
}
