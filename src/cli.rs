//! The command line.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::{self, ExitCode},
    sync::Arc,
};

use clap::{
    Arg, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    builder::Resettable,
    error::{ContextKind, ContextValue, ErrorKind},
};
use tokio::runtime::{Builder, Runtime};

use self::{exit::UsageError, logs::LogFormat};
use crate::{
    backend::{RegistryKind, RegistrySettings},
    registry::{Registry, access::Tenure},
};

mod backup;
mod certs;
mod completions;
mod connect;
mod create;
mod discover;
mod duration;
mod exit;
mod figures;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod health;
mod interrupt;
mod limits;
mod list;
mod logs;
mod manual;
pub mod output;
mod progress;
mod security;
mod serve;
mod shell;
mod sound;
mod store;
mod tenure;
mod token;
mod verify;
mod watch;

pub use exit::Exit;

/// The name that a service has when it is given none, as in the Go services.
const DEFAULT_NAME: &str = "go.micro.srv.consignment";
/// Longest service name in bytes: it is one string of a DNS TXT record, whose length is one byte (RFC 1035 §3.3).
const MAX_NAME_BYTES: usize = 200;

/// The settings that are kept from go-micro; any other variable with their prefix is warned of.
const KNOWN_MICRO: [&str; 9] = [
    "MICRO_SERVER_NAME",
    "MICRO_SERVER_VERSION",
    "MICRO_SERVER_ID",
    "MICRO_SERVER_ADDRESS",
    "MICRO_SERVER_ADVERTISE",
    "MICRO_REGISTRY",
    "MICRO_REGISTRY_ADDRESS",
    "MICRO_REGISTER_TTL",
    "MICRO_REGISTER_INTERVAL",
];

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    called wrongly, or the input is bad; nothing was sent
  3    no server was found, or none answered
  4    the server refused, all or some of it
  5    several registers were found and none was chosen
  130  interrupted";

/// A register of shipping consignments
///
/// `shippy serve` keeps it; `shippy create FILE` and `shippy list` find the server on the network by themselves.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logs: logs::LogArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Create(create::CreateArgs),
    List(list::ListArgs),
    Discover(discover::DiscoverArgs),
    Health(health::HealthArgs),
    Token(token::TokenArgs),
    Certs(certs::CertsArgs),
    Backup(backup::BackupArgs),
    Verify(verify::VerifyArgs),
    Completions(completions::CompletionsArgs),
    Man(manual::ManArgs),
}

/// Which service, and where servers and clients meet.
#[derive(Debug, Args)]
struct ServiceArgs {
    /// The service's name: clients find the servers that were started with the same name
    #[arg(long, env = "MICRO_SERVER_NAME", default_value = DEFAULT_NAME, value_parser = parse_name)]
    name: String,
    /// How servers make themselves known and clients look for them
    #[arg(long, env = "MICRO_REGISTRY", value_enum, default_value = "mdns")]
    registry: RegistryKind,
    /// Where the registry is that --registry names, https:// before it for TLS; several are as good as one another.
    /// For dns it is what to look up: NAME for its SRV records `_shippy._tcp`, else its addresses with port 50051,
    /// NAME:PORT for addresses alone, `_PORT._tcp.NAME` for those SRV records alone; `dns://SERVER/` before it asks
    /// another DNS server than the system's. etcd's user comes from `SHIPPY_REGISTRY_USER` and
    /// `SHIPPY_REGISTRY_PASSWORD`, Consul's token from `CONSUL_HTTP_TOKEN`
    #[arg(
        long,
        env = "MICRO_REGISTRY_ADDRESS",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    registry_address: Vec<String>,
    /// The certificate authority that the registry's certificate comes from, a PEM file [default: the system's]
    #[arg(long, env = "SHIPPY_REGISTRY_CA", value_name = "FILE")]
    registry_ca: Option<PathBuf>,
}

impl ServiceArgs {
    /// Whether clients are sent to DNS without a name.
    fn looks_nothing_up(&self) -> bool {
        let is_empty = |address: &String| address.trim().is_empty();
        self.registry == RegistryKind::Dns && self.registry_address.iter().all(is_empty)
    }

    /// Sets the registry up, for announcements that last as `tenure` says.
    fn registry(&self, tenure: Tenure) -> Result<Arc<dyn Registry>, UsageError> {
        let settings = RegistrySettings {
            kind: self.registry,
            addresses: self.registry_address.clone(),
            authority: self.registry_ca.clone(),
            tenure,
        };
        settings
            .open()
            .map_err(|error| UsageError(error.to_string()))
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
    if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.chars().all(is_plain) {
        return Err(format!(
            "a name is 1 to {MAX_NAME_BYTES} of A-Z, a-z, 0-9, \".\", \"_\" and \"-\""
        ));
    }
    Ok(text.to_owned())
}

impl Cli {
    /// Reads the command line and the environment. Whoever asks for help, or calls wrongly, is answered here, and the
    /// process ends.
    #[must_use]
    pub fn read() -> Self {
        Self::try_read(env::args_os()).unwrap_or_else(|error| answer(&error))
    }

    fn try_read(arguments: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        let typed: Vec<_> = arguments.collect();
        let mut command = completed(Self::command());
        let matches = (command.try_get_matches_from_mut(&typed))
            .map_err(|error| with_variable(error, &command, &typed))?;
        match matches.subcommand() {
            Some(("serve", matches)) => serve::check(matches)?,
            Some(("list", matches)) => list::check(matches)?,
            Some(("backup", matches)) => store::check(matches)?,
            _ => {}
        }
        let mut read = Self::from_arg_matches(&matches)?;
        if let (Command::Discover(args), Some((_, matches))) =
            (&mut read.command, matches.subcommand())
        {
            args.note_sources(matches);
        }
        Ok(read)
    }

    /// Runs the command and says how it ended. Everything that went wrong has been printed.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let is_server = matches!(self.command, Command::Serve(_));
        logs::start(&self.logs, is_server);
        let format = self.logs.log_format;
        warn_of_unknown_settings(env::vars_os());
        let result = runtime().and_then(|runtime| {
            let result = runtime.block_on(self.command.run());
            // A thread may still wait for standard input, which need not ever come.
            runtime.shutdown_background();
            result
        });
        exit::report(result, format).into()
    }
}

/// Prints what was asked for or what is wrong, and ends the process.
fn answer(error: &clap::Error) -> ! {
    let arguments: Vec<_> = env::args_os().collect();
    if error.use_stderr() && logs::format_of(&arguments) == LogFormat::Json {
        let said = error.to_string();
        let said = said.strip_prefix("error: ").unwrap_or(&said);
        let exit = Exit::Usage as u8;
        logs::say_json(said.trim_end(), exit);
        process::exit(exit.into());
    }
    error.exit()
}

/// `command` and all beneath it with what goes for each of them.
fn completed(command: clap::Command) -> clap::Command {
    command
        .after_help(EXIT_CODES)
        .mut_args(settled)
        .mut_subcommands(completed)
}

/// A variable that is set to nothing counts as not set: `docker compose` sets those that it has no value for so. What
/// is set stays out of the help, as it may be a secret.
fn settled(argument: Arg) -> Arg {
    let is_empty = |name| env::var_os(name).is_some_and(|value| value.is_empty());
    let argument = argument.hide_env_values(true);
    if argument.get_env().is_some_and(is_empty) {
        argument.env(Resettable::Reset)
    } else {
        argument
    }
}

/// Has `error` name the variable that a bad value comes from, where the flag that clap names was not `typed`.
fn with_variable(
    mut error: clap::Error,
    command: &clap::Command,
    typed: &[OsString],
) -> clap::Error {
    let is_of_value = matches!(
        error.kind(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
    );
    // `--timeout <TIME>`
    if let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
        && let Some(flag) = argument.split(' ').next()
        && is_of_value
        && !typed.iter().any(|text| is_flag(text, flag))
        && let Some(variable) = variable_of(flag, command)
    {
        let tip = format!("the value comes from the environment variable {variable}");
        let tips = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tips);
    }
    error
}

/// Whether `text` is `flag`, by itself or with its value.
fn is_flag(text: &OsStr, flag: &str) -> bool {
    text.to_string_lossy().split('=').next() == Some(flag)
}

/// The variable that stands for `flag` in `command` or beneath it.
fn variable_of(flag: &str, command: &clap::Command) -> Option<String> {
    (command.get_arguments())
        .filter(|argument| argument.get_long() == flag.strip_prefix("--"))
        .find_map(|argument| Some(argument.get_env()?.to_string_lossy().into_owned()))
        .or_else(|| (command.get_subcommands()).find_map(|command| variable_of(flag, command)))
}

/// What a command runs on. A client has one thing to do at a time, and on one thread it need not wait for others to be
/// started. A server starts those that it serves on by itself. Public for the benchmarks alone, which serve and call on
/// the same.
///
/// # Errors
///
/// When the system gives no descriptor for it.
#[doc(hidden)]
pub fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

impl Command {
    async fn run(self) -> anyhow::Result<Exit> {
        match self {
            Self::Serve(args) => args.run().await,
            Self::Create(args) => args.run().await,
            Self::List(args) => {
                let follow = args.follow;
                match interrupt::or_interrupted(args.run()).await? {
                    // It does not end by itself, so this is how it is ended.
                    Exit::Interrupted if follow => Ok(Exit::Done),
                    exit => Ok(exit),
                }
            }
            Self::Discover(args) => {
                let watch = args.watch;
                match interrupt::or_interrupted(args.run()).await? {
                    Exit::Interrupted if watch => Ok(Exit::Done),
                    exit => Ok(exit),
                }
            }
            Self::Health(args) => interrupt::or_interrupted(args.run()).await,
            Self::Token(args) => args.run(),
            Self::Certs(args) => args.run(),
            Self::Backup(args) => args.run().await,
            Self::Verify(args) => args.run().await,
            Self::Completions(args) => args.run(),
            Self::Man(args) => args.run(),
        }
    }
}

fn warn_of_unknown_settings(variables: impl Iterator<Item = (OsString, OsString)>) {
    let unknown: Vec<_> = variables
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("MICRO_") && !KNOWN_MICRO.contains(&name.as_str()))
        .collect();
    if !unknown.is_empty() {
        tracing::warn!(
            "not a setting of shippy, and ignored: {}",
            unknown.join(", ")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_name_is_plain() {
        assert!(parse_name("go.micro.srv.consignment").is_ok());
        for text in ["", "a/b", "a b", "ä", &"x".repeat(MAX_NAME_BYTES + 1)] {
            assert!(parse_name(text).is_err(), "{text:?} was taken");
        }
    }
}
