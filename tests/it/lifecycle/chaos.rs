//! Networks that are slow, cut connections, swallow what is said or take it apart: what is acknowledged is there once,
//! and every command ends as it is to.

use std::{collections::HashSet, net::SocketAddr, path::Path, process::Command, time::Duration};

use super::MARGIN;
use crate::{
    cli::{
        create::{batch_of, weighed},
        file, stored,
    },
    running::Printing,
    support::{
        Ran, Server,
        chaos::{Chaos, Fate},
        folder, run, shippy, within,
    },
};

/// Consignments created one by one, and in one file.
const SINGLE: usize = 5;
const BULK: usize = 2_000;
/// How often a command that says that it is not done is run again.
const TRIES: usize = 60;

fn asking(server: SocketAddr, home: &Path, args: &[&str], timeout: &str) -> Command {
    let mut command = shippy(home);
    command.args(args);
    command.args(["--server", &server.to_string(), "--timeout", timeout]);
    command
}

/// Runs `args`, and again where it found nobody to answer in time, until it is done.
#[track_caller]
fn done(chaos: &Chaos, home: &Path, args: &[&str]) -> Ran {
    for _ in 0..TRIES {
        let ran = run(&mut asking(chaos.address, home, args, "5s"));
        if ran.code != Some(3) {
            return ran.exits(0);
        }
    }
    panic!("{args:?} is never done")
}

/// Creates, lists and follows on a way where connections fare as `fate` has it.
fn all_is_stored_once(fate: impl Fn(usize) -> Fate + Send + 'static) {
    let home = folder();
    let server = Server::start(home.path());
    let chaos = Chaos::before(server.address, fate);
    let follow = ["list", "--follow", "-o", "ndjson"];
    let follow = Printing::start(&mut asking(chaos.address, home.path(), &follow, "10m"));

    let mut acknowledged = Vec::new();
    let one = file(home.path(), "one.json", "{\"weight\":7}");
    for _ in 0..SINGLE {
        acknowledged.push(done(&chaos, home.path(), &["create", &one]).stdout);
    }
    let path = file(home.path(), "many.ndjson", weighed(BULK));
    let batch = batch_of(&uuid::Uuid::now_v7().to_string());
    let bulk = done(&chaos, home.path(), &["create", "--resume", &batch, &path]);
    acknowledged.push(bulk.stdout);

    let there = stored(&server, home.path());
    let ids: HashSet<_> = there.iter().map(String::as_str).collect();
    assert_eq!(ids.len(), there.len(), "none twice");
    for id in acknowledged.iter().flat_map(|printed| printed.lines()) {
        assert!(ids.contains(id), "{id} was acknowledged and lost");
    }
    // A single one that was given up may be stored, and another beside it. What belongs to a batch is known by its ids.
    let of_batch = there.iter().filter(|id| batch_of(id) == batch).count();
    assert_eq!(of_batch, BULK);

    let direct = run(&mut server.ask(home.path(), &["list", "-o", "ndjson"])).exits(0);
    let listed = done(&chaos, home.path(), &["list", "-o", "ndjson"]);
    assert!(listed.stdout == direct.stdout, "the same, whatever the way");
    follow.await_lines(there.len());
    assert!(
        follow.interrupt() == direct.stdout,
        "neither a gap nor a repeat"
    );
    assert!(chaos.connections() > SINGLE);
}

#[test]
fn chaos_a_way_that_is_slow() {
    all_is_stored_once(|_| Fate::Late(Duration::from_millis(20)));
}

#[test]
fn chaos_a_way_that_takes_a_byte_at_a_time() {
    all_is_stored_once(|_| Fate::Trickled);
}

#[test]
fn chaos_a_way_that_is_cut_after_so_many_bytes() {
    // From one that ends before the first answer to one on which a list gets far.
    all_is_stored_once(|number| Fate::Cut(97 << (number % 14)));
}

#[test]
fn chaos_a_way_that_swallows_what_is_said_after_so_many_bytes() {
    all_is_stored_once(|number| match number % 3 {
        0 => Fate::Swallowed(97 << (number % 14)),
        _ => Fate::Good,
    });
}

#[test]
fn chaos_a_way_that_never_lets_an_answer_through_ends_every_command_in_time() {
    let home = folder();
    let server = Server::start(home.path());
    let many = file(home.path(), "many.ndjson", weighed(600));
    for fate in [
        Fate::Cut(0),
        Fate::Cut(200),
        Fate::Swallowed(0),
        Fate::Swallowed(200),
    ] {
        let chaos = Chaos::before(server.address, move |_| fate);
        for args in [
            &["create", "consignment.json"][..],
            &["create", &many],
            &["list"],
            &["health"],
        ] {
            let ran = within(MARGIN, || {
                run(&mut asking(chaos.address, home.path(), args, "2s"))
            });
            ran.exits(3).says(&[&chaos.address.to_string()]);
        }
    }
}
