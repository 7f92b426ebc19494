//! Tables of the version before, which servers of that version go on with while a new one comes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::{command, listed, serve};
use crate::{
    cli::file,
    running::run_to_end,
    support::{eventually, folder, postgres::Cluster, run},
};

/// How version 1 made the tables, with a register in them.
pub(super) const VERSION_1: &str = "
    CREATE TABLE shippy_schema (version BIGINT NOT NULL PRIMARY KEY);
    CREATE TABLE shippy_register (
        number BIGINT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        id TEXT NOT NULL UNIQUE,
        last_sequence BIGINT NOT NULL
    );
    CREATE TABLE shippy_consignment (
        register BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        id TEXT COLLATE \"C\" NOT NULL,
        created_at BIGINT NOT NULL,
        body BYTEA NOT NULL,
        terms BIGINT[] NOT NULL,
        PRIMARY KEY (register, sequence),
        UNIQUE (id, register)
    );
    CREATE INDEX shippy_consignment_terms ON shippy_consignment USING gin (terms);
    INSERT INTO shippy_schema VALUES (1);
    INSERT INTO shippy_register VALUES (1, 'depot', '01a204df-cc18-76b4-89aa-63ade4ea4b19', 0);";
/// What a transaction of version 1 does: it locks the counter, inserts under the columns' names, and counts.
const APPEND: &str = "
    BEGIN;
    SELECT last_sequence FROM shippy_register WHERE number = 1 FOR UPDATE;
    WITH stored AS (
        INSERT INTO shippy_consignment (register, sequence, id, created_at, body, terms)
        SELECT 1, last_sequence + 1, 'old-' || last_sequence, 1795356185000000,
            decode('120a', 'hex') || convert_to(rpad('old', 10), 'UTF8'), '{}'
        FROM shippy_register WHERE number = 1 RETURNING id
    )
    UPDATE shippy_register SET last_sequence = last_sequence + (SELECT count(*) FROM stored)
    WHERE number = 1;
    COMMIT;";

#[test]
#[ignore = "needs PostgreSQL"]
fn a_new_server_changes_the_tables_while_those_of_the_version_before_write_on() {
    let (cluster, home) = (Cluster::shared(), folder());
    let database = cluster.database();
    cluster.sql(&database, VERSION_1);
    let stop = AtomicBool::new(false);
    let count = || {
        let count = cluster.sql(&database, "SELECT count(*) FROM shippy_consignment");
        count.parse::<usize>().unwrap()
    };
    let (server, written) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                cluster.sql(&database, APPEND);
                written += 1;
            }
            written
        });
        eventually("some are there", || (count() > 3).then_some(()));
        let server = serve(home.path(), &cluster.url(&database), "depot");
        assert_eq!(server.register, "01a204df-cc18-76b4-89aa-63ade4ea4b19");
        let new = file(home.path(), "new.ndjson", "{\"id\":\"new\"}\n");
        run(&mut server.ask(home.path(), &["create", &new])).exits(0);
        let then = count();
        eventually("the old one writes on", || (count() > then).then_some(()));
        stop.store(true, Ordering::Relaxed);
        (server, writer.join().unwrap())
    });
    let all = listed(&server, home.path());
    assert_eq!(all.len(), written + 1);
    assert!(
        all.iter()
            .map(|(sequence, _)| *sequence)
            .eq(1..=all.len() as u64)
    );
    let versions = "SELECT string_agg(version::TEXT, ',' ORDER BY version) FROM shippy_schema";
    assert_eq!(cluster.sql(&database, versions), "1,2");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn ten_that_change_the_tables_at_once_all_serve() {
    let (cluster, home) = (Cluster::shared(), folder());
    let database = cluster.database();
    cluster.sql(&database, VERSION_1);
    thread::scope(|scope| {
        let start = |number: u32| {
            let home = home.path().join(number.to_string());
            std::fs::create_dir(&home).unwrap();
            drop(serve(&home, &cluster.url(&database), "depot"));
        };
        for number in 0..10 {
            scope.spawn(move || start(number));
        }
    });
    let count = cluster.sql(&database, "SELECT count(*) FROM shippy_schema");
    assert_eq!(count, "2");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn tables_that_belong_to_another_are_changed_by_their_owner() {
    let (cluster, home) = (Cluster::shared(), folder());
    let database = cluster.database();
    cluster.sql(&database, VERSION_1);
    let user = database.replace("test", "user");
    cluster.sql(&database, &format!("CREATE ROLE {user} LOGIN"));
    let grant = format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {user}");
    cluster.sql(&database, &grant);
    let url = cluster
        .url(&database)
        .replace("postgres@", &format!("{user}@"));
    run_to_end(&mut command(home.path(), &url, "depot"))
        .exits(1)
        .says(&["must be owner", "as the tables' owner"]);
}
