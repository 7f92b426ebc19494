//! `shippy create` of many records: what it checks, prints and says, and how it is gone on with.

use std::{
    io::{BufRead as _, BufReader, Lines},
    path::Path,
    process::{ChildStdout, Command},
};

use shippy::proto::Consignment;

use crate::{
    running::Running,
    support::{Ran, Server, run, shippy, unconfigured},
};

mod changed;
mod checking;
mod interrupted;
mod kills;
mod progress;
mod refused;
mod resume;
mod spool;

/// More records than a reader's pipe, the window of what is under way and all buffers between hold together: a create
/// of these whose ids are not read does not come to its end.
const MORE_THAN_FITS: usize = 30_000;

/// `count` records without ids, told apart by their weights: 1, 2 and so on, on the lines of the same numbers.
pub(crate) fn weighed(count: usize) -> String {
    let line = |weight| format!("{{\"weight\":{weight}}}\n");
    (1..=count).map(line).collect()
}

/// A create that has printed an id and, as nobody reads on, waits somewhere in the middle.
struct Stalled {
    running: Running,
    first: String,
    rest: Lines<BufReader<ChildStdout>>,
}

impl Stalled {
    fn start(command: &mut Command) -> Self {
        let mut running = Running::start(command);
        let mut rest = BufReader::new(running.child.stdout.take().unwrap()).lines();
        let first = rest.next().expect("an id").unwrap();
        Self {
            running,
            first,
            rest,
        }
    }

    /// Reads on; how it ended and what it printed.
    fn read_on(self) -> (Ran, Vec<String>) {
        let mut printed = vec![self.first];
        printed.extend(self.rest.map(Result::unwrap));
        (self.running.end(), printed)
    }
}

/// How many of how many are stored, as an unfinished create says it.
#[track_caller]
fn told(ran: &Ran) -> (usize, usize) {
    let text = ran.stderr.replace(',', "");
    let words: Vec<_> = text.split([' ', '(', ')']).collect();
    let said = words.windows(3).find_map(|words| {
        let [stored, "of", total] = words else {
            return None;
        };
        Some((stored.parse().ok()?, total.parse().ok()?))
    });
    said.unwrap_or_else(|| panic!("no count in {ran:#?}"))
}

/// The command that an unfinished create says to go on with.
#[track_caller]
fn command_said(ran: &Ran) -> String {
    let line = ran.stderr.lines().find_map(|line| line.strip_prefix("  "));
    line.unwrap_or_else(|| panic!("no command in {ran:#?}"))
        .to_owned()
}

/// `line` as a user of the shell would give it.
fn in_shell(home: &Path, line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    unconfigured(&mut command, home);
    command
}

/// All that the server has, in its order.
fn all(server: &Server, home: &Path) -> Vec<Consignment> {
    let listed = run(&mut server.ask(home, &["list", "-o", "ndjson"])).exits(0);
    let lines = listed.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Fails the test unless the server has the records of [`weighed`], each once, and nothing else.
#[track_caller]
fn has_each_once(server: &Server, home: &Path, count: usize) {
    let mut weights: Vec<_> = all(server, home)
        .into_iter()
        .map(|one| one.weight)
        .collect();
    weights.sort_unstable();
    let expected: Vec<_> = (1..=i32::try_from(count).unwrap()).collect();
    assert!(
        weights == expected,
        "{} of {count} are stored",
        weights.len()
    );
}

/// A server at `address`, which is one that nobody else takes while it is away (`free_address`); another one there has
/// its register.
fn started_at(home: &Path, address: &str) -> Server {
    Server::start_with(home, |command| {
        command.args(["--address", address]);
    })
}

/// `shippy create` with `args`, which finds no server: where none is needed.
fn create_alone(home: &Path, args: &[&str]) -> Command {
    let mut command = shippy(home);
    command.arg("create").args(args);
    command.args(["--server", "127.0.0.1:1", "--timeout", "300ms"]);
    command
}

/// What stands in a batch's own id where its records have their numbers.
const NO_NUMBER: &str = "00000000";

/// A batch that nobody has begun.
fn own_batch() -> String {
    batch_of(&uuid::Uuid::now_v7().to_string())
}

/// The batch that the record with this id belongs to.
pub(crate) fn batch_of(id: &str) -> String {
    let (batch, _) = id.split_at(id.len() - NO_NUMBER.len());
    format!("{batch}{NO_NUMBER}")
}

/// The id that `batch` gives to a record.
fn in_batch(batch: &str, number: u32) -> String {
    let batch = batch.strip_suffix(NO_NUMBER).unwrap();
    format!("{batch}{number:08x}")
}
