//! The pages, and the commands in them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What begins a block that is not run by itself; the reason follows.
const NOT_RUN: &str = "<!-- not run: ";
/// What begins a block that is run elsewhere than on this machine alone; where follows.
const RUN: &str = "<!-- run: ";
/// A comment's end.
const END: &str = " -->";

/// Where the commands of a block are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// On this machine, reached from nowhere else.
    Here,
    /// On machines of the test's own, which share a network.
    Machines,
    /// In containers.
    Docker,
    /// Nowhere; the page says why.
    Nowhere,
}

/// A block of commands.
#[derive(Debug)]
pub(super) struct Block {
    /// Its place: `PAGE:LINE`.
    pub(super) place: String,
    pub(super) is_run: Where,
    pub(super) steps: Vec<Step>,
}

/// A command and what it prints. A block that begins without a command has more of what the one before prints.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// The machine before its prompt, `depot$ `, or none.
    pub(super) machine: String,
    pub(super) command: String,
    /// What the page shows of its output; `None` where it shows commands alone.
    pub(super) output: Option<Vec<String>>,
}

impl Step {
    /// Whether this is a server.
    pub(super) fn serves(&self) -> bool {
        self.command.starts_with("shippy serve")
    }

    /// Whether the command does not end by itself.
    pub(super) fn goes_on(&self) -> bool {
        self.serves() || self.command.contains("--follow")
    }
}

/// The pages, by their paths from the root of the repository, with their texts.
pub(super) fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = [root.to_owned(), root.join("docs")].map(|folder| fs::read_dir(folder).unwrap());
    let mut paths: Vec<_> = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(root).unwrap().to_owned(), text)
    };
    paths.into_iter().map(read).collect()
}

/// The blocks of commands of a page: those that begin with ```` ```console ````, in which commands follow a prompt and
/// what they print follows them, and with ```` ```sh ````, which have a command a line.
pub(super) fn blocks(path: &Path, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    // Where the latest command that does not end goes on.
    let mut goes_on = (Where::Here, String::new());
    let mut lines = text.lines().enumerate();
    let mut before = "";
    while let Some((number, line)) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let place = format!("{}:{}", path.display(), number + 1);
            let inside: Vec<_> = (lines.by_ref().map(|(_, line)| line))
                .take_while(|line| *line != "```")
                .collect();
            let mut steps = match kind {
                "console" => transcript(&inside),
                "sh" => script(&inside),
                "json" | "text" | "yaml" | "ini" | "promql" => Vec::new(),
                kind => panic!("{place}: a block of {kind:?}; commands are console or sh"),
            };
            if !steps.is_empty() {
                let mut is_run = run_where(before, &steps, &place);
                if steps[0].command.is_empty() && is_run != Where::Nowhere {
                    (is_run, steps[0].machine) = goes_on.clone();
                }
                if let Some(step) = steps.iter().rfind(|step| step.goes_on()) {
                    goes_on = (is_run, step.machine.clone());
                }
                blocks.push(Block {
                    place,
                    is_run,
                    steps,
                });
            }
        }
        if !line.is_empty() {
            before = line;
        }
    }
    blocks
}

fn run_where(before: &str, steps: &[Step], place: &str) -> Where {
    if let Some(reason) = before.strip_prefix(NOT_RUN) {
        let reason = reason.strip_suffix(END).unwrap_or_default();
        assert!(!reason.is_empty(), "{place}: it is not run for no reason");
        return Where::Nowhere;
    }
    match before.strip_prefix(RUN) {
        Some(rest) => match rest.strip_suffix(END) {
            Some("machines") => Where::Machines,
            Some("docker") => Where::Docker,
            _ => panic!("{place}: {before} is neither of machines and docker"),
        },
        None if steps.iter().any(|step| !step.machine.is_empty()) => Where::Machines,
        None => Where::Here,
    }
}

fn transcript(lines: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in lines {
        let prompted = line.split_once("$ ").filter(|(machine, _)| {
            machine.len() <= 10 && machine.bytes().all(|byte| byte.is_ascii_lowercase())
        });
        let begun = steps.last_mut();
        match (prompted, begun) {
            (Some((machine, command)), _) => steps.push(Step {
                machine: machine.into(),
                command: command.into(),
                output: Some(Vec::new()),
            }),
            // A command of several lines: bash's second prompt.
            (None, Some(step)) if line.starts_with("> ") && step.output == Some(Vec::new()) => {
                step.command.push('\n');
                step.command.push_str(&line[2..]);
            }
            (None, begun) => {
                if begun.is_none() {
                    steps.push(Step::default());
                }
                let output = &mut steps.last_mut().expect("one").output;
                output.get_or_insert_default().push((*line).into());
            }
        }
    }
    steps
}

fn script(lines: &[&str]) -> Vec<Step> {
    let commands = lines.iter().filter(|line| !line.trim().is_empty());
    let step = |line: &&str| Step {
        command: (*line).into(),
        ..Step::default()
    };
    commands.map(step).collect()
}

/// The arguments of each `shippy` that is called in `command`, also of those in containers.
pub(super) fn calls(command: &str) -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    for call in simple_commands(command) {
        let program = call.iter().position(|word| !word.contains('='));
        let words = program.map_or(&[][..], |program| &call[program..]);
        let is_container = words.first().is_some_and(|word| word == "docker")
            && words
                .get(1)
                .is_some_and(|word| word == "run" || word == "exec");
        let begin = match words.first() {
            Some(program) if program == "shippy" || program.ends_with("/shippy") => Some(0),
            Some(_) if is_container => words.iter().position(|word| word == "shippy"),
            _ => None,
        };
        if let Some(begin) = begin {
            calls.push(words[begin + 1..].to_vec());
        }
    }
    calls
}

/// The commands that pipes, `;` and `&&` in the first line of `command` join, as their words, without redirections.
fn simple_commands(command: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    for char in command
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .chain([' '])
    {
        match (quote, char) {
            (Some(mark), _) if char == mark => quote = None,
            (None, '"' | '\'') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, ' ' | '|' | ';' | '&') => {
                let commands_last = commands.last_mut().expect("one");
                commands_last.extend(word.take());
                if char != ' ' {
                    commands.push(Vec::new());
                }
            }
            (None, '#') if word.is_none() => break,
            _ => word.get_or_insert_default().push(char),
        }
    }
    for command in &mut commands {
        let is_redirection = |word: &String| word.trim_start_matches('2').starts_with(['>', '<']);
        command.retain(|word| !is_redirection(word));
    }
    commands
}
