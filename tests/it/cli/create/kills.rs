//! A load whose client or server is killed at any moment, ten times over, and gone on with each time: every record is
//! stored once.
//!
//! `SHIPPY_TEST_LOAD_RECORDS` says how many records it has, `SHIPPY_TEST_KILL_SEED` repeats a history's choices.

use std::{
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use shippy::proto::Consignment;

use super::{create_alone, has_each_once, own_batch, started_at, weighed};
use crate::{
    cli::file,
    kill::{Dice, own_seed, setting},
    support::{Server, eventually, eventually_after, folder, free_address, run},
};

const KILLS: usize = 10;
/// What is killed lives at most so long in a load of the usual length.
const LONGEST_LIFE_MILLIS: u64 = 600;
const RECORDS: u64 = 40_000;

/// How many records there are, and choices that fit.
fn history() -> (usize, Dice) {
    let records = setting("SHIPPY_TEST_LOAD_RECORDS").unwrap_or(RECORDS);
    let seed = setting("SHIPPY_TEST_KILL_SEED").unwrap_or_else(own_seed);
    eprintln!("SHIPPY_TEST_LOAD_RECORDS={records} SHIPPY_TEST_KILL_SEED={seed}");
    (usize::try_from(records).unwrap(), Dice::new(seed))
}

/// How many records the server has.
fn reached(server: &Server, home: &Path) -> u64 {
    let newest = ["list", "--newest", "--limit", "1", "-o", "ndjson"];
    let newest = run(&mut server.ask(home, &newest)).exits(0).stdout;
    let newest = newest.lines().next();
    newest.map_or(0, |line| {
        serde_json::from_str::<Consignment>(line).unwrap().sequence
    })
}

/// A while in which a load of `records` comes somewhere.
fn wait(dice: &mut Dice, records: usize) {
    let longest = LONGEST_LIFE_MILLIS * records as u64 / RECORDS;
    thread::sleep(Duration::from_millis(dice.roll(longest)));
}

#[test]
fn a_client_that_is_killed_ten_times_stores_each_record_once() {
    let (records, mut dice) = history();
    let home = folder();
    let server = Server::start(home.path());
    let path = file(home.path(), "in.ndjson", weighed(records));
    let batch = own_batch();
    let mut create = server.ask(home.path(), &["create", "-q", "--resume", &batch, &path]);
    create.stdout(Stdio::null());
    let begun = Instant::now();
    run(&mut create_alone(home.path(), &["--check", &path])).exits(0);
    let checked = begun.elapsed();
    for kill in 1..=KILLS {
        let mut client = create.spawn().unwrap();
        // Most are killed when they have sent something, and the last one on a machine of any speed.
        thread::sleep(checked);
        wait(&mut dice, records);
        if kill == KILLS {
            eventually("something stored", || {
                (reached(&server, home.path()) > 0).then_some(())
            });
        }
        client.kill().unwrap();
        client.wait().unwrap();
    }
    eprintln!("{} stored", reached(&server, home.path()));
    create.stdout(Stdio::piped());
    run(&mut create).exits(0);
    has_each_once(&server, home.path(), records);
}

#[test]
fn a_server_that_is_killed_ten_times_has_each_record_once() {
    let (records, mut dice) = history();
    let home = folder();
    let address = free_address();
    let mut server = started_at(home.path(), &address);
    let path = file(home.path(), "in.ndjson", weighed(records));
    let batch = own_batch();
    let args = ["create", "-q", "--resume", &batch, &path];
    let mut create = server.ask(home.path(), &args);
    create.stdout(Stdio::null()).env("SHIPPY_TIMEOUT", "2s");
    let mut client = create.spawn().unwrap();
    for _ in 0..KILLS {
        wait(&mut dice, records);
        server.kill();
        // It may wait for the server, or give it up.
        if client.try_wait().unwrap().is_some() {
            client = create.spawn().unwrap();
        }
        server = started_at(home.path(), &address);
    }
    let ended = eventually_after(
        "the load's end",
        || reached(&server, home.path()),
        || client.try_wait().unwrap(),
    );
    eprintln!("{ended}, {} stored", reached(&server, home.path()));
    create.stdout(Stdio::piped());
    run(create.args(["--timeout", "20s"])).exits(0);
    has_each_once(&server, home.path(), records);
}
