//! `shippy create`

use std::{
    ffi::OsString,
    io::{ErrorKind, Write as _},
};

use anyhow::Context as _;
use clap::Args;

use super::{
    Exit,
    connect::ClientArgs,
    exit::Unfinished,
    input::{self, Source},
    interrupt::Interrupts,
};
use crate::{client::Client, consignment};

/// Store the consignments of a file
///
/// FILE holds a JSON object, an array of objects, or objects one after another (NDJSON). All of it is read and checked
/// before anything is sent. Prints the id of each consignment on a line of its own once it is stored.
///
/// A consignment: {"description": "Tea", "weight": 550, "containers": [{"origin": "Leith"}]}. The weight is in
/// kilograms; any key may be left out, and an "id" that is left out is made up. Creating a consignment again under its
/// id is safe: it is stored once.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The file to read; - is standard input
    #[arg(value_name = "FILE")]
    file: OsString,
    #[command(flatten)]
    client: ClientArgs,
}

impl CreateArgs {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let source = Source::from(self.file);
        let name = source.name();
        let mut interrupts = Interrupts::new()?;
        // Standard input may take for ever, and an interrupt must not wait for it.
        let records = tokio::select! {
            records = tokio::task::spawn_blocking(move || input::read(&source)) => records??,
            _ = interrupts.next() => return Ok(Exit::Interrupted),
        };
        create(&mut self.client.client(), &mut interrupts, &name, records).await
    }
}

async fn create(
    client: &mut Client,
    interrupts: &mut Interrupts,
    name: &str,
    records: Vec<input::Record>,
) -> anyhow::Result<Exit> {
    let total = records.len();
    let own_ids = records
        .iter()
        .all(|record| !record.consignment.id.is_empty());
    for (stored, mut record) in records.into_iter().enumerate() {
        let consignment = &mut record.consignment;
        if consignment.id.is_empty() {
            consignment.id = consignment::new_id();
        }
        let here = || Unfinished {
            place: format!("{name}:{}", record.line),
            id: consignment.id.clone(),
            stored,
            total,
            own_ids,
        };
        tokio::select! {
            created = client.create(consignment) => {
                created.with_context(here)?;
            }
            _ = interrupts.next() => {
                here().say_interrupted();
                return Ok(Exit::Interrupted);
            }
        }
        match writeln!(std::io::stdout(), "{}", record.consignment.id) {
            // Whoever read the ids has seen enough; what the file holds is to be stored all the same.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            printed => printed.context("could not print the id of what is stored")?,
        }
    }
    Ok(Exit::Done)
}
