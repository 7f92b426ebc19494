//! What is logged, to standard error.

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    io::{self, IsTerminal as _, Write},
};

use clap::{Args, ValueEnum};
use tracing_subscriber::{
    filter::{LevelFilter, ParseError, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::escape::acts;

/// hickory-resolver warns of each setting in /etc/resolv.conf that it does not have, of which nothing need come.
const QUIET: &str = "hickory_resolver::system_conf";

const FLAG: &str = "--log-format";
const VARIABLE: &str = "SHIPPY_LOG_FORMAT";

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
        env = VARIABLE,
        value_enum,
        default_value = "text",
        help_heading = "Logs"
    )]
    pub(super) log_format: LogFormat,
}

/// How whatever a server says on standard error is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
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
            .with_target(QUIET, LevelFilter::OFF)
    };
    let filter = args.log_level.clone().unwrap_or_else(by_default);
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = std::io::stderr().is_terminal() && !no_color;
    let spelling = match args.log_format {
        LogFormat::Text if colour => Spelling::Coloured,
        LogFormat::Text => Spelling::Plain,
        LogFormat::Json => Spelling::Json,
    };
    let lines = fmt::layer()
        .with_ansi(colour)
        // Whoever read the log may go away; saying that on standard error would be a panic.
        .log_internal_errors(false)
        .with_writer(move || Lines { spelling });
    // The filter is beneath the lines, so that its highest level is known to all that might log.
    let logs = tracing_subscriber::registry().with(filter);
    match args.log_format {
        LogFormat::Text => logs.with(lines.with_target(false)).init(),
        LogFormat::Json => logs.with(lines.json()).init(),
    }
}

/// Says in a log line of JSON why the command ends with `exit`, whatever the level of the log.
pub(super) fn say_json(message: &str, exit: u8) {
    let lines = fmt::layer()
        .json()
        .log_internal_errors(false)
        .with_writer(|| Lines {
            spelling: Spelling::Json,
        });
    let all = tracing_subscriber::registry().with(lines);
    tracing::subscriber::with_default(all, || tracing::error!(exit, "{message}"));
}

/// The format that the command line or the environment asks for, as far as that can be told of a command line that is
/// wrong.
pub(super) fn format_of(arguments: &[OsString]) -> LogFormat {
    let given =
        |(index, argument): (usize, &OsString)| match argument.to_str()?.strip_prefix(FLAG)? {
            "" => arguments.get(index + 1).cloned(),
            rest => rest.strip_prefix('=').map(Into::into),
        };
    let typed = arguments.iter().enumerate().find_map(given);
    match typed.or_else(|| env::var_os(VARIABLE)) {
        Some(format) if format == "json" => LogFormat::Json,
        _ => LogFormat::Text,
    }
}

/// Standard error, where whatever is written at once is one line, and does nothing but be read. Libraries log in their own
/// words what they were sent.
struct Lines {
    spelling: Spelling,
}

/// How to write what would act on a terminal.
#[derive(Debug, Clone, Copy)]
enum Spelling {
    /// Spelled out.
    Plain,
    /// The same, but colours, which are tracing's own: it leaves none in what is logged.
    Coloured,
    /// As JSON has it.
    Json,
}

impl Write for Lines {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut stderr = io::stderr().lock();
        match spelled(line, self.spelling) {
            Some(line) => stderr.write_all(format!("{line}\n").as_bytes())?,
            None => stderr.write_all(event)?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// `line` with what acts on a terminal spelled out; `None` when it has nothing of that.
fn spelled(line: &str, spelling: Spelling) -> Option<String> {
    const ESCAPE: char = '\u{1b}';
    let is_spelled =
        |char| acts(char) && !(matches!(spelling, Spelling::Coloured) && char == ESCAPE);
    if !line.contains(is_spelled) {
        return None;
    }
    let mut shown = String::with_capacity(line.len() + 8);
    for char in line.chars() {
        if !is_spelled(char) {
            shown.push(char);
        } else if matches!(spelling, Spelling::Json) {
            // None of those that act is beyond four digits.
            let _ = write!(shown, "\\u{:04x}", u32::from(char));
        } else {
            shown.extend(char.escape_default());
        }
    }
    Some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_is_one_line_that_does_nothing() {
        let evil = "a\u{9b}1A\u{202e}\r\nb";
        let plain = "a\\u{9b}1A\\u{202e}\\r\\nb";
        assert_eq!(spelled(evil, Spelling::Plain).as_deref(), Some(plain));
        let coloured = spelled("\u{1b}[33mWARN\u{1b}[0m a\nb", Spelling::Coloured);
        assert_eq!(coloured.as_deref(), Some("\u{1b}[33mWARN\u{1b}[0m a\\nb"));
        assert_eq!(spelled("Zürich", Spelling::Plain), None);
        // JSON's own escapes are left as they are.
        let json = spelled("{\"message\":\"a\\n\u{202e}\u{7f}\"}", Spelling::Json).unwrap();
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["message"], "a\n\u{202e}\u{7f}");
    }

    #[test]
    fn a_level_is_a_word_that_is_known() {
        for text in ["info", "off", "warn,shippy=debug,hyper=trace"] {
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
