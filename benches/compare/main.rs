//! shippy beside what else a consignment could be kept in, and beside the limits that the machine sets: measured on
//! this machine, in one run.
//!
//! `cargo bench --bench compare` prints a table of rates, times and sizes, each with its target where it has one. With
//! `-- --quick` everything is tried with small numbers, which says that the measuring works and nothing else; `--
//! --full` adds a register of ten million. `-- --markdown FILE` writes the table as Markdown too. `-- --instructions`
//! counts instructions alone and compares them with those that are kept in `benches/instructions.txt`, and `--
//! --instructions --keep` keeps the new ones. `-- --only SECTION` measures one section alone: creates, postgres, bulk,
//! lists, sizes, start or instructions. `SHIPPY_BENCH_BINARY` names another executable to measure.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use anyhow::ensure;

use self::{
    plan::{Plan, Wish},
    report::Report,
};

#[path = "../../src/allocator.rs"]
mod allocator;
mod bare;
mod bulk;
mod callgrind;
mod client;
mod creates;
mod disk;
mod gather;
mod index;
mod instructions;
mod lists;
mod load;
mod machine;
#[path = "../figures/network.rs"]
mod network;
mod peers;
mod plan;
#[path = "../figures/process.rs"]
mod process;
mod record;
mod register;
mod report;
mod running;
#[path = "../figures/server.rs"]
mod server;
mod shared;
mod sizes;
mod start;
mod system;
mod text;

/// What is measured, and where it keeps its things.
struct Subject {
    binary: PathBuf,
    /// On the disk that the build is on: a temporary folder may be in memory.
    folder: tempfile::TempDir,
    /// What it is run by, where it is not run as it is.
    runner: Vec<String>,
}

impl Subject {
    fn new(runner: Vec<String>) -> anyhow::Result<Self> {
        let binary = env::var_os("SHIPPY_BENCH_BINARY");
        Ok(Self {
            binary: binary.map_or_else(|| env!("CARGO_BIN_EXE_shippy").into(), Into::into),
            folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?,
            runner,
        })
    }

    /// `shippy` with no settings but those that are given to it.
    fn command(&self) -> Command {
        let mut command = match self.runner.split_first() {
            None => Command::new(&self.binary),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&self.binary);
                command
            }
        };
        command.env_clear().env("HOME", self.folder.path());
        command.stdin(Stdio::null());
        command
    }
}

type Section = fn(&Subject, &Plan, &mut Report) -> anyhow::Result<()>;

/// What is measured, in this order.
const SECTIONS: [(&str, Section); 7] = [
    ("creates", creates::measure),
    ("postgres", shared::measure),
    ("bulk", bulk::measure),
    ("lists", lists::measure),
    ("sizes", sizes::measure),
    ("start", start::measure),
    ("instructions", instructions::measure),
];

fn main() -> anyhow::Result<ExitCode> {
    if let Some(role) = bare::Role::asked_for() {
        return role.run().map(|()| ExitCode::SUCCESS);
    }
    let wish = match Wish::read(env::args().skip(1)) {
        Ok(wish) => wish,
        Err(reason) => {
            eprintln!("{reason}");
            return Ok(ExitCode::from(2));
        }
    };
    match wish {
        // `cargo test --all-targets` starts benchmarks too, without the word that `cargo bench` gives them.
        Wish::Nothing => {
            println!("nothing is measured but by `cargo bench --bench compare`");
            Ok(ExitCode::SUCCESS)
        }
        Wish::Instructions { keep } => {
            network::move_into_one_of_our_own();
            instructions::compare(keep).map(|()| ExitCode::SUCCESS)
        }
        Wish::Everything {
            plan,
            only,
            markdown,
        } => {
            network::move_into_one_of_our_own();
            everything(&plan, only.as_deref(), markdown)
        }
    }
}

/// Measures all there is, or only one section. A section that fails does not keep the others from being measured.
fn everything(
    plan: &Plan,
    only: Option<&str>,
    markdown: Option<PathBuf>,
) -> anyhow::Result<ExitCode> {
    if let Some(only) = only {
        let is_one = SECTIONS.iter().any(|(name, _)| *name == only);
        ensure!(is_one, "there is no section {only}");
    }
    let subject = Subject::new(Vec::new())?;
    let mut report = Report::default();
    machine::describe(&subject, plan, &mut report);
    let mut failed = false;
    for (name, section) in SECTIONS {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        if let Err(error) = section(&subject, plan, &mut report) {
            failed = true;
            report.section(&format!("{name}: failed"), &[]);
            report.note(format!("{error:#}"));
        }
    }
    report.end();
    if let Some(path) = markdown {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, report.markdown())?;
        eprintln!("written: {}", path.display());
    }
    Ok(ExitCode::from(u8::from(failed)))
}
