//! The one task that writes: it commits for everybody who waits at once, and answers each after the commit. What fails
//! because the database does not answer is tried again, which is safe by the ids, until its time is over.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    commit::{Committed, Committer, Tried},
    connect::Connector,
    failure::{Failure, Meaning},
    follow::Newest,
    health::{Asker, Health},
    schema::Found,
    turns::Turns,
};
use crate::store::{
    StoreError, log,
    meters::Meters,
    queue::{Append, GROUP_ROWS, Task},
    replies::{self, Recipient},
    traced::Commit,
};

/// Most bytes of bodies in one commit, about, so that a commit takes no longer than the database is given for it.
const GROUP_BYTES: usize = 4 * 1024 * 1024;
/// How long a batch waits for a database that does not answer, before its sender is told: time enough to start one again
/// that has stopped, and less than a client waits for.
const PATIENCE: Duration = Duration::from_secs(3);
/// About how long a group waits at most for those to come again who have just been answered, where it does: timers go by
/// milliseconds, so it is up to twice as long.
const RETURN_WAIT: Duration = Duration::from_millis(1);
/// How long nothing is tried after nobody has answered, from the first time to the longest.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
];

pub(super) struct Writer {
    pub(super) connector: Arc<Connector>,
    pub(super) health: Arc<Health>,
    pub(super) newest: Newest,
    pub(super) found: Found,
    pub(super) tasks: mpsc::UnboundedReceiver<Task>,
    pub(super) meters: Meters,
}

/// What a writer is at.
struct Work {
    writer: Writer,
    committer: Option<Committer>,
    /// What is to be committed next, in the order in which it came.
    group: Vec<Append>,
    /// What is in it: members of its batches, and bytes of their bodies.
    rows: usize,
    bytes: usize,
    tried: Tried,
    closers: Vec<oneshot::Sender<()>>,
    /// How often nobody has answered since somebody did.
    silences: usize,
    turns: Turns,
    /// How many batches the next group waits for.
    expected: usize,
}

impl Writer {
    /// Writes until it is closed, or nobody can hand over anything any more.
    pub(super) async fn run(self, committer: Committer) {
        let mut work = Work {
            writer: self,
            committer: Some(committer),
            group: Vec::new(),
            rows: 0,
            bytes: 0,
            tried: Tried::new(),
            closers: Vec::new(),
            silences: 0,
            turns: Turns::default(),
            expected: 0,
        };
        while work.gather().await {
            work.serve().await;
        }
        // Only now is it closed for those who wait for that.
        work.writer.health.close();
        drop(work.committer);
        for closer in work.closers {
            let _ = closer.send(());
        }
    }
}

impl Work {
    /// Takes what waits, and waits for something unless the database has to be asked whether it is back; whether there
    /// is anything left to do.
    async fn gather(&mut self) -> bool {
        if self.group.is_empty() && self.silences == 0 {
            match self.writer.tasks.recv().await {
                Some(task) => self.take(task),
                None => return false,
            }
        } else if self.silences > 0 {
            let pause = PAUSES[self.silences.min(PAUSES.len()) - 1];
            if self.group.is_empty() {
                match timeout(pause, self.writer.tasks.recv()).await {
                    Ok(Some(task)) => self.take(task),
                    Ok(None) => return false,
                    Err(_) => {}
                }
            } else {
                sleep(pause).await;
            }
        }
        self.wait_for_expected().await;
        while self.has_room()
            && let Ok(task) = self.writer.tasks.try_recv()
        {
            self.take(task);
        }
        true
    }

    /// Takes what comes until there is as much as expected, or it has not come in time.
    async fn wait_for_expected(&mut self) {
        let expected = std::mem::take(&mut self.expected);
        if expected == 0 {
            return;
        }
        let until = Instant::now() + RETURN_WAIT;
        while self.group.len() < expected && self.has_room() {
            match timeout_at(until, self.writer.tasks.recv()).await {
                Ok(Some(task)) => self.take(task),
                _ => return self.turns.came(false),
            }
        }
        self.turns.came(true);
    }

    fn has_room(&self) -> bool {
        self.rows < GROUP_ROWS && self.bytes < GROUP_BYTES
    }

    fn take(&mut self, task: Task) {
        match task {
            Task::Append(append) => {
                self.rows += append.batch.len();
                self.bytes += bytes(&append);
                self.group.push(append);
            }
            Task::Close(closer) => {
                self.writer.tasks.close();
                self.closers.push(closer);
            }
        }
    }

    /// Empties the group; whom it was to answer.
    fn leave(&mut self) -> impl Iterator<Item = Recipient> {
        self.tried.clear();
        (self.rows, self.bytes) = (0, 0);
        let group = std::mem::take(&mut self.group);
        group.into_iter().map(Append::into_recipient)
    }

    /// Commits the group, or asks the database whether it is back where there is none, and answers whom it can.
    async fn serve(&mut self) {
        let begun = Instant::now();
        match self.commit().await {
            Ok(Committed {
                outcomes,
                last,
                has_waited,
            }) => {
                let waiting = self.writer.tasks.len();
                self.expected = self.turns.expect(has_waited, self.group.len(), waiting);
                let commit = self.ended(begun);
                if commit.consignments > 0 {
                    let took = commit.ended - commit.begun;
                    self.writer.meters.committed(commit.consignments, took);
                    log::committed(&self.group, &outcomes, took);
                }
                self.silences = 0;
                self.writer.health.answers(Asker::Writer);
                // It can be read by now, and whoever follows may do so.
                self.writer.newest.is_at_least(last);
                let answers = self.leave().zip(outcomes.into_iter().map(Ok));
                replies::deliver(answers, Some(commit));
            }
            Err(failure) => self.fail(failure, begun).await,
        }
    }

    async fn commit(&mut self) -> Result<Committed, Failure> {
        let Writer {
            connector, found, ..
        } = &self.writer;
        let committer = match &mut self.committer {
            Some(committer) => committer,
            none => none.insert(Committer::connect(connector, found).await?),
        };
        committer
            .commit(found.number, &self.group, &mut self.tried)
            .await
    }

    /// The group's commit, which `begun` then and is over.
    fn ended(&self, begun: Instant) -> Commit {
        Commit {
            database: "postgresql",
            begun: begun.into_std(),
            ended: Instant::now().into_std(),
            synced: None,
            batches: self.group.len(),
            consignments: self.rows,
        }
    }

    async fn fail(&mut self, failure: Failure, begun: Instant) {
        let commit = self.ended(begun);
        let meaning = failure.meaning();
        let is_usable = matches!(meaning, Meaning::Again | Meaning::Full);
        if let Some(committer) = self.committer.take()
            && is_usable
            && committer.roll_back().await
        {
            self.committer = Some(committer);
        }
        match meaning {
            Meaning::Again | Meaning::Away => {
                self.silences += 1;
                let reason = failure.reason();
                tracing::debug!(
                    requests = log::requests(&self.group),
                    "a commit is tried again: {reason}"
                );
                // A connection that broke is no news when the next one holds.
                if self.silences > 1 && meaning == Meaning::Away {
                    self.writer.health.is_silent(Asker::Writer, reason);
                }
                self.give_up_on_the_old(&StoreError::from(failure), commit);
            }
            // What is wrong lasts, so whoever waits is told, and so is whoever comes.
            Meaning::Refused | Meaning::Full | Meaning::Other => {
                if meaning == Meaning::Refused {
                    self.silences += 1;
                    let reason = failure.reason();
                    self.writer.health.is_silent(Asker::Writer, reason);
                } else {
                    self.silences = 0;
                }
                let error = StoreError::from(failure);
                log::failed(&self.group, &error);
                let all = self.leave();
                let answers = all.map(|recipient| (recipient, Err(error.clone())));
                replies::deliver(answers, Some(commit));
            }
        }
    }

    /// Tells those who have waited long enough, last for `commit`.
    fn give_up_on_the_old(&mut self, error: &StoreError, commit: Commit) {
        let now = Instant::now().into_std();
        let is_old = |append: &mut Append| now.duration_since(append.since) >= PATIENCE;
        let old: Vec<_> = self.group.extract_if(.., is_old).collect();
        self.rows -= old.iter().map(|append| append.batch.len()).sum::<usize>();
        self.bytes -= old.iter().map(bytes).sum::<usize>();
        if self.group.is_empty() {
            self.tried.clear();
        }
        log::failed(&old, error);
        let told = |append: Append| (append.into_recipient(), Err(error.clone()));
        replies::deliver(old.into_iter().map(told), Some(commit));
    }
}

fn bytes(append: &Append) -> usize {
    append.batch.iter().map(|new| new.body.len()).sum()
}
