//! The one thread that writes: it commits for everybody who waits at once, and answers each after the commit.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use rusqlite::{Connection, Statement, Transaction, TransactionBehavior, config::DbConfig, params};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    checkpoint::{self, Checkpointer},
    index::corrupt,
    is_sync_failure,
    lock::Lock,
    record, store_error,
};
use crate::store::{
    Cause, Condition, NewConsignment, Outcome, Receipt, StoreError, log,
    meters::Meters,
    micros,
    queue::{Append, GROUP_ROWS, Task},
    replies,
    traced::Commit,
};

/// A transaction that is durable.
struct Committed {
    /// What became of each member of each batch.
    outcomes: Vec<Vec<Outcome>>,
    /// How long it took to write it to the log and sync it.
    synced: Duration,
}

struct Writer {
    connection: Connection,
    checkpointer: Checkpointer,
    newest: watch::Sender<u64>,
    condition: watch::Sender<Condition>,
    meters: Meters,
}

/// Starts the writer's thread. It ends after [`Task::Close`], or when nobody can send tasks any more.
pub(super) fn start(
    connection: Connection,
    lock: Lock,
    checkpointer: Checkpointer,
    newest: watch::Sender<u64>,
    condition: watch::Sender<Condition>,
    tasks: mpsc::UnboundedReceiver<Task>,
    meters: Meters,
) -> Result<(), Cause> {
    let writer = Writer {
        connection,
        checkpointer,
        newest,
        condition,
        meters,
    };
    let run = move || {
        let closers = writer.run(tasks);
        // Only now may another process open the file, and only then is it closed for those who wait for that.
        drop(lock);
        for closer in closers {
            let _ = closer.send(());
        }
    };
    thread::Builder::new()
        .name("writer".into())
        .spawn(run)
        .map_err(|error| Arc::new(error) as Cause)?;
    Ok(())
}

impl Writer {
    fn run(mut self, mut tasks: mpsc::UnboundedReceiver<Task>) -> Vec<oneshot::Sender<()>> {
        let mut closers = Vec::new();
        while let Some(task) = tasks.blocking_recv() {
            let mut group = Vec::new();
            let mut rows = 0;
            let mut next = Some(task);
            while let Some(task) = next {
                match task {
                    Task::Append(append) => {
                        rows += append.batch.len();
                        group.push(append);
                    }
                    Task::Close(closer) => {
                        tasks.close();
                        closers.push(closer);
                    }
                }
                next = (rows < GROUP_ROWS).then(|| tasks.try_recv().ok()).flatten();
            }
            if !group.is_empty() {
                self.serve(group);
            }
        }
        self.finish();
        closers
    }

    fn serve(&mut self, group: Vec<Append>) {
        let begun = Instant::now();
        let result = self.commit(&group);
        let mut commit = Commit {
            database: "sqlite",
            begun,
            ended: Instant::now(),
            synced: None,
            batches: group.len(),
            consignments: group.iter().map(|append| append.batch.len()).sum(),
        };
        if let Ok(Committed { outcomes, synced }) = &result {
            commit.synced = Some(*synced);
            let took = commit.ended - begun;
            self.meters.committed(commit.consignments, took);
            log::committed(&group, outcomes, took);
        }
        let recipients = group.into_iter().map(Append::into_recipient);
        match result {
            Ok(Committed { outcomes, .. }) => {
                let answers = recipients.zip(outcomes.into_iter().map(Ok));
                replies::deliver(answers, Some(commit));
                self.checkpointer.committed(&self.connection);
            }
            Err(error) => {
                let answers = recipients.map(|recipient| (recipient, Err(error.clone())));
                replies::deliver(answers, Some(commit));
            }
        }
    }

    /// One transaction for all of `group`.
    fn commit(&mut self, group: &[Append]) -> Result<Committed, StoreError> {
        if let Condition::WritesStopped(reason) = &*self.condition.borrow() {
            return Err(StoreError::WritesStopped(reason.clone()));
        }
        let last = *self.newest.borrow();
        let (committed, new_last) = insert(&mut self.connection, group, last, &self.meters)
            .map_err(|error| {
                if is_sync_failure(&error) {
                    return self.stop_writes(&error, group);
                }
                let error = store_error(error);
                log::failed(group, &error);
                error
            })?;
        // Readers see the commit by now, and whoever follows may read it.
        (self.newest).send_if_modified(|newest| std::mem::replace(newest, new_last) != new_last);
        Ok(committed)
    }

    fn stop_writes(&self, error: &rusqlite::Error, group: &[Append]) -> StoreError {
        let reason = format!("could not make a commit durable: {error}");
        tracing::error!(
            requests = log::requests(group),
            "{reason}; nothing is written until shippy is started again"
        );
        self.condition
            .send_replace(Condition::WritesStopped(reason.clone()));
        StoreError::WritesStopped(reason)
    }

    fn finish(self) {
        self.checkpointer.end();
        if *self.condition.borrow() == Condition::Good {
            // Not needed for durability: it spares the next start the reading of the log, which the last connection
            // then takes away.
            let moved = checkpoint::truncate(&self.connection).and_then(|_| {
                let unless_told = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
                self.connection.set_db_config(unless_told, false)
            });
            if let Err(error) = moved {
                tracing::warn!("could not move the log into the register: {error}");
            }
        }
        self.condition.send_replace(Condition::Closed);
    }
}

/// Inserts what is new, after the sequence number `last`, and commits; what came of it and the new last sequence number.
fn insert(
    connection: &mut Connection,
    group: &[Append],
    last: u64,
    meters: &Meters,
) -> rusqlite::Result<(Committed, u64)> {
    let created_at = micros(SystemTime::now());
    let mut last = last;
    // Dropped on the way out of an error, it rolls back.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let outcomes = {
        // The sequence number is SQLite's to give, which spares it a look for one that is taken: where nothing is ever
        // deleted, it gives the next.
        let mut insert = transaction.prepare_cached(
            "INSERT INTO consignment (id, created_at, body, created_by) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO NOTHING",
        )?;
        let mut find = transaction.prepare_cached(
            "SELECT sequence, created_at, body, created_by FROM consignment WHERE id = ?1",
        )?;
        let mut one = |new: &NewConsignment| {
            let receipt = Receipt {
                sequence: last + 1,
                created_at,
                created_by: new.created_by.clone(),
            };
            let outcome = insert_one(&transaction, &mut insert, &mut find, new, receipt)?;
            last += u64::from(matches!(outcome, Outcome::Stored(_)));
            Ok(outcome)
        };
        (group.iter())
            .map(|append| append.batch.iter().map(&mut one).collect())
            .collect::<rusqlite::Result<_>>()?
    };
    let begun = Instant::now();
    transaction.commit()?;
    let synced = begun.elapsed();
    meters.synced(synced);
    Ok((Committed { outcomes, synced }, last))
}

fn insert_one(
    transaction: &Transaction<'_>,
    insert: &mut Statement<'_>,
    find: &mut Statement<'_>,
    new: &NewConsignment,
    receipt: Receipt,
) -> rusqlite::Result<Outcome> {
    let (body, created_by): (&[u8], _) = (&new.body, new.created_by.as_deref());
    if insert.execute(params![new.id, receipt.created_at, body, created_by])? == 1 {
        if u64::try_from(transaction.last_insert_rowid()) != Ok(receipt.sequence) {
            return Err(corrupt("it was written to by another program"));
        }
        return Ok(Outcome::Stored(receipt));
    }
    let known = find.query_row([&new.id], record)?;
    Ok(if known.body == new.body {
        Outcome::AlreadyThere(known.receipt)
    } else {
        Outcome::Conflict(known.receipt)
    })
}
