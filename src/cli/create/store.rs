//! Sends a checked input and takes in what becomes of it.

use std::{
    io::{self, ErrorKind, Write as _},
    sync::{Arc, atomic::Ordering},
};

use anyhow::Context as _;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    batch::Batch,
    feed::{Feed, Outlets, Sent},
    tally::Tally,
};
use crate::{
    cli::watch::{Interrupted, Watch},
    client::Client,
    formats::read::Checked,
    proto::Outcome,
};

/// How many chunks are made ready before they can be sent.
const READY_CHUNKS: usize = 2;

/// How many refused records are told one by one.
const MAX_TOLD: u64 = 20;

/// How a run ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Every record was answered for.
    Whole,
    Interrupted,
}

/// Stores one input's records.
pub(super) struct Storing<'a> {
    pub(super) watch: &'a mut Watch,
    /// The input's name.
    pub(super) name: String,
    pub(super) tally: Tally,
    /// Whether somebody still reads the ids.
    is_read: bool,
}

impl<'a> Storing<'a> {
    /// Stores none yet; `passed_over` records at the beginning need not be.
    pub(super) fn new(watch: &'a mut Watch, name: String, passed_over: u64) -> Self {
        Self {
            watch,
            name,
            tally: Tally {
                passed_over,
                ..Tally::default()
            },
            is_read: true,
        }
    }

    /// Sends what is left of `input` and prints the ids of what is stored.
    ///
    /// # Errors
    ///
    /// [`ClientError`](crate::client::ClientError), [`InputError`](crate::formats::read::InputError) when the input was
    /// changed, or that an id cannot be printed. What `tally` counts is stored all the same.
    pub(super) async fn run(
        &mut self,
        client: &mut Client,
        input: Checked,
        batch: Batch,
    ) -> anyhow::Result<Ended> {
        let total = input.counts().records;
        let (records, mut sent) = mpsc::unbounded_channel();
        let (chunks, ready) = mpsc::channel(READY_CHUNKS);
        let feed = Feed {
            input,
            batch,
            passed_over: self.tally.passed_over,
            stop: Arc::clone(&self.watch.stop),
        };
        let reading = spawn_blocking(move || feed.run(&Outlets { records, chunks }));
        let progress = &mut self.watch.progress;
        progress.begin("stored", total, self.tally.passed_over);
        let mut load = client.load(ready);
        loop {
            let Ok(outcomes) = self.watch.during(load.next()).await else {
                return Ok(Ended::Interrupted);
            };
            let Some(outcomes) = outcomes? else { break };
            let sent = sent.recv().await.unwrap_or_default();
            if let Err(Interrupted) = self.take(&sent, &outcomes).await? {
                return Ok(Ended::Interrupted);
            }
        }
        reading.await??;
        let is_whole =
            !self.watch.is_stopped() || self.tally.passed_over + self.tally.answered() == total;
        Ok(if is_whole {
            Ended::Whole
        } else {
            Ended::Interrupted
        })
    }

    /// Counts and prints a chunk's outcomes.
    async fn take(
        &mut self,
        sent: &[Sent],
        outcomes: &[Outcome],
    ) -> anyhow::Result<Result<(), Interrupted>> {
        self.watch.is_under_way = true;
        let mut ids = String::new();
        for (sent, outcome) in sent.iter().zip(outcomes) {
            if let Some(refusal) = self.tally.count(sent, outcome) {
                if self.tally.refused <= MAX_TOLD {
                    let text = format!("{}:{}: {refusal}", self.name, sent.line);
                    self.watch.progress.say(&text);
                }
            } else {
                ids.push_str(&sent.id);
                ids.push('\n');
            }
        }
        let done = self.tally.passed_over + self.tally.answered();
        self.watch.progress.done.store(done, Ordering::Relaxed);
        self.print(ids).await
    }

    /// Prints to standard output, where a reader may be slow.
    async fn print(&mut self, text: String) -> anyhow::Result<Result<(), Interrupted>> {
        if !self.is_read || text.is_empty() {
            return Ok(Ok(()));
        }
        let aside = self.watch.progress.aside();
        let printing = spawn_blocking(move || {
            let mut printed = Ok(());
            aside(&mut || printed = write(&text));
            printed
        });
        match self.watch.during(printing).await {
            Err(Interrupted) => return Ok(Err(Interrupted)),
            // Whoever read the ids has seen enough; what the file holds is to be stored all the same.
            Ok(Ok(Err(error))) if error.kind() == ErrorKind::BrokenPipe => self.is_read = false,
            Ok(printed) => printed?.context("could not print the ids of what is stored")?,
        }
        Ok(Ok(()))
    }

    /// Says of how many refused records nothing was said.
    pub(super) fn tell_untold(&self) {
        let untold = self.tally.refused.saturating_sub(MAX_TOLD);
        if untold > 0 {
            let text = format!("{}: {untold} more were refused", self.name);
            self.watch.progress.say(&text);
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
