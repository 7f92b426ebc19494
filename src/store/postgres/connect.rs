//! Connections to the database: to whichever of its hosts writes.

use std::{
    future::{Future, poll_fn},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Notification, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    address::{CONNECT_TIMEOUT, PostgresUrl},
    failure::{Failure, Meaning},
    password::{self, For},
};

type Stream = <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream;
type Connected = (Client, Connection<Socket, Stream>);

/// Makes connections.
pub(super) struct Connector {
    pub(super) url: PostgresUrl,
    /// A host's, each.
    configs: Vec<Config>,
    tls: MakeRustlsConnect,
    /// The number of the host that was connected to last: the others may take long to say nothing.
    last: AtomicUsize,
}

impl Connector {
    /// # Errors
    ///
    /// What is wrong with the certificates that the URL names.
    pub(super) fn new(url: &PostgresUrl) -> Result<Self, String> {
        Ok(Self {
            url: url.clone(),
            configs: (0..url.hosts()).map(|number| config(url, number)).collect(),
            tls: url.tls.connector()?,
            last: AtomicUsize::new(0),
        })
    }

    /// A connection of one's own, and what the database says on it without being asked.
    pub(super) async fn open(
        &self,
    ) -> Result<(Session, mpsc::UnboundedReceiver<Notification>), Failure> {
        let (client, connection) = self.connect().await?;
        let (sender, notifications) = mpsc::unbounded_channel();
        let driver = tokio::spawn(drive(connection, sender));
        Ok((Session { client, driver }, notifications))
    }

    /// The same, in parts.
    pub(super) async fn open_unwatched(&self) -> Result<(Client, JoinHandle<()>), Failure> {
        let (client, connection) = self.connect().await?;
        let (sender, _) = mpsc::unbounded_channel();
        Ok((client, tokio::spawn(drive(connection, sender))))
    }

    /// Asks each host in turn, beginning with the one that answered last.
    async fn connect(&self) -> Result<Connected, Failure> {
        let count = self.configs.len();
        let first = self.last.load(Ordering::Relaxed);
        let mut failure = Failure::Silent(CONNECT_TIMEOUT);
        for number in (first..first + count).map(|number| number % count) {
            let connecting = self.configs[number].connect(self.tls.clone());
            let failed = match timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(connected)) => {
                    self.last.store(number, Ordering::Relaxed);
                    return Ok(connected);
                }
                Ok(Err(error)) => Failure::Engine(error),
                Err(_) => Failure::Silent(CONNECT_TIMEOUT),
            };
            // What is refused is what there is something to be done about.
            if failure.meaning() != Meaning::Refused {
                failure = failed;
            }
        }
        Err(failure)
    }
}

/// How to connect to the host of this number.
fn config(url: &PostgresUrl, number: usize) -> Config {
    let mut config = url.config(number);
    if !url.has_password() {
        let (host, port) = url.host(number);
        let wanted = For {
            host: &host,
            port,
            database: url.database(),
            user: url.user(),
        };
        if let Some(password) = password::find(wanted) {
            config.password(password);
        }
    }
    config
}

/// Does what a connection has to do, and hands over what is notified, until it ends. Its client learns why.
async fn drive(
    mut connection: Connection<Socket, Stream>,
    notifications: mpsc::UnboundedSender<Notification>,
) {
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(notification))) => {
                // Whoever does not listen does not need it.
                let _ = notifications.send(notification);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(
                    "a connection to the database ended: {}",
                    crate::causes::chain(&error)
                );
                return;
            }
            None => return,
        }
    }
}

/// A connection that ends with this.
pub(super) struct Session {
    pub(super) client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        // Whatever it waits for.
        self.driver.abort();
    }
}

/// What `asked` answers within `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Failure> {
    match timeout(limit, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::Silent(limit)),
    }
}

/// Makes settings of a session, as far as the database knows them.
pub(super) async fn set(client: &Client, settings: &[&str]) -> Result<(), Failure> {
    for setting in settings {
        let statement = format!("SET {setting}");
        let done = within(CONNECT_TIMEOUT, client.batch_execute(&statement)).await;
        match done {
            // Whatever it does not know it does not do.
            Err(failure) if failure.meaning() == Meaning::Other => {}
            done => done?,
        }
    }
    Ok(())
}
