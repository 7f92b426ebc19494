//! The register's newest sequence number, as whichever server moves it: by LISTEN where the database has it, and by
//! asking again and again.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{sync::watch, time};
use tokio_postgres::Client;

use super::{
    commit::channel,
    connect::{Connector, within},
    failure::Failure,
    health::{Asker, Health},
    schema::{self, Found},
};

/// How often the database is asked for it while it tells by itself, which also shows whether it answers.
const ASKED_WHILE_TOLD: Duration = Duration::from_secs(1);
/// How often it is asked where it does not: a followed list is not to lag by more than a person notices.
const ASKED_OTHERWISE: Duration = Duration::from_millis(200);
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long nothing is tried after nobody has answered.
const PAUSE: Duration = Duration::from_millis(250);

const SELECT: &str = "SELECT last_sequence FROM shippy_register WHERE number = $1";

/// The newest sequence number, which only grows.
#[derive(Clone)]
pub(super) struct Newest(Arc<watch::Sender<u64>>);

impl Newest {
    pub(super) fn new(known: u64) -> Self {
        Self(Arc::new(watch::channel(known).0))
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    pub(super) fn known(&self) -> u64 {
        *self.0.borrow()
    }

    /// `sequence` can be read.
    pub(super) fn is_at_least(&self, sequence: u64) {
        self.0.send_if_modified(|known| {
            let is_newer = *known < sequence;
            *known = (*known).max(sequence);
            is_newer
        });
    }
}

/// Follows the register for ever.
pub(super) async fn follow(
    connector: Arc<Connector>,
    health: Arc<Health>,
    newest: Newest,
    found: Found,
) -> Infallible {
    let mut failures = 0;
    loop {
        let mut has_answered = false;
        let ended = on_one_connection(&connector, &found, |sequence| {
            has_answered = true;
            health.answers(Asker::Follower);
            newest.is_at_least(sequence);
        });
        let Err(failure) = ended.await;
        failures = if has_answered { 1 } else { failures + 1 };
        // A connection that broke is no news when the next one holds.
        if failures > 1 {
            health.is_silent(Asker::Follower, failure.reason());
            time::sleep(PAUSE).await;
        }
    }
}

/// Hands over each number that it learns of.
async fn on_one_connection(
    connector: &Connector,
    found: &Found,
    mut learn: impl FnMut(u64),
) -> Result<Infallible, Failure> {
    let (session, mut told) = connector.open().await?;
    let client = &session.client;
    let mut asked = time::interval(ASKED_OTHERWISE);
    if found.features.notifies {
        let listen = format!("LISTEN {}", channel(found.number));
        within(TIMEOUT, client.batch_execute(&listen)).await?;
        asked = time::interval(ASKED_WHILE_TOLD);
    }
    asked.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(notification) = told.recv() => {
                // Anybody may notify anything; whatever is no number is nothing.
                if let Ok(sequence) = notification.payload().parse() {
                    learn(sequence);
                }
            }
            // The first comes at once: something may have come while nobody listened.
            _ = asked.tick() => learn(ask(client, found.number).await?),
        }
    }
}

/// The register's newest sequence number.
pub(super) async fn ask(client: &Client, number: i64) -> Result<u64, Failure> {
    let answer = within(TIMEOUT, client.query_opt(SELECT, &[&number])).await?;
    let gone = || Failure::Damaged("the register is no longer in the database".into());
    schema::sequence(answer.ok_or_else(gone)?.try_get(0)?)
}
