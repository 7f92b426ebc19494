//! How a command ends: its exit code, and what is said of a failure.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

use crate::{
    causes::chain, cli::input::InputError, client::ClientError, escape::escape_control,
    registry::Instance,
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

/// Says on standard error what went wrong, if anything, and what to do.
pub(super) fn report(result: anyhow::Result<Exit>) -> Exit {
    let error = match result {
        Ok(exit) => return exit,
        Err(error) => error,
    };
    if is_closed_pipe(&error) {
        return Exit::Done;
    }
    let text = chain(error.as_ref());
    let advice = match (error.downcast_ref(), error.downcast_ref::<Unfinished>()) {
        (Some(ClientError::Unanswered { .. }), Some(unfinished)) => unfinished.advice(),
        (Some(error), _) => advice(error),
        (None, _) => String::new(),
    };
    // What others have said was made safe where it was taken in; this is the net beneath it.
    let lines: Vec<_> = text.split('\n').map(escape_control).collect();
    say(&format!("shippy: {}{advice}", lines.join("\n")));
    exit_of(&error)
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

/// Where a file was when its records could not be created any further.
#[derive(Debug, thiserror::Error)]
#[error("could not create {place}, consignment {id} ({stored} of {total} are stored)")]
pub(super) struct Unfinished {
    /// `FILE:LINE` of the record.
    pub(super) place: String,
    /// The record's id.
    pub(super) id: String,
    /// How many records before it are stored.
    pub(super) stored: usize,
    /// How many the file has.
    pub(super) total: usize,
    /// Whether every record came with an id of its own.
    pub(super) own_ids: bool,
}

impl Unfinished {
    /// Says that a signal ended it here.
    pub(super) fn say_interrupted(&self) {
        let Self {
            place,
            id,
            stored,
            total,
            ..
        } = self;
        say(&format!(
            "shippy: interrupted at {place}, consignment {id} ({stored} of {total} are stored){}",
            self.advice()
        ));
    }

    /// What to do next, which depends on whether the same file can be sent again without storing anything twice.
    fn advice(&self) -> String {
        let Self { place, id, .. } = self;
        if self.own_ids {
            return "\nrun it again: what is stored already is not stored twice".into();
        }
        format!(
            "\nwhat comes before {place} is stored, and the record there may be: see `shippy list --id {id}`\n\
             records without an id of their own would be stored again, under new ones, if the whole file were sent again"
        )
    }
}

fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<InputError>() || error.is::<UsageError>() {
        return Exit::Usage;
    }
    match error.downcast_ref::<ClientError>() {
        Some(
            ClientError::NoServer { .. }
            | ClientError::Registry(_)
            | ClientError::Unanswered { .. },
        ) => Exit::NoServer,
        Some(ClientError::SeveralRegisters(_) | ClientError::Copies(_)) => Exit::SeveralRegisters,
        Some(ClientError::Refused(_)) => Exit::Refused,
        Some(ClientError::Address(_)) => Exit::Usage,
        _ => Exit::Failed,
    }
}

const NO_SERVER_ADVICE: &str = "
try:
  start one: shippy serve (it stays on its own machine; shippy serve --lan opens it to the network)
  name its address: --server HOST:PORT
  in a container: use the server's Docker network, or --network host
  on another machine: let UDP port 5353, multicast DNS, through both firewalls
  is it called something else there: --name NAME";

/// What to try, a line each.
fn advice(error: &ClientError) -> String {
    match error {
        ClientError::NoServer { others, .. } if !others.is_empty() => {
            "\nleave --register out, or name one that is there".into()
        }
        ClientError::NoServer { .. } | ClientError::Registry(_) => NO_SERVER_ADVICE.into(),
        ClientError::SeveralRegisters(found) => {
            let mut text = String::from("; choose one:");
            for (register, addresses) in by_register(found) {
                let _ = write!(text, "\n  --register {register}   at {addresses}");
            }
            text
        }
        ClientError::Copies(found) => {
            let mut text = String::from(":");
            for instance in found {
                let _ = write!(
                    text,
                    "\n  register {} at {}",
                    instance.register,
                    instance.addresses.join(", ")
                );
            }
            text.push_str("\nstop one of them, or name the one you mean: --server HOST:PORT");
            text
        }
        ClientError::Unanswered { failures, .. }
            if failures.iter().all(|failure| failure.is_another_register) =>
        {
            "\nleave --register out, or name the register that is there".into()
        }
        _ => String::new(),
    }
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
