//! How a command ends: its exit code, and what is said of a failure.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

use tonic::Code;

use super::{
    figures::grouped,
    logs::{self, LogFormat},
};
use crate::{
    causes::chain,
    client::{ClientError, TOLD_MAX},
    escape::escape_control,
    formats::read::{InputError, STDIN},
    registry::{Hints, Instance},
};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// It was called wrongly, or its input is bad; nothing was sent.
    Usage = 2,
    /// No server was found, or none answered.
    NoServer = 3,
    /// The server refused.
    Refused = 4,
    /// Several registers were found and none chosen.
    SeveralRegisters = 5,
    /// A signal ended it.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Says on standard error what went wrong, if anything, and what to do; in the `format` of the log.
pub(super) fn report(result: anyhow::Result<Exit>, format: LogFormat) -> Exit {
    let error = match result {
        Ok(exit) => return exit,
        Err(error) => error,
    };
    if is_closed_pipe(&error) {
        return Exit::Done;
    }
    let text = chain(error.as_ref());
    let client_error = error.downcast_ref();
    let mut advice = client_error.map_or_else(String::new, advice);
    if let Some(unfinished) = error.downcast_ref::<Unfinished>()
        && !(unfinished.stored == 0 && client_error.is_some_and(is_before_any_server))
    {
        advice.push_str(&unfinished.advice());
    }
    // What others have said was made safe where it was taken in; this is the net beneath it.
    let lines: Vec<_> = text.split('\n').map(escape_control).collect();
    let exit = exit_of(&error);
    let said = format!("{}{advice}", lines.join("\n"));
    match format {
        LogFormat::Text => say(&format!("shippy: {said}")),
        LogFormat::Json => logs::say_json(&said, exit as u8),
    }
    exit
}

/// Prints a line for people. Where nobody reads it any more, there is nobody to tell either.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whoever read what we print has seen enough.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    (error.chain())
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The command line says something that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);

/// How far a file's records were created when it went no further.
#[derive(Debug, thiserror::Error)]
#[error("could not create {name} ({} of {} are stored)", grouped(*.stored), grouped(*.total))]
pub(super) struct Unfinished {
    /// The file's name.
    pub(super) name: String,
    /// How many records are stored at least.
    pub(super) stored: u64,
    /// How many the file has.
    pub(super) total: u64,
    /// The batch of those without an id of their own, if there are any.
    pub(super) batch: Option<String>,
    /// The command that goes on.
    pub(super) command: String,
}

impl Unfinished {
    /// Says that a signal ended it.
    pub(super) fn say_interrupted(&self) {
        let (stored, total) = (grouped(self.stored), grouped(self.total));
        let advice = self.advice();
        say(&format!(
            "shippy: interrupted in {} ({stored} of {total} are stored){advice}",
            self.name
        ));
    }

    /// What to do next, which depends on whether the same file can be sent again without storing anything twice.
    fn advice(&self) -> String {
        let Self { command, .. } = self;
        let mut text = match &self.batch {
            Some(batch) => format!("\nto go on with batch {batch}:\n  {command}"),
            None => format!(
                "\nto go on, run it again: what is stored already is not stored twice\n  {command}"
            ),
        };
        if self.name == STDIN {
            text.push_str("\nthe same has to come on standard input again");
        }
        text
    }
}

/// Whether nothing can have been stored when this was the first error.
fn is_before_any_server(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Refused(status)
            if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied)
    ) || matches!(
        error,
        ClientError::NoServer { .. }
            | ClientError::Registry { .. }
            | ClientError::SeveralRegisters(_)
            | ClientError::Copies(_)
            | ClientError::Mismatch { .. }
            | ClientError::TurnedAway { .. }
            | ClientError::Address(_)
    )
}

fn exit_of(error: &anyhow::Error) -> Exit {
    // Of what went wrong later, some is sent.
    let is_unsent = !error.is::<Unfinished>();
    if is_unsent && (error.is::<InputError>() || error.is::<UsageError>()) {
        return Exit::Usage;
    }
    match error.downcast_ref::<ClientError>() {
        Some(
            ClientError::NoServer { .. }
            | ClientError::Registry { .. }
            | ClientError::Unanswered { .. },
        ) => Exit::NoServer,
        Some(ClientError::SeveralRegisters(_) | ClientError::Copies(_)) => Exit::SeveralRegisters,
        Some(ClientError::Refused(_) | ClientError::TurnedAway { .. }) => Exit::Refused,
        Some(ClientError::Address(_)) => Exit::Usage,
        _ => Exit::Failed,
    }
}

/// What to try, a line each.
fn advice(error: &ClientError) -> String {
    match error {
        ClientError::NoServer { others, .. } if !others.is_empty() => {
            "\nleave --register out, or name one that is there".into()
        }
        ClientError::Registry { source, .. } if source.is_tried_again() => {
            "\nor name the server's address: --server HOST:PORT".into()
        }
        ClientError::NoServer { hints, .. } | ClientError::Registry { hints, .. } => {
            no_server(*hints)
        }
        ClientError::SeveralRegisters(found) => {
            let mut text = String::from("; choose one:");
            let registers = by_register(found);
            for (register, addresses) in registers.iter().take(TOLD_MAX) {
                let _ = write!(text, "\n  --register {register}   at {addresses}");
            }
            text.push_str(&and_more(registers.len()));
            text
        }
        ClientError::Copies(found) => {
            let mut text = String::from(":");
            for instance in found.iter().take(TOLD_MAX) {
                let _ = write!(
                    text,
                    "\n  register {} at {}",
                    instance.register,
                    instance.addresses.join(", ")
                );
            }
            text.push_str(&and_more(found.len()));
            text.push_str("\nstop one of them, or name the one you mean: --server HOST:PORT");
            text
        }
        ClientError::Unanswered { failures, .. }
            if failures.iter().all(|failure| failure.is_another_register) =>
        {
            "\nleave --register out, or name the register that is there".into()
        }
        ClientError::Unanswered { .. } => {
            "\nsee that the server runs and its port is open, give it more time with --timeout, or read its log".into()
        }
        _ => String::new(),
    }
}

fn and_more(count: usize) -> String {
    match count.saturating_sub(TOLD_MAX) {
        0 => String::new(),
        more => format!("\n  and {more} more"),
    }
}

fn no_server(hints: Hints) -> String {
    let mut text = format!(
        "\ntry:\n  start one: {}\n  name its address: --server HOST:PORT",
        hints.start
    );
    for line in hints.reach {
        let _ = write!(text, "\n  {line}");
    }
    text.push_str("\n  see why none is found: shippy discover --explain");
    text
}

fn by_register(found: &[Instance]) -> Vec<(&str, String)> {
    let mut registers: Vec<(&str, String)> = Vec::new();
    for instance in found {
        let addresses = instance.addresses.join(", ");
        match registers
            .iter_mut()
            .find(|(register, _)| *register == instance.register)
        {
            Some((_, known)) => {
                known.push_str(", ");
                known.push_str(&addresses);
            }
            None => registers.push((&instance.register, addresses)),
        }
    }
    registers
}
