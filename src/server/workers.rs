//! The threads that connections are served on, each with a runtime of its own.
//!
//! A request is a few microseconds' work, less than it takes one thread to wake another, so a connection stays on one
//! thread instead of being moved between several.

use std::{
    io,
    num::NonZero,
    sync::Arc,
    thread::{self, available_parallelism},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle},
    sync::watch,
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

use super::limits::REQUEST_TIMEOUT;

/// How far away the nearest timer of a runtime is at most: nearer than the timeout of any request that begins.
const NEAREST_TIMER: Duration = Duration::from_secs(REQUEST_TIMEOUT.as_secs() / 2);

/// Those threads. They end when this is dropped.
pub(super) struct Workers {
    all: Vec<Worker>,
    _stop: watch::Sender<()>,
}

/// Where a connection can be served.
struct Worker {
    runtime: Handle,
    /// Held by each connection that is served there.
    busy: Arc<()>,
    _timer: AbortOnDropHandle<()>,
}

/// A connection's place.
pub(super) struct Place {
    pub(super) runtime: Handle,
    /// To be held as long as the connection lasts.
    pub(super) busy: Arc<()>,
}

/// How many there are of them.
pub(super) fn count() -> usize {
    let cores = available_parallelism().map_or(1, NonZero::get);
    cores.div_ceil(2)
}

impl Workers {
    /// Takes the calling runtime for the first, and starts others: one for each second core in all, as what a request
    /// asks of the store is done by other threads, and on a small machine the clients need a core, too.
    ///
    /// # Errors
    ///
    /// When the system gives no thread or no descriptor for one of them.
    pub(super) fn start() -> io::Result<Self> {
        Self::start_all(count())
    }

    /// The calling runtime alone, for what is seldom asked.
    pub(super) fn here() -> Self {
        let (stop, _) = watch::channel(());
        Self {
            all: vec![Worker::on(Handle::current())],
            _stop: stop,
        }
    }

    fn start_all(count: usize) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(());
        let mut all = vec![Worker::on(Handle::current())];
        for number in 1..count {
            all.push(Worker::start(number, stopped.clone())?);
        }
        Ok(Self { all, _stop: stop })
    }

    /// The place for one more connection: where the fewest are.
    pub(super) fn place(&self) -> Place {
        let least = self
            .all
            .iter()
            .min_by_key(|one| Arc::strong_count(&one.busy));
        let Worker { runtime, busy, .. } = least.unwrap_or(&self.all[0]);
        Place {
            runtime: runtime.clone(),
            busy: Arc::clone(busy),
        }
    }
}

impl Worker {
    fn on(runtime: Handle) -> Self {
        let timer = AbortOnDropHandle::new(runtime.spawn(keep_timer()));
        Self {
            runtime,
            busy: Arc::default(),
            _timer: timer,
        }
    }

    fn start(number: usize, mut stopped: watch::Receiver<()>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let worker = Self::on(runtime.handle().clone());
        let run = move || {
            // An error says that the sender is gone, which is the sign to end.
            let _ = runtime.block_on(stopped.changed());
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name(format!("worker-{number}"));
        thread.spawn(run)?;
        Ok(worker)
    }
}

/// Keeps a timer of its runtime set. When a timer is set that comes before all others, tokio has the runtime's thread woken
/// by a system call, also when that thread is the one that sets it: without this one the timeouts of requests did so, a
/// fifth of them at 64 in flight and each that came alone.
async fn keep_timer() {
    loop {
        sleep(NEAREST_TIMER).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[tokio::test]
    async fn connections_are_spread_and_each_place_works() {
        let workers = Workers::start_all(3).unwrap();
        let places: Vec<_> = (0..6).map(|_| workers.place()).collect();
        let first: HashSet<_> = places[..3].iter().map(|one| one.runtime.id()).collect();
        assert_eq!(first.len(), 3);
        let again = places[3..].iter().map(|one| one.runtime.id());
        assert_eq!(again.collect::<HashSet<_>>(), first);
        for place in &places {
            let ran_on = place.runtime.spawn(async { Handle::current().id() });
            assert_eq!(ran_on.await.unwrap(), place.runtime.id());
        }
    }

    #[tokio::test]
    async fn a_place_that_is_left_is_given_again() {
        let workers = Workers::start_all(2).unwrap();
        let (left, _kept) = (workers.place(), workers.place());
        let id = left.runtime.id();
        drop(left);
        assert_eq!(workers.place().runtime.id(), id);
    }
}
