//! What those who wait are shown, and that memory does not grow meanwhile.

use std::{
    io::{BufRead as _, BufReader},
    process::Command,
};

use rustix::process::Signal;

use super::{MORE_THAN_FITS, Stalled, batch_of, weighed};
use crate::{
    cli::{file, stored},
    running::Running,
    support::{Server, folder, run},
    wrapped::wrapped,
};

/// What a client may take on top of what it takes at first, whatever the number of records.
const GROWTH_KIB: u64 = 16 * 1024;

#[test]
fn without_a_terminal_a_line_comes_every_few_seconds() {
    let home = folder();
    let server = Server::start(home.path());
    let path = file(home.path(), "in.ndjson", weighed(MORE_THAN_FITS));
    let mut stalled = Stalled::start(&mut server.ask(home.path(), &["create", &path]));
    let mut said = BufReader::new(stalled.running.child.stderr.take().unwrap()).lines();
    let batch = batch_of(&stalled.first);
    // On a slow machine there are lines before each of these two, of what is checked and of nothing stored yet.
    let batch = format!("shippy: this is batch {batch}");
    let texts = ["shippy: ", "of 30,000 stored, ", " a second, ", " left"];
    let is_progress = |line: &String| texts.iter().all(|text| line.contains(text));
    let mut lines = said.by_ref().map(Result::unwrap);
    lines.find(|line| *line == batch).expect("the batch");
    lines.find(is_progress).expect("progress");
    let (ran, printed) = stalled.read_on();
    ran.exits(0);
    assert_eq!(printed.len(), MORE_THAN_FITS);
    let rest: Vec<_> = said.map(Result::unwrap).collect();
    let last = rest.last().unwrap();
    assert!(
        last.starts_with("shippy: 30,000 created, 0 already there, 0 refused in ")
            && last.ends_with(" a second)"),
        "{last}"
    );
}

#[test]
fn the_quiet_are_told_nothing_but_the_ids() {
    let home = folder();
    let server = Server::start(home.path());
    let path = file(home.path(), "in.ndjson", weighed(300));
    for flag in ["-q", "--quiet"] {
        let ran = run(&mut server.ask(home.path(), &["create", flag, &path])).exits(0);
        assert_eq!(ran.stderr, "");
        assert_eq!(ran.stdout.lines().count(), 300);
    }
    assert_eq!(stored(&server, home.path()).len(), 600);
}

#[test]
#[ignore = "needs `script` of util-linux"]
fn a_terminal_shows_a_bar_and_then_the_summary() {
    let home = folder();
    let server = Server::start(home.path());
    let path = file(home.path(), "in.ndjson", weighed(MORE_THAN_FITS));
    let create = server.ask(home.path(), &["create", &path, "--timeout", "20s"]);
    let shell = wrapped(
        &["sh", "-c", "stty cols 120; \"$@\" >\"$HOME/ids\"", "sh"],
        &create,
    );
    let words: Vec<_> = shell
        .get_args()
        .map(|word| quoted(word.to_str().unwrap()))
        .collect();
    let line = format!("sh {}", words.join(" "));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    crate::support::unconfigured(&mut script, home.path());
    script.env("TERM", "xterm");
    // It shows a bar when it takes a while.
    server.signal(Signal::STOP);
    let mut running = Running::start(&mut script);
    let mut shown = BufReader::new(running.child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("0 of 30,000 stored") {
        let mut bytes = Vec::new();
        assert!(shown.read_until(b'd', &mut bytes).unwrap() > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    server.signal(Signal::CONT);
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut shown, &mut rest).unwrap();
    running.end().exits(0);
    let rest = String::from_utf8(rest).unwrap();
    assert!(rest.contains("30,000 created"), "{rest}");
    // The bar is gone from the screen before the summary comes.
    let (bar, _) = rest.rsplit_once("shippy: 30,000 created").unwrap();
    assert!(
        bar.trim_end().ends_with("\u{1b}[2K") || bar.ends_with('\r'),
        "{bar:?}"
    );
    let ids = std::fs::read_to_string(home.path().join("ids")).unwrap();
    assert_eq!(ids.lines().count(), MORE_THAN_FITS);
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[test]
fn a_client_takes_no_more_memory_for_more_records() {
    let home = folder();
    let server = Server::start(home.path());
    let text = "x".repeat(300);
    let line = |weight| format!("{{\"weight\":{weight},\"description\":\"{text}\"}}\n");
    let lines: String = (1..=200_000).map(line).collect();
    let path = file(home.path(), "in.ndjson", lines);
    let Stalled { running, rest, .. } =
        Stalled::start(&mut server.ask(home.path(), &["create", &path]));
    let status = format!("/proc/{}/status", running.child.id());
    let peak = || {
        let status = std::fs::read_to_string(&status).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.map(|text| text.trim().trim_end_matches(" kB").parse::<u64>().unwrap())
    };
    let first = peak().unwrap();
    let mut last = first;
    let mut count = 1;
    for line in rest {
        line.unwrap();
        count += 1;
        if count % 1_000 == 0 {
            // There is none once it has ended.
            last = peak().unwrap_or(last);
        }
    }
    running.end().exits(0);
    assert_eq!(count, 200_000);
    assert!(last < first + GROWTH_KIB, "from {first} KiB to {last} KiB");
    assert!(first < 64 * 1024, "{first} KiB");
}
