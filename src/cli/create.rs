//! `shippy create`

use std::{env, ffi::OsString, sync::Arc};

use anyhow::Context as _;
use clap::Args;
use tokio::task::spawn_blocking;

use self::{
    batch::{Batch, MAX_RECORDS},
    store::{Ended, Storing},
};
use super::{
    Exit,
    connect::ClientArgs,
    exit::{Unfinished, UsageError},
    figures::grouped,
    interrupt::Interrupts,
    progress::Progress,
    watch::Watch,
};
use crate::{
    client::Client,
    formats::read::{Checked, Source},
};

mod batch;
mod command;
mod feed;
mod resume;
mod store;
mod tally;

/// Store the consignments of a file
///
/// FILE holds a JSON object, an array of objects, or objects one after another (NDJSON). All of it is read and checked
/// before anything is sent. Prints the id of each consignment on a line of its own once it is stored.
///
/// A consignment: {"description": "Tea", "weight": 550, "containers": [{"origin": "Leith"}]}. The weight is in
/// kilograms; any key may be left out, and an "id" that is left out is made up. Creating a consignment again under its
/// id is safe: it is stored once. One that the server refuses, as another has its id, does not stop the rest.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The file to read; - is standard input, kept in TMPDIR while it is checked
    #[arg(value_name = "FILE")]
    file: OsString,
    /// Go on with a batch of the same FILE that was not finished, as the command that did not finish says
    #[arg(long, value_name = "BATCH")]
    resume: Option<Batch>,
    /// Only check the file; needs no server
    #[arg(long, conflicts_with = "resume")]
    check: bool,
    /// Print neither progress nor a summary; the ids and what goes wrong are printed all the same
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    client: ClientArgs,
}

impl CreateArgs {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let interrupts = Interrupts::new()?;
        let source = Source::from(self.file);
        let progress = Progress::new(source.name(), self.quiet);
        let mut watch = Watch::new(progress, interrupts);
        let seen = Arc::clone(&watch.progress.done);
        // Standard input may take for ever, and an interrupt must not wait for it.
        let checking = spawn_blocking(move || source.check(&seen));
        let Ok(checked) = watch.during(checking).await else {
            return Ok(Exit::Interrupted);
        };
        let input = checked??;
        if input.counts().unnamed > MAX_RECORDS {
            let text = format!(
                "{} holds more than {MAX_RECORDS} records without an id, as many as one run can name: split it",
                input.name()
            );
            return Err(UsageError(text).into());
        }
        if self.check {
            watch.progress.end();
            watch.progress.note(&all_good(&input));
            return Ok(Exit::Done);
        }
        let mut client = self.client.client()?;
        let plan = match self.resume {
            None => Some(Plan::anew(&mut watch, input)),
            Some(batch) => Plan::going_on(&mut client, &mut watch, input, batch).await?,
        };
        match plan {
            Some(plan) => plan.run(&mut client, &mut watch).await,
            None => Ok(Exit::Interrupted),
        }
    }
}

fn all_good(input: &Checked) -> String {
    let count = input.counts().records;
    let plural = if count == 1 { "" } else { "s" };
    format!(
        "{}: {} consignment{plural}, all good",
        input.name(),
        grouped(count)
    )
}

/// What is to be sent.
struct Plan {
    input: Checked,
    batch: Batch,
    /// How many records at the beginning are stored for certain.
    passed_over: u64,
}

impl Plan {
    /// All of `input`, as a new batch.
    fn anew(watch: &mut Watch, input: Checked) -> Self {
        let batch = Batch::new();
        // What SIGKILL ends cannot say it any more.
        let preface = || format!("this is batch {batch}");
        watch.progress.preface = (input.counts().unnamed > 0).then(preface);
        Self {
            input,
            batch,
            passed_over: 0,
        }
    }

    /// What is left to do of `batch`. `None` when it is interrupted.
    async fn going_on(
        client: &mut Client,
        watch: &mut Watch,
        input: Checked,
        batch: Batch,
    ) -> anyhow::Result<Option<Self>> {
        let counts = input.counts();
        let mut plan = Self {
            input,
            batch,
            passed_over: 0,
        };
        if counts.unnamed == 0 {
            let text = "each record has an id of its own, so all are sent, and stored once";
            let text = format!("{}: {text}", plan.input.name());
            watch.progress.note(&text);
            return Ok(Some(plan));
        }
        let reached = resume::reached(client, batch, counts.unnamed);
        let Ok(reached) = watch.during(reached).await else {
            return Ok(None);
        };
        let Some(mut reached) = reached? else {
            let text = format!("nothing of batch {batch} is stored: beginning at the beginning");
            watch.progress.note(&text);
            return Ok(Some(plan));
        };
        let looking = spawn_blocking(move || {
            plan.passed_over = resume::passed_over(&plan.input, batch, &mut reached)?;
            anyhow::Ok(plan)
        });
        let Ok(plan) = watch.during(looking).await else {
            return Ok(None);
        };
        let plan = plan??;
        let text = format!(
            "batch {batch}: going on after {} of {} records",
            grouped(plan.passed_over),
            grouped(counts.records)
        );
        watch.progress.note(&text);
        Ok(Some(plan))
    }

    async fn run(self, client: &mut Client, watch: &mut Watch) -> anyhow::Result<Exit> {
        let name = self.input.name().to_owned();
        let counts = self.input.counts();
        let mut storing = Storing::new(watch, name.clone(), self.passed_over);
        let ended = storing.run(client, self.input, self.batch).await;
        storing.watch.progress.end();
        storing.tell_untold();
        let tally = storing.tally;
        let unfinished = || Unfinished {
            name: name.clone(),
            stored: tally.stored(),
            total: counts.records,
            batch: (counts.unnamed > 0).then(|| self.batch.to_string()),
            command: command::again(env::args_os(), (counts.unnamed > 0).then_some(self.batch)),
        };
        match ended.with_context(unfinished)? {
            Ended::Interrupted => {
                unfinished().say_interrupted();
                Ok(Exit::Interrupted)
            }
            Ended::Whole => {
                let progress = &watch.progress;
                progress.note(&tally.summary(progress.took()));
                Ok(if tally.refused > 0 {
                    Exit::Refused
                } else {
                    Exit::Done
                })
            }
        }
    }
}
