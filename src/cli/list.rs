//! `shippy list`

use std::{
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use clap::{ArgMatches, Args, error::ErrorKind};
use pbjson_types::Timestamp;
use prost::Message as _;

use super::{
    Exit,
    connect::ClientArgs,
    duration::parse_age,
    exit::say,
    output::{Format, Printer, terminal_width},
};
use crate::proto::{Consignment, ListRequest, Position};

/// List the consignments, oldest first
///
/// Prints those that were stored when the list began, in the order of their sequence numbers, and with --follow those
/// that come. Of several conditions all must be met. A table shows whole ids, and in a terminal that is too narrow for all
/// columns it leaves out, in this order, containers, time, weight and vessel.
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
    /// Only those of this vessel
    #[arg(long, value_name = "VESSEL_ID")]
    vessel: Option<String>,
    /// Only those with a container of this customer
    #[arg(long, value_name = "CUSTOMER_ID")]
    customer: Option<String>,
    /// Only those with a container that this user recorded
    #[arg(long, value_name = "USER_ID")]
    user: Option<String>,
    /// Only those with a container of this origin
    #[arg(long, value_name = "PLACE")]
    origin: Option<String>,
    /// Only those stored since then: a time like 2026-11-22T14:00:00Z, or how long ago, like 90m, 2h or 3d
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Only those stored before then, written as for --since and later than that
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// Begin with the newest
    #[arg(long, conflicts_with = "follow")]
    newest: bool,
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
    let time = |flag| {
        matches
            .get_one(flag)
            .map(|time: &Timestamp| (time.seconds, time.nanos))
    };
    if let (Some(since), Some(until)) = (time("since"), time("until"))
        && until <= since
    {
        return Err(clap::Error::raw(
            ErrorKind::ValueValidation,
            "--since is not before --until, so no time lies between them: --since 3h --until 2h is the hour that ended \
             two hours ago\n",
        ));
    }
    Ok(())
}

/// The list broke off after so many.
#[derive(Debug)]
struct Cut(u64);

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => formatter.write_str("could not list"),
            count => write!(formatter, "the list is cut short after {count}"),
        }
    }
}

/// What is said of a standard output that takes nothing, as on a full disk.
const UNPRINTED: &str = "could not print";

pub(super) fn parse_id(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("an id is not empty".into());
    }
    crate::consignment::id_problem(text).map_or_else(|| Ok(text.to_owned()), Err)
}

/// Now, which is the same for all of a command line: nothing was stored between `2h` and `2h`.
static NOW: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);

/// A time as RFC 3339 has it, or how long ago it was.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Some(age) = parse_age(text) {
        let now = NOW.duration_since(UNIX_EPOCH);
        let now = now.map_err(|_| "this machine's clock stands before 1970")?;
        return Ok(Timestamp {
            seconds: now.as_secs().cast_signed() - age.as_secs().cast_signed(),
            nanos: i32::try_from(now.subsec_nanos()).unwrap_or_default(),
        });
    }
    let time: prost_types::Timestamp = text.parse().map_err(
        |_| "write a time like 2026-11-22T14:00:00Z, or how long ago, like 90s, 90m, 2h or 3d",
    )?;
    Ok(Timestamp {
        seconds: time.seconds,
        nanos: time.nanos,
    })
}

impl ListArgs {
    fn request(&self) -> ListRequest {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        ListRequest {
            ids: self.id.clone(),
            after: (self.after > 0).then(|| Position {
                register: String::new(),
                sequence: self.after,
            }),
            limit: self.limit.unwrap_or_default(),
            follow: self.follow,
            before: None,
            newest_first: self.newest,
            vessel_id: text(&self.vessel),
            customer_id: text(&self.customer),
            user_id: text(&self.user),
            origin: text(&self.origin),
            created_from: self.since,
            created_until: self.until,
        }
    }

    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let (request, output) = (self.request(), self.output);
        let is_whole = request == ListRequest::default();
        let mut client = self.client.client()?;
        let mut listing = client.list(request);
        let mut printer = Printer::new(output, std::io::stdout(), terminal_width());
        while let Some(chunk) = listing.next().await.with_context(|| Cut(printer.count()))? {
            let consignments: Result<Vec<_>, _> = (chunk.consignments.iter())
                .map(Consignment::decode)
                .collect();
            printer.print(consignments?).context(UNPRINTED)?;
        }
        if printer.count() == 0 {
            say(if is_whole {
                "no consignments"
            } else {
                "no such consignments"
            });
        }
        printer.finish().context(UNPRINTED)?;
        Ok(Exit::Done)
    }
}
