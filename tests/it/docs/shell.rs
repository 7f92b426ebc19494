//! A terminal: commands as a page has them, and whether they print what it says they do.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
};

use regex::Regex;
use rustix::process::{Pid, Signal, kill_process_group};

use super::page::Step;
use crate::support::{eventually, unconfigured};

/// The home folder of whoever wrote the pages.
const HOME: &str = "/home/ann";

/// What stands in for what reaches beyond the test: another machine's folder, and other people's servers.
const STAND_INS: &str = r#"
scp() { cp "../${1/://}" "$2"; }
pkill() { kill -9 "$server"; }
"#;

/// What differs from run to run, and what stands for it when outputs are compared.
static MASKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let masks = [
        (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID"),
        (r"\b[0-9a-f]{64}\b", "SHA256"),
        (r"\b[0-9a-f]{8}\b", "ID"),
        (r" +\d+\.\d ms\b", " MS"),
        (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
        (r"((\d+\.){3}\d+|\]|localhost):\d{2,5}\b", "$1:PORT"),
        (r"\bfor \d+\.\ds\b", "for SECONDS"),
        // Told of what has taken a while.
        (r" in [\d.]+ s \([\d,]+ a second\)", ""),
    ];
    let masks = masks.map(|(pattern, mask)| (Regex::new(pattern).unwrap(), mask));
    masks.into()
});

fn masked(text: &str) -> Vec<String> {
    let mut text = text.to_owned();
    for (pattern, mask) in MASKS.iter() {
        text = pattern.replace_all(&text, *mask).into_owned();
    }
    text.lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// bash, and what goes on behind it. All of it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Shell {
    child: Child,
    folder: PathBuf,
    count: u32,
    /// Where the output of what goes on goes, and its command.
    background: Option<(PathBuf, String)>,
    /// What texts of the output stand for those of the page.
    renamed: HashMap<String, String>,
}

impl Shell {
    /// `bash`, in `folder`, where `shippy` is the one under test.
    pub(super) fn start(mut bash: Command, folder: &Path) -> Self {
        unconfigured(&mut bash, folder);
        let binary = Path::new(env!("CARGO_BIN_EXE_shippy")).parent().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        bash.current_dir(folder)
            .env("PATH", format!("{}:{path}", binary.display()))
            // A busy machine takes longer than people would want to wait.
            .env("SHIPPY_TIMEOUT", "60s")
            .stdin(Stdio::piped())
            .process_group(0);
        let child = bash.spawn().unwrap();
        let mut shell = Self {
            child,
            folder: folder.to_owned(),
            count: 0,
            background: None,
            renamed: HashMap::from([(folder.display().to_string(), HOME.into())]),
        };
        shell.say(STAND_INS);
        shell
    }

    /// Has the servers of this shell be called `name`, whatever the page calls them, `shown`.
    pub(super) fn rename(&mut self, name: &str, shown: &str) {
        self.say(&format!("export MICRO_SERVER_NAME={name}"));
        self.renamed.insert(name.into(), shown.into());
    }

    /// Runs `step`. What differs from the page.
    pub(super) fn run(&mut self, step: &Step) -> Result<(), String> {
        if step.command.is_empty() {
            self.more(step);
            return Ok(());
        }
        self.count += 1;
        let out = self.folder.join(format!(".out.{}", self.count));
        if step.goes_on() {
            self.run_behind(step, &out)
        } else {
            self.run_to_end(step, &out)
        }
    }

    fn run_to_end(&mut self, step: &Step, out: &Path) -> Result<(), String> {
        let command = &step.command;
        let status = self.folder.join(format!(".status.{}", self.count));
        // The next command may ask how this one ended.
        self.say(&format!(
            "(exit $status); {{ {command}\n}} >{} 2>&1; status=$?; echo $status >{}",
            out.display(),
            status.display()
        ));
        let code = eventually(command, || {
            let code = fs::read_to_string(&status).ok();
            code.filter(|code| code.ends_with('\n'))
        });
        let printed = self.printed(out);
        match &step.output {
            Some(expected) => compare(command, expected, &printed, usize::MAX),
            None if code.trim() == "0" => Ok(()),
            None => Err(format!("$ {command}\nended with {code}{printed}")),
        }
    }

    /// Runs a command that does not end, until it has printed what the page shows; a server until it is ready.
    fn run_behind(&mut self, step: &Step, out: &Path) -> Result<(), String> {
        let command = &step.command;
        if step.serves() {
            // As who wants the terminal for another one would: Ctrl-C.
            self.say("[ -z \"$server\" ] || { kill -INT $server; wait $server; } 2>/dev/null");
        }
        let variable = if step.serves() { "server" } else { "follower" };
        self.say(&format!(
            "{{ exec {command}\n}} >{} 2>&1 & {variable}=$!",
            out.display()
        ));
        self.background = Some((out.to_owned(), command.clone()));
        let expected = step.output.as_deref().unwrap_or_default();
        let printed = eventually(command, || {
            let printed = self.printed(out);
            let is_ready = !step.serves() || printed.contains("shippy serves ");
            (is_ready && printed.matches('\n').count() >= expected.len()).then_some(printed)
        });
        if expected.is_empty() {
            return Ok(());
        }
        compare(command, expected, &printed, expected.len())
    }

    /// Waits until what goes on has printed each line that `step` shows.
    fn more(&self, step: &Step) {
        let (out, command) = self.background.as_ref().expect("a command that goes on");
        let expected = masked(&step.output.clone().unwrap_or_default().join("\n"));
        eventually(command, || {
            let printed = masked(&self.printed(out));
            let is_there = expected.iter().all(|line| printed.contains(line));
            is_there.then_some(())
        });
    }

    fn printed(&self, file: &Path) -> String {
        let mut text = fs::read_to_string(file).unwrap_or_default();
        for (name, shown) in &self.renamed {
            text = text.replace(name, shown);
        }
        text
    }

    /// Has the shell do `line`, of which nothing is shown.
    pub(super) fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _gone = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Whether the first lines, at most `count`, of `printed` are those `expected`, but for what differs from run to run.
fn compare(command: &str, expected: &[String], printed: &str, count: usize) -> Result<(), String> {
    let is = masked(printed);
    let is = &is[..count.min(is.len())];
    let expected_masked = masked(&expected.join("\n"));
    if is == expected_masked {
        return Ok(());
    }
    let mut difference = format!("$ {command}\n");
    for (sign, lines) in [('-', &expected_masked[..]), ('+', is)] {
        for line in lines {
            let _ = writeln!(difference, "{sign}{line}");
        }
    }
    Err(format!("{difference}it prints, unmasked:\n{printed}"))
}
