//! A power cut at any moment: what was written and not synced is gone, whole or in parts, and what was acknowledged is
//! there, every consignment once, byte for byte.
//!
//! `SHIPPY_TEST_POWER_ROUNDS` says how often, `SHIPPY_TEST_POWER_SEED` repeats a history's choices.

use std::{collections::HashSet, path::Path, thread, time::Duration};

use tempfile::TempDir;

use super::{
    Journal,
    contents::{Cut, Disk},
};
use crate::{
    cli::file,
    kill::{Dice, Shared, check, fresh, list, live_and_be_killed, own_seed, setting},
    running::Printing,
    support::{Server, folder, run},
};

fn serve(journal: &Journal, folder: &Path) -> Server {
    Server::spawn(journal.serving(folder), folder)
}

/// The folder that a power cut leaves of `disk`, after what the journal says.
fn cut(mut disk: Disk, journal: &Journal, dice: &mut Dice) -> TempDir {
    disk.follow(&journal.read(), true);
    let left = folder();
    disk.leave(Cut::any(dice), dice, left.path());
    left
}

fn seeded() -> Dice {
    let seed = setting("SHIPPY_TEST_POWER_SEED").unwrap_or_else(own_seed);
    eprintln!("SHIPPY_TEST_POWER_SEED={seed}");
    Dice::new(seed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_power_cut_at_any_moment() {
    let rounds = setting("SHIPPY_TEST_POWER_ROUNDS").unwrap_or(5);
    let mut dice = seeded();
    let journal = Journal::new();
    let known = Shared::default();
    let mut home = folder();
    let mut last = 0;
    for _ in 0..rounds {
        let disk = Disk::of(home.path());
        let server = serve(&journal, home.path());
        last = check(&server, &known, last).await;
        live_and_be_killed(server, &mut dice, &known).await;
        home = cut(disk, &journal, &mut dice);
    }
    let server = Server::start(home.path());
    let stored = check(&server, &known, 0).await;
    assert!(server.stop().success());
    let acknowledged = known.lock().unwrap().acknowledged.len();
    assert!(acknowledged > 0, "the clients got nowhere");
    eprintln!("{rounds} power cuts: {acknowledged} acknowledged, {stored} stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_does_not_keep_to_its_syncs_is_noticed_here() {
    let mut dice = seeded();
    let journal = Journal::new();
    let home = folder();
    // With a register that is safe, so that what is lost are consignments.
    assert!(Server::start(home.path()).stop().success());
    let mut disk = Disk::of(home.path());
    let server = serve(&journal, home.path());
    let mut client = server.connect().await;
    client.create_consignment(fresh(&mut dice)).await.unwrap();
    server.kill();
    disk.follow(&journal.read(), false);
    let left = folder();
    disk.leave(Cut::All, &mut dice, left.path());
    let server = Server::start(left.path());
    assert!(list(&server, 0).await.is_empty());
}

/// How many vessels there are.
const VESSELS: usize = 97;

#[test]
fn a_bulk_load_and_the_lists_of_a_vessel_survive_power_cuts() {
    // A segment of the filter index is 16,384 records.
    const RECORDS: usize = 20_000;
    let mut dice = seeded();
    let journal = Journal::new();
    let mut home = folder();
    let mut acknowledged = HashSet::new();
    for round in 0..4 {
        let line = |at| {
            format!(
                "{{\"id\":\"{round}-{at}\",\"vessel_id\":\"v{}\"}}\n",
                at % VESSELS
            )
        };
        let load: String = (0..RECORDS).map(line).collect();
        let elsewhere = folder();
        let path = file(elsewhere.path(), "load.ndjson", load);
        let disk = Disk::of(home.path());
        let server = serve(&journal, home.path());
        let create = ["create", "--timeout", "1s", &path];
        let create = Printing::start(&mut server.ask(home.path(), &create));
        create.await_lines(1);
        thread::sleep(Duration::from_millis(dice.roll(1_500)));
        server.kill();
        let (_, printed) = create.end();
        acknowledged.extend(printed.lines().map(str::to_owned));
        home = cut(disk, &journal, &mut dice);
        check_vessels(&home, &acknowledged);
    }
    eprintln!("{} acknowledged", acknowledged.len());
}

/// All of `acknowledged` is there once, and each vessel's list has what the whole list has of it.
fn check_vessels(home: &TempDir, acknowledged: &HashSet<String>) {
    let server = Server::start(home.path());
    let list = |args: &[&str]| {
        let args = [&["list", "-o", "ndjson"], args].concat();
        let ran = run(&mut server.ask(home.path(), &args)).exits(0);
        let lines: Vec<_> = ran.stdout.lines().map(str::to_owned).collect();
        lines
    };
    let all = list(&[]);
    let id = |line: &String| line.split('"').nth(3).unwrap().to_owned();
    let ids: HashSet<_> = all.iter().map(id).collect();
    assert_eq!(ids.len(), all.len(), "each once");
    assert!(acknowledged.is_subset(&ids));
    for vessel in [0, 5, VESSELS - 1] {
        let vessel = format!("v{vessel}");
        let has = format!("\"{vessel}\"");
        let of_all: Vec<_> = (all.iter()).filter(|line| line.contains(&has)).collect();
        assert!(
            of_all
                .iter()
                .eq(&list(&["--vessel", &vessel]).iter().collect::<Vec<_>>())
        );
    }
}
