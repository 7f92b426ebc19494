//! An announcement that has to be renewed, which is kept up in the background whatever becomes of the registry.

use std::{
    future::{Future, pending},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{Mutex, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{Instance, RegistryError, outage::spread};

/// How long the first try may take before a server goes on without it. A registry that is up takes a few milliseconds;
/// the rest is for a leader that is being elected or a packet that is lost.
const FIRST_TRY: Duration = Duration::from_secs(2);
/// How long one attempt may take: a registry with several places is given time to try each.
const ATTEMPT: Duration = Duration::from_secs(8);
/// The pause after a first failure; each later one is twice as long, up to the longest. All are spread at random over
/// their upper half, so that many servers do not come back to a restarted registry at one moment.
const BACK_OFF: Duration = Duration::from_millis(200);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// What a registry can be told of one server, each in its own protocol.
#[async_trait]
pub(super) trait Ledger: Send + Sync + 'static {
    /// What the registry gives for a registration, and is shown to renew it.
    type Entry: Send + Sync;

    /// Registers `instance`; returns when it can be found.
    async fn register(&self, instance: &Instance) -> Result<Self::Entry, RegistryError>;

    /// Renews the registration of `instance`. `false`: the registry knows nothing of it (any more).
    async fn renew(&self, instance: &Instance, entry: &Self::Entry) -> Result<bool, RegistryError>;

    /// Takes `instance` out; without an entry, in case that it is there.
    async fn remove(
        &self,
        instance: &Instance,
        entry: Option<&Self::Entry>,
    ) -> Result<(), RegistryError>;

    /// Returns when it is likely that the registration is lost, so that it is renewed before that is due.
    async fn disturbed(&self, _: &Instance, _: &Self::Entry) {
        pending::<()>().await;
    }

    /// What it is and where, for people.
    fn describe(&self) -> String;
}

/// Announces one server at a time in a ledger.
pub(super) struct Kept<L> {
    ledger: Arc<L>,
    interval: Duration,
    keeping: Mutex<Option<Keeping>>,
    /// Whether the registry had the announcement when it was told last.
    stands: Arc<AtomicBool>,
}

/// An announcement that is kept up. Dropping it takes the server out without waiting for that.
struct Keeping {
    /// Dropped to tell it to end.
    go_on: Option<oneshot::Sender<()>>,
    ended: JoinHandle<Result<(), RegistryError>>,
}

impl<L: Ledger> Kept<L> {
    /// Renews what is announced in `ledger` every `interval`.
    pub(super) fn new(ledger: Arc<L>, interval: Duration) -> Self {
        Self {
            ledger,
            interval,
            keeping: Mutex::new(None),
            stands: Arc::default(),
        }
    }

    /// Announces `instance` in place of what was announced before, and keeps it announced until
    /// [`withdraw`](Self::withdraw).
    ///
    /// # Errors
    ///
    /// Why the first tries failed. It goes on trying, and says in the log when it has succeeded.
    pub(super) async fn announce(&self, instance: &Instance) -> Result<(), RegistryError> {
        match timeout(FIRST_TRY, self.withdraw()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "could not withdraw the earlier announcement");
            }
            // It must not take out what is announced from now on.
            Err(_) => self.abandon().await,
        }
        let (go_on, stopped) = oneshot::channel();
        let (first, told) = oneshot::channel();
        let keeper = Keeper {
            ledger: Arc::clone(&self.ledger),
            instance: instance.clone(),
            interval: self.interval,
            entry: None,
            is_away: false,
            stands: Arc::clone(&self.stands),
        };
        let ended = tokio::spawn(keeper.run(first, stopped));
        // Not held while that goes on: a server that is told to stop meanwhile withdraws at once.
        *self.keeping.lock().await = Some(Keeping {
            go_on: Some(go_on),
            ended,
        });
        // Without a word it was withdrawn, which is not for this caller to complain of.
        told.await.unwrap_or(Ok(()))
    }

    /// Whether the registry had what is announced when it was told last.
    pub(super) fn stands(&self) -> bool {
        self.stands.load(Ordering::Relaxed)
    }

    /// Takes the server out. When the future is lost that goes on, and the next call waits for it.
    ///
    /// # Errors
    ///
    /// When it is in and cannot be taken out; it then expires.
    pub(super) async fn withdraw(&self) -> Result<(), RegistryError> {
        let mut keeping = self.keeping.lock().await;
        let Some(known) = keeping.as_mut() else {
            return Ok(());
        };
        known.go_on = None;
        let ended = (&mut known.ended).await;
        *keeping = None;
        ended.unwrap_or(Ok(()))
    }

    /// Ends, on the spot, what takes too long to end.
    async fn abandon(&self) {
        if let Some(keeping) = self.keeping.lock().await.take() {
            keeping.ended.abort();
            let _ = keeping.ended.await;
        }
    }
}

/// Keeps one server announced.
struct Keeper<L: Ledger> {
    ledger: Arc<L>,
    instance: Instance,
    interval: Duration,
    entry: Option<L::Entry>,
    /// Whether the registry did not do its part the last time, which has been said then.
    is_away: bool,
    /// What others are told of that.
    stands: Arc<AtomicBool>,
}

impl<L: Ledger> Keeper<L> {
    /// Keeps the server announced until `stopped`, then takes it out. The outcome of the first tries goes to `first`.
    async fn run(
        mut self,
        first: oneshot::Sender<Result<(), RegistryError>>,
        stopped: oneshot::Receiver<()>,
    ) -> Result<(), RegistryError> {
        tokio::select! {
            _ = stopped => {}
            () = self.keep(first) => {}
        }
        self.stands.store(false, Ordering::Relaxed);
        let remove = self.ledger.remove(&self.instance, self.entry.as_ref());
        match attempt(&self.ledger.describe(), remove).await {
            // It is not there, as far as anybody knows, and not renewed in any case.
            Err(error) if self.entry.is_none() || self.is_away => {
                tracing::debug!(%error, "could not withdraw what may not be announced");
                Ok(())
            }
            removed => removed,
        }
    }

    /// Registers and renews without an end.
    async fn keep(&mut self, first: oneshot::Sender<Result<(), RegistryError>>) {
        let outcome = self.begin().await;
        self.note(outcome.is_err());
        // The caller says a failure in the log in its own words, or has stopped listening.
        let _ = first.send(outcome);
        let mut back_off = BACK_OFF;
        loop {
            let (ledger, instance) = (&self.ledger, &self.instance);
            match &self.entry {
                Some(entry) if !self.is_away => tokio::select! {
                    () = sleep(self.interval) => {}
                    () = ledger.disturbed(instance, entry) => {}
                },
                _ => sleep(spread(back_off)).await,
            }
            match self.step().await {
                Ok(()) => {
                    back_off = BACK_OFF;
                    if self.is_away {
                        tracing::info!("announced in {}", self.ledger.describe());
                    }
                    self.note(false);
                }
                Err(error) => {
                    back_off = (back_off * 2).min(BACK_OFF_MAX);
                    if !self.is_away {
                        tracing::warn!(
                            "the announcement lapses, and is tried again and again until it can be renewed: {error}"
                        );
                    }
                    tracing::debug!(%error, "could not renew the announcement");
                    self.note(true);
                }
            }
        }
    }

    fn note(&mut self, is_away: bool) {
        self.is_away = is_away;
        self.stands.store(!is_away, Ordering::Relaxed);
    }

    /// Registers, trying again for a short time unless it is clear that trying is of no use.
    async fn begin(&mut self) -> Result<(), RegistryError> {
        let deadline = Instant::now() + FIRST_TRY;
        let mut back_off = BACK_OFF;
        let mut failed = None;
        loop {
            let error = match timeout_at(deadline, self.step()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => failed.unwrap_or_else(|| silent(&self.ledger.describe(), FIRST_TRY)),
            };
            if !error.is_passing() || Instant::now() + back_off >= deadline {
                return Err(error);
            }
            failed = Some(error);
            sleep(spread(back_off)).await;
            back_off *= 2;
        }
    }

    /// Renews, or registers where there is nothing to renew.
    async fn step(&mut self) -> Result<(), RegistryError> {
        let name = self.ledger.describe();
        if let Some(entry) = &self.entry {
            if attempt(&name, self.ledger.renew(&self.instance, entry)).await? {
                return Ok(());
            }
            tracing::info!("{name} no longer knows this server, which is announced there again");
            self.entry = None;
        }
        self.entry = Some(attempt(&name, self.ledger.register(&self.instance)).await?);
        Ok(())
    }
}

async fn attempt<T>(
    name: &str,
    act: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    timeout(ATTEMPT, act)
        .await
        .unwrap_or_else(|_| Err(silent(name, ATTEMPT)))
}

fn silent(name: &str, waited: Duration) -> RegistryError {
    RegistryError::Away {
        registry: name.to_owned(),
        reason: format!("it did not answer within {waited:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use super::*;

    /// A registry that takes for ever to take a server out.
    #[derive(Default)]
    struct Stuck(StdMutex<Vec<&'static str>>);

    impl Stuck {
        fn note(&self, word: &'static str) {
            self.0.lock().unwrap().push(word);
        }
    }

    /// Notes when what it is part of is given up.
    struct Noted<'s>(&'s Stuck);

    impl Drop for Noted<'_> {
        fn drop(&mut self) {
            self.0.note("given up");
        }
    }

    #[async_trait]
    impl Ledger for Stuck {
        type Entry = ();

        async fn register(&self, _: &Instance) -> Result<(), RegistryError> {
            self.note("in");
            Ok(())
        }

        async fn renew(&self, _: &Instance, (): &()) -> Result<bool, RegistryError> {
            Ok(true)
        }

        async fn remove(&self, _: &Instance, _: Option<&()>) -> Result<(), RegistryError> {
            self.note("out");
            let _noted = Noted(self);
            pending().await
        }

        fn describe(&self) -> String {
            "a registry".to_owned()
        }
    }

    #[tokio::test]
    async fn a_withdrawal_that_hangs_does_not_take_out_what_is_announced_after_it() {
        let instance = Instance::depot();
        let ledger = Arc::new(Stuck::default());
        let kept = Kept::new(Arc::clone(&ledger), Duration::from_secs(60));
        kept.announce(&instance).await.unwrap();
        let withdrawn = timeout(Duration::from_millis(100), kept.withdraw()).await;
        assert!(withdrawn.is_err(), "{withdrawn:?}");
        kept.announce(&instance).await.unwrap();
        assert_eq!(*ledger.0.lock().unwrap(), ["in", "out", "given up", "in"]);
    }
}
