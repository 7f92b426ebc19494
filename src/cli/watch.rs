//! What goes on beside the work: progress and signals.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{interrupt::Interrupts, progress::Progress};

/// How long a run that was interrupted waits for the answers to what it has sent.
const GRACE: Duration = Duration::from_secs(1);

/// A signal ended it.
#[derive(Debug)]
pub(super) struct Interrupted;

/// Shows progress and hears signals while a run waits for something.
pub(super) struct Watch {
    pub(super) progress: Progress,
    /// Says to others that no more is to be begun.
    pub(super) stop: Arc<AtomicBool>,
    /// Whether something that was begun is worth waiting for.
    pub(super) is_under_way: bool,
    interrupts: Interrupts,
    /// When an interrupted run ends at the latest.
    deadline: Option<Instant>,
}

impl Watch {
    pub(super) fn new(progress: Progress, interrupts: Interrupts) -> Self {
        Self {
            progress,
            stop: Arc::default(),
            is_under_way: false,
            interrupts,
            deadline: None,
        }
    }

    /// Whether a signal came.
    pub(super) fn is_stopped(&self) -> bool {
        self.deadline.is_some()
    }

    /// Waits for `work`, unless signals end it: the first at once where nothing is under way, else after a short
    /// time; the second at once.
    pub(super) async fn during<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Interrupted> {
        let mut work = pin!(work);
        loop {
            let deadline = self.deadline;
            let late = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                done = &mut work => return Ok(done),
                () = self.progress.tick() => {}
                () = late => return Err(Interrupted),
                _ = self.interrupts.next() => {
                    if self.is_stopped() || !self.is_under_way {
                        return Err(Interrupted);
                    }
                    self.stop.store(true, Ordering::Relaxed);
                    self.deadline = Some(Instant::now() + GRACE);
                }
            }
        }
    }
}
