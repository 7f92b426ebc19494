//! A wall clock that jumps by decades, forth and back, while a server runs: only the times that it writes down change.

use std::{
    collections::HashSet,
    fs::File,
    io::Write as _,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use prost_types::Timestamp;

use crate::{
    cli::{create::weighed, file},
    running::Printing,
    support::{Server, folder, preload::library, run},
};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// By how many seconds the clock is wrong, one after another; at the end it is as at the beginning.
const CLOCKS: [i64; 6] = [0, -20 * YEAR, 30 * YEAR, -DAY, DAY, 0];
/// Created by each of them: more than a segment of the filter index in all, so that the ranges of its segments count.
const BULK: usize = 4_000;

/// A consignment, as far as it matters here.
struct Stored {
    line: String,
    id: String,
    sequence: u64,
    seconds: i64,
}

fn read(line: &str) -> Stored {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    let text = |key: &str| value[key].as_str().unwrap().to_owned();
    let created: Timestamp = text("created_at").parse().unwrap();
    Stored {
        line: line.to_owned(),
        id: text("id"),
        sequence: text("sequence").parse().unwrap(),
        seconds: created.seconds,
    }
}

fn time(seconds: i64) -> String {
    Timestamp { seconds, nanos: 0 }.to_string()
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

/// What `list` prints with `args`.
fn listed(server: &Server, home: &Path, args: &[&str]) -> Vec<String> {
    let args = [&["list", "-o", "ndjson"], args].concat();
    let ran = run(&mut server.ask(home, &args)).exits(0);
    ran.stdout.lines().map(str::to_owned).collect()
}

/// Fails the test unless lists by each of the times, and by all but them, hold what was stored then.
fn lists_by_time_are_right(server: &Server, home: &Path, all: &[Stored]) {
    for wrong_by in CLOCKS {
        let (since, until) = (now() + wrong_by - HOUR, now() + wrong_by + HOUR);
        let expect = |is_meant: &dyn Fn(i64) -> bool| -> Vec<String> {
            let meant = all.iter().filter(|one| is_meant(one.seconds));
            meant.map(|one| one.line.clone()).collect()
        };
        let within = expect(&|at| (since..until).contains(&at));
        assert!(within.len() >= BULK);
        let (since_text, until_text) = (time(since), time(until));
        let range = ["--since", &since_text, "--until", &until_text];
        assert!(listed(server, home, &range) == within, "{wrong_by}: within");
        let before = listed(server, home, &["--until", &since_text]);
        assert!(before == expect(&|at| at < since), "{wrong_by}: before");
        let after = listed(server, home, &["--since", &until_text]);
        assert!(after == expect(&|at| at >= until), "{wrong_by}: after");
    }
}

#[test]
fn a_clock_that_jumps_changes_nothing_but_the_times_that_are_written_down() {
    let home = folder();
    let (library, clock) = (library(home.path(), "clock"), home.path().join("clock"));
    let set = |wrong_by: i64| {
        // Without making it shorter: the server has it mapped.
        let mut file = File::options();
        let mut file = file
            .write(true)
            .create(true)
            .truncate(false)
            .open(&clock)
            .unwrap();
        file.write_all(&wrong_by.to_ne_bytes()).unwrap();
    };
    let start = || {
        Server::start_with(home.path(), |serve| {
            serve.env("LD_PRELOAD", &library).env("CLOCK_FILE", &clock);
        })
    };
    set(0);
    let server = start();
    let mut follow = server.ask(home.path(), &["list", "--follow", "-o", "ndjson"]);
    let follow = Printing::start(follow.args(["--timeout", "10m"]));
    let path = file(home.path(), "many.ndjson", weighed(BULK));
    for (step, wrong_by) in CLOCKS.into_iter().enumerate() {
        set(wrong_by);
        run(&mut server.ask(home.path(), &["create", &path])).exits(0);
        run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
        follow.await_lines((step + 1) * (BULK + 1));
    }

    let all: Vec<_> = listed(&server, home.path(), &[])
        .iter()
        .map(|line| read(line))
        .collect();
    assert_eq!(all.len(), CLOCKS.len() * (BULK + 1));
    assert!(
        all.iter()
            .zip(1..)
            .all(|(one, place)| one.sequence == place)
    );
    let ids: HashSet<_> = all.iter().map(|one| &one.id).collect();
    assert_eq!(ids.len(), all.len());
    for (stored, wrong_by) in all.chunks(BULK + 1).zip(CLOCKS) {
        let is_then = |one: &Stored| (one.seconds - now() - wrong_by).abs() < HOUR;
        assert!(
            stored.iter().all(is_then),
            "by a clock wrong by {wrong_by} s"
        );
    }
    let followed = follow.interrupt();
    let expected = all.iter().map(|one| one.line.as_str());
    assert!(followed.lines().eq(expected), "neither a gap nor a repeat");
    lists_by_time_are_right(&server, home.path(), &all);

    // However wrong the clock is at the next start.
    set(-20 * YEAR);
    server.kill();
    let server = start();
    lists_by_time_are_right(&server, home.path(), &all);
    run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
    let last = listed(&server, home.path(), &["--newest", "--limit", "1"]);
    let last = read(&last[0]);
    assert_eq!(last.sequence, all.len() as u64 + 1);
    assert!(last.seconds < now() - 19 * YEAR);
    assert!(server.stop().success());
}
