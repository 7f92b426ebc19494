//! How those who wait for a commit learn what became of it.
//!
//! To wake a task of another thread's runtime takes a system call, and a task that is woken alone has its reply written
//! to its connection alone. So of those who wait on one runtime, one is woken and brings the others theirs: they run
//! together, and what they have to say is sent together.

use tokio::{
    runtime::{Handle, Id},
    sync::{OwnedSemaphorePermit, oneshot},
};

use crate::store::{NewConsignment, Outcome, StoreError, traced::Commit};

pub(super) type Answer = Result<Vec<Outcome>, StoreError>;

/// Where an answer goes.
#[derive(Debug)]
pub(super) struct Recipient {
    sender: oneshot::Sender<Delivery>,
    /// Where it waits; `None` outside of any runtime.
    runtime: Option<Id>,
    spent: Option<Spent>,
}

/// What a batch took while it waited. It goes back to who waits, as memory is let go of best by the thread that took it: from
/// another's it takes a lock, and is not at hand for the next.
#[derive(Debug)]
pub(super) struct Spent {
    pub(super) _batch: Vec<NewConsignment>,
    pub(super) _room: OwnedSemaphorePermit,
}

/// One who waits.
pub(super) struct Waiting(oneshot::Receiver<Delivery>);

/// An answer, and those of others on the same runtime.
#[derive(Debug)]
struct Delivery {
    answer: Answer,
    /// The commit that it comes of, if any.
    commit: Option<Commit>,
    spent: Option<Spent>,
    others: Others,
}

/// They are delivered when this goes out of scope: so also when the one who was to bring them has gone.
#[derive(Debug, Default)]
struct Others {
    answers: Vec<(Recipient, Answer)>,
    commit: Option<Commit>,
}

impl Drop for Others {
    fn drop(&mut self) {
        for (recipient, answer) in self.answers.drain(..) {
            recipient.deliver(answer, self.commit, Self::default());
        }
    }
}

/// Made where it is waited: the answer is for a task of the calling runtime.
pub(super) fn expect() -> (Recipient, Waiting) {
    let (sender, receiver) = oneshot::channel();
    let runtime = Handle::try_current().ok().map(|handle| handle.id());
    let recipient = Recipient {
        sender,
        runtime,
        spent: None,
    };
    (recipient, Waiting(receiver))
}

impl Waiting {
    /// The answer, and the commit that it comes of, if any. Other answers may come with it, so this is to be polled to its
    /// end or dropped, and not set aside.
    pub(super) async fn answer(self) -> (Answer, Option<Commit>) {
        let Ok(delivery) = self.0.await else {
            return (Err(StoreError::Closed), None);
        };
        let Delivery {
            answer,
            commit,
            spent,
            others,
        } = delivery;
        drop((spent, others));
        (answer, commit)
    }
}

impl Recipient {
    /// Has `spent` come with the answer.
    pub(super) fn bring(mut self, spent: Spent) -> Self {
        self.spent = Some(spent);
        self
    }

    fn deliver(self, answer: Answer, commit: Option<Commit>, others: Others) {
        // Whoever asked may have gone. What was not taken is dropped here, and so delivered to the others.
        let _ = self.sender.send(Delivery {
            answer,
            commit,
            spent: self.spent,
            others,
        });
    }
}

/// Delivers all of `answers`, which come of `commit`, if of any.
pub(super) fn deliver(answers: impl Iterator<Item = (Recipient, Answer)>, commit: Option<Commit>) {
    let mut groups: Vec<(Recipient, Answer, Others)> = Vec::new();
    for (recipient, answer) in answers {
        let beside = |one: &&mut (Recipient, _, _)| {
            recipient.runtime.is_some() && one.0.runtime == recipient.runtime
        };
        if let Some((_, _, others)) = groups.iter_mut().find(beside) {
            others.answers.push((recipient, answer));
        } else {
            let answers = Vec::new();
            groups.push((recipient, answer, Others { answers, commit }));
        }
    }
    for (recipient, answer, others) in groups {
        recipient.deliver(answer, commit, others);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn expect_some() -> (Vec<(Recipient, Answer)>, Vec<Waiting>) {
        let all = (0..5).map(|_| expect());
        all.map(|(recipient, waiting)| ((recipient, Ok(Vec::new())), waiting))
            .unzip()
    }

    #[tokio::test]
    async fn the_first_brings_the_others_theirs() {
        let (answers, mut waiting) = expect_some();
        deliver(answers.into_iter(), None);
        let last = waiting.pop().unwrap();
        let mut last = Box::pin(last.answer());
        assert!((&mut last).now_or_never().is_none());
        assert!(waiting.remove(0).answer().await.0.is_ok());
        assert!(last.now_or_never().unwrap().0.is_ok());
    }

    #[tokio::test]
    async fn one_who_has_gone_keeps_nobody_waiting() {
        for gone_before in [true, false] {
            let (answers, mut waiting) = expect_some();
            if gone_before {
                waiting.remove(0);
                deliver(answers.into_iter(), None);
            } else {
                deliver(answers.into_iter(), None);
                waiting.remove(0);
            }
            for one in waiting {
                assert!(one.answer().now_or_never().unwrap().0.is_ok());
            }
        }
    }

    #[test]
    fn outside_of_any_runtime_each_gets_its_own() {
        let (answers, waiting) = expect_some();
        deliver(answers.into_iter(), None);
        for one in waiting.into_iter().rev() {
            assert!(one.answer().now_or_never().unwrap().0.is_ok());
        }
    }
}
