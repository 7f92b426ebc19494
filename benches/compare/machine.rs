//! What was measured, on what.

use std::{fs, process::Command, time::SystemTime};

use crate::{Subject, callgrind, peers, plan::Plan, report::Report, running::output};

/// Says what machine this is, what is measured, and beside which versions.
pub(crate) fn describe(subject: &Subject, plan: &Plan, report: &mut Report) {
    report.section("What is measured", &[]);
    let now = prost_types::Timestamp::from(SystemTime::now());
    report.note(format!("{now}, {}", plan.name));
    report.note(machine());
    let mut shippy = subject.command();
    report.note(format!("{}, {}", said(shippy.arg("--version")), commit()));
    let mut programs = vec![said(Command::new("rustc").arg("--version"))];
    programs.push(said(Command::new("redis-server").arg("--version")));
    programs.push(said(Command::new("etcd").arg("--version")));
    if let Some(program) = peers::postgres_program("postgres") {
        programs.push(said(Command::new(program).arg("--version")));
    }
    programs.extend(callgrind::version());
    programs.retain(|program| !program.is_empty());
    report.note(programs.join("; "));
    report.note(
        "all on this machine, callers included, each server with its own settings but for those that its row names; \
         64 calls share a connection to shippy, echo and etcd"
            .into(),
    );
    report.note(
        "a consignment is 354 bytes encoded, with two containers and seven texts to list by; redis-benchmark -t set \
         -d 338, etcd and PostgreSQL (pgbench -M prepared) with a key of 36 and a value of 318 bytes"
            .into(),
    );
    report.note(
        "append + fdatasync: as many records as are in flight, then one sync for all of them"
            .into(),
    );
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = value(&info, "model name").unwrap_or("unknown processor");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = value(&memory, "MemTotal").unwrap_or("unknown");
    format!(
        "{cores} cores ({model}), {memory} of memory, Linux {}",
        kernel.trim()
    )
}

fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim())
}

/// The source that was built, where it is known.
fn commit() -> String {
    let mut git = Command::new("git");
    git.args([
        "-C",
        env!("CARGO_MANIFEST_DIR"),
        "describe",
        "--always",
        "--dirty",
    ]);
    match said(&mut git) {
        commit if commit.is_empty() => "source unknown".into(),
        commit => format!("source {commit}"),
    }
}

/// The first line that a program prints of itself; nothing where it is not installed.
fn said(command: &mut Command) -> String {
    let text = output(command).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}
