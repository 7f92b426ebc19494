//! `shippy list`

use anyhow::Context as _;
use clap::{ArgMatches, Args, error::ErrorKind};
use prost::Message as _;

use super::{
    Exit,
    connect::ClientArgs,
    exit::say,
    output::{Format, Printer, terminal_width},
};
use crate::proto::{Consignment, ListRequest, Position};

/// List the consignments, oldest first
///
/// Prints those that were stored when the list began, in the order of their sequence numbers, and with --follow those
/// that come.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// How to print them; `shippy create` reads what json and ndjson print
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
    /// Only the consignment with this id; repeat it for several
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = parse_id)]
    id: Vec<String>,
    /// At most N of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Only those after this sequence number, as when the rest of a list is wanted
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    after: u64,
    /// Go on with what is stored from now on, until Ctrl-C; not with -o json, which ends with a bracket
    #[arg(short, long)]
    pub(super) follow: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// Refuses what contradicts itself.
pub(super) fn check(matches: &ArgMatches) -> Result<(), clap::Error> {
    if matches.get_flag("follow") && matches.get_one::<Format>("output") == Some(&Format::Json) {
        return Err(clap::Error::raw(
            ErrorKind::ArgumentConflict,
            "--follow does not end, and a JSON array must: give -o ndjson for a JSON object a line\n",
        ));
    }
    Ok(())
}

/// What is said of a standard output that takes nothing, as on a full disk.
const UNPRINTED: &str = "could not print";

fn parse_id(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("an id is not empty".into());
    }
    crate::consignment::id_problem(text).map_or_else(|| Ok(text.to_owned()), Err)
}

impl ListArgs {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let request = ListRequest {
            ids: self.id,
            after: (self.after > 0).then(|| Position {
                register: String::new(),
                sequence: self.after,
            }),
            limit: self.limit.unwrap_or_default(),
            follow: self.follow,
        };
        let mut client = self.client.client();
        let mut listing = client.list(request);
        let mut printer = Printer::new(self.output, std::io::stdout(), terminal_width());
        while let Some(chunk) = listing.next().await? {
            let consignments: Result<Vec<_>, _> = (chunk.consignments.into_iter())
                .map(Consignment::decode)
                .collect();
            printer.print(consignments?).context(UNPRINTED)?;
        }
        if printer.count() == 0 {
            say("no consignments");
        }
        printer.finish().context(UNPRINTED)?;
        Ok(Exit::Done)
    }
}
