//! Several servers on one register.

use std::time::Duration;

use rustix::process::Signal;

use super::{
    listed, serve,
    writers::{Writers, check, hardly_sent_again},
};
use crate::{
    cli::file,
    running::Printing,
    support::{folder, own_name, postgres::Cluster, run},
};

/// How long a server that has stopped amid a transaction may hold up the others: 1 s, after which the database ends the
/// transaction, and what a busy machine adds. The server goes on only when the others have.
const HELD_UP: Duration = Duration::from_secs(15);

#[test]
#[ignore = "needs PostgreSQL"]
fn three_servers_number_what_is_created_as_one() {
    let (cluster, name) = (Cluster::shared(), own_name());
    let homes = [folder(), folder(), folder()];
    let url = cluster.url("postgres");
    let servers = homes.each_ref().map(|home| serve(home.path(), &url, &name));
    let addresses = servers.each_ref().map(|server| server.address);
    let writers = Writers::start(&addresses, 8);
    writers.wait_for(3_000);
    let ended = writers.end();
    let all = listed(&servers[0], homes[0].path());
    check(&ended, &all);
    let told: usize = ended.iter().map(|one| one.told.len()).sum();
    assert_eq!(told, all.len());
    // Nobody was in the way for long.
    hardly_sent_again(&ended);
    for (server, home) in servers.iter().zip(&homes) {
        assert_eq!(listed(server, home.path()), all);
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_list_that_follows_one_server_shows_what_another_stores() {
    let (cluster, name, home) = (Cluster::shared(), own_name(), folder());
    let url = cluster.url("postgres");
    let [one, other] = [(); 2].map(|()| serve(home.path(), &url, &name));
    let follow = ["list", "--follow", "-o", "ndjson"];
    let follower = Printing::start(&mut one.ask(home.path(), &follow));
    for number in 1..=20 {
        let record = format!("{{\"id\":\"tea-{number}\"}}");
        let path = file(home.path(), "one.json", record);
        run(&mut other.ask(home.path(), &["create", &path])).exits(0);
        follower.await_lines(number);
    }
    for (line, number) in follower.interrupt().lines().zip(1..) {
        for text in [
            format!("\"id\":\"tea-{number}\""),
            format!("\"sequence\":\"{number}\""),
        ] {
            assert!(line.contains(&text), "no {text} in {line}");
        }
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn registers_of_other_names_in_the_same_database_do_not_meet() {
    let (cluster, home) = (Cluster::shared(), folder());
    let url = cluster.url("postgres");
    let [one, other] = [(); 2].map(|()| serve(home.path(), &url, &own_name()));
    assert_ne!(one.register, other.register);
    let path = file(
        home.path(),
        "one.json",
        r#"{"id":"tea","vessel_id":"vessel001"}"#,
    );
    for server in [&one, &other] {
        run(&mut server.ask(home.path(), &["create", &path])).exits(0);
        assert_eq!(listed(server, home.path()), [(1, "tea".into())]);
        let list = ["list", "--vessel", "vessel001", "-o", "ndjson"];
        let ran = run(&mut server.ask(home.path(), &list)).exits(0);
        assert_eq!(ran.stdout.lines().count(), 1, "{ran:#?}");
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_server_that_freezes_holds_up_no_other() {
    let (cluster, name) = (Cluster::shared(), own_name());
    let homes = [folder(), folder()];
    let url = cluster.url("postgres");
    let [frozen, alive] = homes.each_ref().map(|home| serve(home.path(), &url, &name));
    let busy = Writers::start(&[frozen.address], 16);
    let others = Writers::start(&[alive.address], 4);
    for _ in 0..6 {
        busy.wait_for(200);
        frozen.signal(Signal::STOP);
        others.wait_for(100);
        frozen.signal(Signal::CONT);
    }
    let ended = [busy.end(), others.end()];
    check(ended.iter().flatten(), &listed(&alive, homes[1].path()));
    for one in &ended[1] {
        assert!(one.longest < HELD_UP, "held up for {:?}", one.longest);
    }
}
