//! What is logged, to standard error.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// mdns-sd logs as an error whatever an interface refuses, which is an everyday thing that shippy says itself where it
/// matters.
const QUIET: &str = "mdns_sd=off";

/// What is logged and how.
#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// What to log: error, warn, info, debug, trace or off, or a filter as the `tracing` crates have it
    /// [default: info for serve, else warn]
    #[arg(
        long,
        global = true,
        env = "SHIPPY_LOG",
        value_name = "LEVEL",
        help_heading = "Logs"
    )]
    log_level: Option<EnvFilter>,
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

/// Starts logging for the whole process.
pub(super) fn start(args: &LogArgs, serving: bool) {
    let default = if serving {
        LevelFilter::INFO
    } else {
        LevelFilter::WARN
    };
    let filter = args
        .log_level
        .clone()
        .unwrap_or_else(|| EnvFilter::new(format!("{default},{QUIET}")));
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = std::io::stderr().is_terminal() && !no_color;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour)
        // Whoever read the log may go away; saying that on standard error would be a panic.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
