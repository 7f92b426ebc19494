//! Keeps a server announced for as long as its store answers, so that clients are sent to servers that can do
//! something for them.

use std::{future::pending, time::Duration};

use prometheus_client::metrics::gauge::Gauge;
use tokio::{sync::watch, time::timeout};

use crate::{
    registry::{Instance, Registry, RegistryError},
    store::Condition,
};

/// How long to take leave of the registry; at the end, of the time for the whole drain.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether a server is to be found.
pub(super) struct Presence<'s> {
    registry: &'s dyn Registry,
    instance: &'s Instance,
    condition: watch::Receiver<Condition>,
    announced: Gauge,
}

impl<'s> Presence<'s> {
    /// Nothing is announced yet; `announced` says so when it is.
    pub(super) fn new(
        registry: &'s dyn Registry,
        instance: &'s Instance,
        condition: watch::Receiver<Condition>,
        announced: Gauge,
    ) -> Self {
        Self {
            registry,
            instance,
            condition,
            announced,
        }
    }

    /// Announces the server once its store answers.
    ///
    /// # Errors
    ///
    /// [`RegistryError`] when nobody can find it now.
    pub(super) async fn begin(&mut self) -> Result<(), RegistryError> {
        if let Some(reason) = reason(&self.condition.borrow())
            && self.registry.takes_announcements()
        {
            tracing::warn!("not announced yet: {reason}");
        }
        self.good().await;
        self.announce().await
    }

    async fn announce(&self) -> Result<(), RegistryError> {
        let announced = self.registry.announce(self.instance).await;
        self.announced.set(i64::from(announced.is_ok()));
        announced
    }

    /// Withdraws the server whenever its store is away, and announces it again when it is back. Never returns: being
    /// dropped ends it, and leaves things as they are.
    pub(super) async fn keep(&mut self) {
        // Where nothing was announced there is nothing to say of it; of the store its own log does.
        let is_told = self.registry.takes_announcements();
        loop {
            let reason = self.bad().await;
            if is_told {
                tracing::warn!("withdrawn from the registry for as long as that lasts: {reason}");
            }
            self.announced.set(0);
            withdraw(self.registry).await;
            self.good().await;
            match self.announce().await {
                Ok(()) if is_told => tracing::info!("announced again: the store is back"),
                Ok(()) => {}
                Err(error) => tracing::warn!(
                    "the store is back, but clients do not find this server yet: {error}"
                ),
            }
        }
    }

    /// Waits until the store answers.
    async fn good(&mut self) {
        while reason(&self.condition.borrow_and_update()).is_some() {
            self.changed().await;
        }
    }

    /// Waits until the store does not answer; why.
    async fn bad(&mut self) -> String {
        loop {
            if let Some(reason) = reason(&self.condition.borrow_and_update()) {
                return reason;
            }
            self.changed().await;
        }
    }

    async fn changed(&mut self) {
        if self.condition.changed().await.is_err() {
            // The store has ended, so that its condition stays as it is.
            pending::<()>().await;
        }
    }
}

/// Why a server whose store is in `condition` is not to be found; `None` when it is.
fn reason(condition: &Condition) -> Option<String> {
    match condition {
        // Lists go on where writing was stopped, and a create is told why, which says more than that no server is found.
        Condition::Good | Condition::WritesStopped(_) => None,
        Condition::Away(reason) => Some(format!("its store is away: {reason}")),
        Condition::Closed => Some("its store is closed".into()),
    }
}

/// Makes known that the server is gone. What the registry does not take in time expires there by itself.
pub(super) async fn withdraw(registry: &dyn Registry) {
    match timeout(WITHDRAW_TIMEOUT, registry.withdraw()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("could not withdraw from the registry: {error}"),
        Err(_) => tracing::warn!("could not withdraw from the registry in {WITHDRAW_TIMEOUT:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use futures_util::stream::{self, BoxStream, StreamExt as _};
    use tokio::{sync::Notify, time::sleep};

    use super::*;
    use crate::registry::Hints;

    /// A registry that writes down what it is told.
    #[derive(Default)]
    struct Recorder {
        told: Mutex<Vec<String>>,
        was_told: Notify,
        /// Refuses announcements.
        is_away: Mutex<bool>,
    }

    impl Recorder {
        fn note(&self, what: &str) {
            self.told.lock().unwrap().push(what.to_owned());
            self.was_told.notify_one();
        }

        fn told(&self) -> Vec<String> {
            self.told.lock().unwrap().clone()
        }

        /// Waits until it has been told `what`.
        async fn await_told(&self, what: &[&str]) {
            let heard = async {
                while self.told() != what {
                    self.was_told.notified().await;
                }
            };
            let heard = timeout(Duration::from_secs(60), heard).await;
            assert!(heard.is_ok(), "{:?}, not {what:?}", self.told());
        }
    }

    #[async_trait]
    impl Registry for Recorder {
        async fn announce(&self, instance: &Instance) -> Result<(), RegistryError> {
            self.note(&format!("announce {}", instance.id));
            if *self.is_away.lock().unwrap() {
                return Err(RegistryError::NotConfirmed(Duration::ZERO));
            }
            Ok(())
        }

        async fn withdraw(&self) -> Result<(), RegistryError> {
            self.note("withdraw");
            Ok(())
        }

        fn find(&self, _: &str) -> BoxStream<'static, Result<Instance, RegistryError>> {
            stream::pending().boxed()
        }

        fn describe(&self) -> String {
            String::new()
        }

        fn hints(&self) -> Hints {
            Hints {
                start: "",
                reach: &[],
            }
        }
    }

    fn away() -> Condition {
        Condition::Away("no answer".into())
    }

    /// Keeps the server present until the test ends, beginning with the condition `first`.
    fn present(first: Condition) -> (watch::Sender<Condition>, Arc<Recorder>) {
        let recorder = Arc::new(Recorder::default());
        let (conditions, condition) = watch::channel(first);
        let registry = Arc::clone(&recorder);
        tokio::spawn(async move {
            let instance = Instance {
                id: "one".into(),
                ..Instance::depot()
            };
            let mut presence = Presence::new(&*registry, &instance, condition, Gauge::default());
            let announced = presence.begin().await;
            assert_eq!(announced.is_err(), *registry.is_away.lock().unwrap());
            presence.keep().await;
        });
        (conditions, recorder)
    }

    #[tokio::test]
    async fn a_server_whose_store_is_away_is_withdrawn_until_it_is_back() {
        let (condition, registry) = present(Condition::Good);
        let mut expected = vec!["announce one"];
        registry.await_told(&expected).await;
        for _ in 0..2 {
            condition.send_replace(away());
            expected.push("withdraw");
            registry.await_told(&expected).await;
            condition.send_replace(Condition::Good);
            expected.push("announce one");
            registry.await_told(&expected).await;
        }
    }

    #[tokio::test]
    async fn a_server_whose_store_is_away_at_first_is_announced_once_it_is_there() {
        let (condition, registry) = present(away());
        sleep(Duration::from_millis(20)).await;
        registry.await_told(&[]).await;
        condition.send_replace(Condition::Good);
        registry.await_told(&["announce one"]).await;
    }

    #[tokio::test]
    async fn a_server_whose_store_only_reads_stays() {
        let (condition, registry) = present(Condition::Good);
        registry.await_told(&["announce one"]).await;
        condition.send_replace(Condition::WritesStopped("no disk".into()));
        sleep(Duration::from_millis(20)).await;
        registry.await_told(&["announce one"]).await;
    }

    #[tokio::test]
    async fn a_registry_that_fails_ends_nothing() {
        let (condition, registry) = present(away());
        *registry.is_away.lock().unwrap() = true;
        condition.send_replace(Condition::Good);
        registry.await_told(&["announce one"]).await;
        condition.send_replace(away());
        let expected = ["announce one", "withdraw"];
        registry.await_told(&expected).await;
        condition.send_replace(Condition::Good);
        let expected = ["announce one", "withdraw", "announce one"];
        registry.await_told(&expected).await;
    }

    #[tokio::test]
    async fn a_store_whose_condition_only_changes_its_words_is_not_withdrawn_twice() {
        let (condition, registry) = present(Condition::Good);
        registry.await_told(&["announce one"]).await;
        condition.send_replace(away());
        let expected = ["announce one", "withdraw"];
        registry.await_told(&expected).await;
        condition.send_replace(Condition::Away("still no answer".into()));
        condition.send_replace(Condition::Closed);
        sleep(Duration::from_millis(20)).await;
        registry.await_told(&expected).await;
    }
}
