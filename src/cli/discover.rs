//! `shippy discover`

use std::{io::Write as _, time::Duration};

use anyhow::Context as _;
use clap::{ArgMatches, Args, ValueEnum, parser::ValueSource};

use super::{Exit, connect::ClientArgs, duration::parse_duration, exit::say};
use crate::{
    causes::chain,
    client::survey::{Survey, Surveyed, Surveyee},
    escape::escape_control,
};

mod cause;
mod conclusion;
mod explain;
mod json;
mod report;
mod table;
mod watch;

/// Show what is on the network: every server, whatever its name
///
/// Looks for as long as --for says, asks each server that it finds how it is, at all of its addresses, and prints them.
/// Through Consul and DNS only those of one name can be found. It exits with 0 if at least one takes connections, and else
/// with 3.
#[derive(Debug, Args)]
pub(super) struct DiscoverArgs {
    /// How to print them
    #[arg(short, long, value_enum, default_value = "table")]
    output: Shape,
    /// How long to look for servers, like 2s or 500ms; then they have --timeout to answer, all of them together
    #[arg(long = "for", value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    time: Duration,
    /// Go on, and print a line for each server that appears, becomes unreachable, comes back or is gone, until Ctrl-C;
    /// with -o json or ndjson each is a JSON object
    #[arg(short, long)]
    pub(super) watch: bool,
    /// Say why no server is found, or none of the name, and what to do: how the interfaces are, what was asked and heard,
    /// who holds UDP port 5353, whether this is a container, what a firewall drops
    #[arg(long, conflicts_with = "watch")]
    explain: bool,
    #[command(flatten)]
    client: ClientArgs,
    /// Whether a name was given, so that servers of that name alone are wanted.
    #[arg(skip)]
    is_name_given: bool,
}

/// How servers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// A line each under a header, for people
    Table,
    /// One indented JSON array
    Json,
    /// A JSON object a line
    Ndjson,
}

impl DiscoverArgs {
    /// Takes in what the values alone do not say: where they come from.
    pub(super) fn note_sources(&mut self, matches: &ArgMatches) {
        let source = matches.value_source("name");
        self.is_name_given = source.is_some_and(|source| source != ValueSource::DefaultValue);
    }

    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let of_one_name = self.is_name_given && !self.explain;
        let survey = self.client.survey(of_one_name, self.time)?;
        if self.explain {
            return explain::run(&survey, self.client.is_multicast(), self.output).await;
        }
        if self.watch {
            return watch::run(&survey, self.output == Shape::Table).await;
        }
        let surveyed = survey.run().await;
        print(&surveyed, self.output).context("could not print")?;
        if surveyed.is_cut {
            say("shippy: there are more, which are left out: no network has so many servers");
        }
        if surveyed.servers.is_empty() {
            say(&nothing(&survey, &surveyed));
        }
        Ok(exit(&surveyed))
    }
}

/// 0 where somebody can be called.
fn exit(surveyed: &Surveyed) -> Exit {
    let mut servers = surveyed.servers.iter();
    if servers.any(Surveyee::is_reached) {
        Exit::Done
    } else {
        Exit::NoServer
    }
}

fn print(surveyed: &Surveyed, shape: Shape) -> std::io::Result<()> {
    let servers = &surveyed.servers;
    let mut out = std::io::stdout();
    match shape {
        Shape::Table if servers.is_empty() => {}
        Shape::Table => {
            out.write_all(table::table(servers).as_bytes())?;
            for note in table::notes(servers) {
                say(&note);
            }
        }
        Shape::Json => writeln!(out, "{}", json::array(servers))?,
        Shape::Ndjson => {
            for server in servers {
                writeln!(out, "{}", json::line(&json::Server::new(server)))?;
            }
        }
    }
    out.flush()
}

/// What to say where nothing was found.
fn nothing(survey: &Survey, surveyed: &Surveyed) -> String {
    let asked = survey.registry.describe();
    let name = if survey.of_all_names {
        "any name".to_owned()
    } else {
        format!("{:?}", survey.options.name)
    };
    let register = (survey.options.register.as_ref())
        .map_or_else(String::new, |prefix| format!(", register {prefix}…"));
    let why = (surveyed.error.as_ref()).map_or_else(String::new, |error| {
        format!(": {}", escape_control(&chain(error)))
    });
    format!(
        "shippy: no server found: asked {asked} for {name}{register}, for {:.1?}{why}\nsee why: shippy discover --explain",
        survey.time
    )
}
