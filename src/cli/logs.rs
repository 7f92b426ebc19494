//! What is logged, to standard error.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tracing_subscriber::{
    filter::{LevelFilter, ParseError, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// mdns-sd logs as an error whatever an interface refuses, which is an everyday thing that shippy says itself where it
/// matters. hickory-resolver warns of each setting in /etc/resolv.conf that it does not have, of which nothing need come.
const QUIET: [&str; 2] = ["mdns_sd", "hickory_resolver::system_conf"];

/// What is logged and how.
#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// What to log: error, warn, info, debug, trace or off, or one for each part of the program, like warn,shippy=debug
    /// [default: info for serve, else warn]
    #[arg(
        long,
        global = true,
        env = "SHIPPY_LOG",
        value_name = "LEVEL",
        value_parser = parse_levels,
        help_heading = "Logs"
    )]
    log_level: Option<Targets>,
    /// How to write log lines, which go to standard error
    #[arg(
        long,
        global = true,
        env = "SHIPPY_LOG_FORMAT",
        value_enum,
        default_value = "text",
        help_heading = "Logs"
    )]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// A word without a level would stand for a part of the program, which is not what a slip of the pen means.
fn parse_levels(text: &str) -> Result<Targets, String> {
    let is_level = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    match text.split(',').find(|part| !is_level(part)) {
        Some(part) => Err(format!(
            "{part:?} is no level: write error, warn, info, debug or trace"
        )),
        None => text.parse().map_err(|error: ParseError| error.to_string()),
    }
}

/// Starts logging for the whole process.
pub(super) fn start(args: &LogArgs, serving: bool) {
    let default = if serving {
        LevelFilter::INFO
    } else {
        LevelFilter::WARN
    };
    let by_default = || {
        Targets::new()
            .with_default(default)
            .with_targets(QUIET.map(|part| (part, LevelFilter::OFF)))
    };
    let filter = args.log_level.clone().unwrap_or_else(by_default);
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = std::io::stderr().is_terminal() && !no_color;
    let lines = fmt::layer()
        .with_ansi(colour)
        // Whoever read the log may go away; saying that on standard error would be a panic.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    // The filter is beneath the lines, so that its highest level is known to all that might log.
    let logs = tracing_subscriber::registry().with(filter);
    match args.log_format {
        LogFormat::Text => logs.with(lines.with_target(false)).init(),
        LogFormat::Json => logs.with(lines.json()).init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_word_that_is_known() {
        for text in ["info", "off", "warn,shippy=debug,mdns_sd=trace"] {
            assert!(parse_levels(text).is_ok(), "{text:?} was refused");
        }
        for text in [
            "debgu",
            "shippy",
            "warn,shippy",
            "shippy=loud",
            "warn=info=debug",
        ] {
            assert!(parse_levels(text).is_err(), "{text:?} was taken");
        }
    }
}
