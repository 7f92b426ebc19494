//! Instructions per call, beside those that are kept in the repository, so that a change shows.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use anyhow::Context as _;
use shippy::consignment;

use crate::{Subject, callgrind, plan::Plan, register, report::Report, running::output, text};

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
const ABOUT: &str = "\
# Instructions of the server's process, counted by callgrind, a call at a time.
# Written by `cargo bench --bench compare -- --instructions --keep`.
";
/// Where a register is in memory: how long a disk takes changes who waits for whom, and so what is counted.
const MEMORY: &str = "/dev/shm";
/// Listed consignments for each create, as they take so much less.
const LISTED: u64 = 100;

/// What was counted, each with its name.
struct Counts([(&'static str, u64); 2]);

impl Counts {
    fn take(subject: &Subject, plan: &Plan) -> anyhow::Result<Self> {
        let (creates, runs) = (plan.counted, plan.counts);
        let memory = tempfile::tempdir_in(MEMORY).or_else(|_| tempfile::tempdir())?;
        let young = || memory.path().join(format!("{}.db", consignment::new_id()));
        let listed = creates * LISTED;
        let long = register::of(subject, listed + 1)?;
        eprintln!("counting instructions …");
        Ok(Self([
            ("create", callgrind::create(young, creates, runs)?),
            (
                "listed consignment",
                callgrind::listed(&long, listed, runs)?,
            ),
        ]))
    }

    fn keep(&self) -> anyhow::Result<()> {
        let mut text = format!("{ABOUT}toolchain: {}\n", toolchain());
        for (name, count) in self.0 {
            let _ = writeln!(text, "{name}: {count}");
        }
        fs::write(KEPT, text).context(KEPT)
    }

    fn report(&self, report: &mut Report) {
        report.section("Instructions of the server", &["", "kept", "now", "change"]);
        for (name, now) in self.0 {
            let before = kept(name).and_then(|text| text.parse().ok());
            let (before, change) = match before {
                Some(before) => (count(before), change(before, now)),
                None => ("none".into(), String::new()),
            };
            report.row(vec![format!("one {name}"), before, count(now), change]);
        }
        report.note(format!("now: {}", toolchain()));
        if let Some(before) = kept("toolchain") {
            report.note(format!("kept: {before}"));
        }
    }
}

/// A section of the whole table; left out where callgrind is not installed.
pub(crate) fn measure(subject: &Subject, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if callgrind::version().is_none() {
        report.section("Instructions of the server", &[]);
        report.note("left out: no callgrind; `apt-get install valgrind`".into());
        return Ok(());
    }
    Counts::take(subject, plan)?.report(report);
    Ok(())
}

/// Counts alone, beside those that are kept, and keeps them where that is asked for.
pub(crate) fn compare(keep: bool) -> anyhow::Result<()> {
    callgrind::version().context("no callgrind; `apt-get install valgrind`")?;
    let counts = Counts::take(&Subject::new(Vec::new())?, &Plan::usual())?;
    let mut report = Report::default();
    counts.report(&mut report);
    report.end();
    if keep { counts.keep() } else { Ok(()) }
}

/// What is kept under `name`.
fn kept(name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new(KEPT)).ok()?;
    let prefix = format!("{name}: ");
    let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
    line.map(ToOwned::to_owned)
}

fn toolchain() -> String {
    let rustc = output(Command::new("rustc").arg("--version"));
    let rustc = rustc.unwrap_or_else(|_| "rustc unknown".into());
    let valgrind = callgrind::version().unwrap_or_default();
    format!("{}, {valgrind}, {}", rustc.trim(), std::env::consts::ARCH)
}

fn count(number: u64) -> String {
    text::count(text::as_f64(number))
}

fn change(before: u64, now: u64) -> String {
    format!("{:+.1} %", (text::ratio(now, before) - 1.0) * 100.0)
}
