//! Whether the database answers, as those who ask it see it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::store::Condition;

/// Who asks the database all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    Writer = 0,
    Follower = 1,
}

/// What each of them has seen last.
pub(super) struct Health {
    /// How the database is called.
    database: String,
    /// Why it does not answer, for each.
    away: Mutex<[Option<String>; 2]>,
    condition: watch::Sender<Condition>,
}

impl Health {
    pub(super) fn new(database: String) -> Self {
        Self {
            database,
            away: Mutex::default(),
            condition: watch::channel(Condition::Good).0,
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    pub(super) fn is_away(&self) -> bool {
        matches!(*self.condition.borrow(), Condition::Away(_))
    }

    /// `asker` has had an answer.
    pub(super) fn answers(&self, asker: Asker) {
        self.set(asker, None);
    }

    /// `asker` has none, for that reason.
    pub(super) fn is_silent(&self, asker: Asker, reason: String) {
        self.set(asker, Some(reason));
    }

    pub(super) fn close(&self) {
        self.condition.send_replace(Condition::Closed);
    }

    /// Says so once each way.
    fn set(&self, asker: Asker, reason: Option<String>) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away[asker as usize] = reason;
        let reason = away.iter().flatten().next();
        self.condition
            .send_if_modified(|condition| match (&condition, reason) {
                (Condition::Good, Some(reason)) => {
                    let database = &self.database;
                    tracing::warn!(
                        "the database {database} is away, and is asked again and again: {reason}"
                    );
                    *condition = Condition::Away(reason.clone());
                    true
                }
                (Condition::Away(_), None) => {
                    tracing::info!("the database {} is back", self.database);
                    *condition = Condition::Good;
                    true
                }
                _ => false,
            });
    }
}
