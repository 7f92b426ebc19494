//! A primary that is lost, and its standby that is promoted.

use std::time::Duration;

use super::{
    command, listed, serve,
    writers::{Writers, check},
};
use crate::support::{Server, eventually, folder, own_name, postgres::Cluster};

/// How long whoever creates may wait for the new primary: its promotion, and what finding it takes, on a busy machine.
const PAUSE: Duration = Duration::from_secs(20);

#[test]
#[ignore = "needs PostgreSQL"]
fn what_was_acknowledged_is_there_after_the_standby_was_promoted_and_creates_go_on() {
    let primary = Cluster::start_with(&["synchronous_standby_names=*"]);
    let standby = primary.standby();
    eventually("a standby in sync", || {
        let state = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        (primary.sql("postgres", state) == "1").then_some(())
    });
    // The standby is named first, so that it has to be passed over.
    let url = format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write",
        standby.port, primary.port
    );
    let (name, homes) = (own_name(), [folder(), folder()]);
    let servers = homes.each_ref().map(|home| serve(home.path(), &url, &name));
    for server in &servers {
        assert!(!server.logged().contains("standby"), "{}", server.logged());
    }
    let addresses = servers.each_ref().map(|server| server.address);
    let writers = Writers::start(&addresses, 8);
    writers.wait_for(500);
    primary.stop();
    standby.promote();
    writers.wait_for(500);
    let ended = writers.end();
    for (server, home) in servers.iter().zip(&homes) {
        check(&ended, &listed(server, home.path()));
    }
    for one in &ended {
        assert!(one.longest < PAUSE, "waited for {:?}", one.longest);
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_server_that_finds_only_standbys_waits_for_one_that_writes() {
    let primary = Cluster::start();
    let standby = primary.standby();
    let home = folder();
    let url = standby.url("postgres");
    let started = std::thread::scope(|scope| {
        let starting = scope.spawn(|| serve(home.path(), &url, &own_name()));
        eventually("what it waits for", || {
            let log = std::fs::read_to_string(home.path().join("serve.log")).ok()?;
            log.contains("does not allow writes").then_some(())
        });
        standby.promote();
        starting.join().unwrap()
    });
    assert!(started.logged().contains("waiting for the database"));
    // It says so once, and the next one has nothing to wait for.
    let next = folder();
    let next = Server::spawn(command(next.path(), &url, &own_name()), next.path());
    assert!(!next.logged().contains("waiting"), "{}", next.logged());
}
