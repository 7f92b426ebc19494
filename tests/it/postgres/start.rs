//! What a start finds, makes and refuses.

use std::{
    io::{BufRead as _, BufReader},
    thread,
};

use rustix::process::Signal;

use super::{command, on_own_database, serve};
use crate::{
    running::{Running, run_to_end},
    support::{Server, folder, own_name, postgres::Cluster},
};

#[test]
#[ignore = "needs PostgreSQL"]
fn ten_servers_that_start_at_once_on_an_empty_database_serve_one_register() {
    let cluster = Cluster::shared();
    let (database, name) = (cluster.database(), own_name());
    let starts: Vec<_> = (0..10)
        .map(|_| {
            let (url, name) = (cluster.url(&database), name.clone());
            thread::spawn(move || {
                let home = folder();
                let server = serve(home.path(), &url, &name);
                (server, home)
            })
        })
        .collect();
    let servers: Vec<(Server, _)> = starts.into_iter().map(|one| one.join().unwrap()).collect();
    for (server, _) in &servers {
        assert_eq!(server.register, servers[0].0.register);
    }
    let count = |table| cluster.sql(&database, &format!("SELECT count(*) FROM {table}"));
    assert_eq!(count("shippy_schema"), "1");
    assert_eq!(count("shippy_register"), "1");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn ten_registers_that_are_made_at_once_have_a_number_each() {
    let cluster = Cluster::shared();
    let database = cluster.database();
    let starts: Vec<_> = (0..10)
        .map(|_| {
            let url = cluster.url(&database);
            thread::spawn(move || {
                let home = folder();
                serve(home.path(), &url, &own_name()).register.clone()
            })
        })
        .collect();
    let mut registers: Vec<_> = starts.into_iter().map(|one| one.join().unwrap()).collect();
    registers.sort();
    registers.dedup();
    assert_eq!(registers.len(), 10);
    let numbers = "SELECT count(DISTINCT number) FROM shippy_register";
    assert_eq!(cluster.sql(&database, numbers), "10");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn what_the_database_refuses_ends_a_start_with_what_to_change() {
    let cluster = Cluster::prepare(&[]);
    let hba = "host all ann 127.0.0.1/32 scram-sha-256\n\
               host all bob 127.0.0.1/32 reject\n\
               host all all 127.0.0.1/32 trust\n\
               local all all trust\n";
    cluster.admit(hba);
    cluster.run();
    cluster.sql("postgres", "CREATE ROLE ann LOGIN PASSWORD 'right'");
    let at = format!("127.0.0.1:{}", cluster.port);
    let home = folder();
    let right = format!("postgres://ann:right@{at}/postgres");
    let refused: [(&str, &[&str]); 5] = [
        (
            "ann:wrong@{at}/postgres",
            &[
                "postgres://ann@",
                "/postgres",
                "authentication",
                "SHIPPY_STORE",
                "PGPASSFILE",
            ],
        ),
        ("ann@{at}/postgres", &["password missing", "PGPASSWORD"]),
        ("bob@{at}/postgres", &["bob", "pg_hba.conf"]),
        (
            "postgres@{at}/nowhere",
            &["\"nowhere\" does not exist", "createdb nowhere"],
        ),
        (
            "postgres@{at}/postgres?sslmode=require",
            &["TLS", "sslmode"],
        ),
    ];
    for (url, texts) in refused {
        let url = format!("postgres://{}", url.replace("{at}", &at));
        let ran = run_to_end(&mut command(home.path(), &url, &own_name()));
        let ran = ran.exits(1).says(texts);
        assert!(!ran.stderr.contains("wrong"), "{ran:#?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:#?}");
    }
    // Since version 15 not everybody may make tables.
    run_to_end(&mut command(home.path(), &right, &own_name()))
        .exits(1)
        .says(&[
            "permission denied",
            "GRANT CREATE ON SCHEMA public TO \"ann\"",
        ]);
    cluster.sql("postgres", "GRANT CREATE ON SCHEMA public TO ann");
    let server = serve(home.path(), &right, &own_name());
    assert!(!server.ready.contains("right"), "{}", server.ready);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_database_that_is_away_at_the_start_is_waited_for() {
    let cluster = Cluster::prepare(&[]);
    let home = folder();
    let mut server = command(home.path(), &cluster.url("postgres"), &own_name());
    let mut server = Running::start(&mut server);
    let mut said = BufReader::new(server.child.stderr.take().unwrap()).lines();
    let first = said.next().unwrap().unwrap();
    for text in ["waiting for the database postgres://", "refused"] {
        assert!(first.contains(text), "no {text:?} in {first:?}");
    }
    cluster.run();
    let mut ready = BufReader::new(server.child.stdout.take().unwrap()).lines();
    let ready = ready.next().unwrap().unwrap();
    assert!(ready.contains("register"), "{ready:?}");
    drop(server);
    let rest: Vec<_> = said.map(Result::unwrap).collect();
    assert!(
        !rest.iter().any(|line| line.contains("waiting")),
        "{rest:?}"
    );
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_wait_for_the_database_ends_with_a_signal() {
    let cluster = Cluster::prepare(&[]);
    let home = folder();
    let url = cluster.url("postgres");
    let server = Running::start(&mut command(home.path(), &url, &own_name()));
    server.signal(Signal::TERM);
    server.end().exits(130);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn the_tables_of_a_later_version_are_left_alone() {
    let (cluster, home) = (Cluster::shared(), folder());
    let (server, database) = on_own_database(home.path(), &cluster);
    drop(server);
    cluster.sql(&database, "INSERT INTO shippy_schema VALUES (7)");
    let url = cluster.url(&database);
    run_to_end(&mut command(home.path(), &url, &own_name()))
        .exits(1)
        .says(&["schema is version 7", "use a newer shippy"]);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn settings_that_could_lose_what_was_acknowledged_are_warned_of() {
    let cluster = Cluster::start_with(&["synchronous_commit=off", "fsync=off"]);
    let home = folder();
    let hosts = format!("127.0.0.1:{0},127.0.0.1:{0}", cluster.port);
    let url = format!("postgres://postgres@{hosts}/postgres");
    let logged = serve(home.path(), &url, &own_name()).logged();
    for text in [
        "fsync is off",
        "synchronous_commit is off",
        "synchronous_standby_names is empty",
    ] {
        assert!(logged.contains(text), "no {text:?} in {logged}");
    }
    // Nothing is said of what is in order.
    let (cluster, home) = (Cluster::shared(), folder());
    let server = serve(home.path(), &cluster.url("postgres"), &own_name());
    assert!(!server.logged().contains("WARN"), "{}", server.logged());
}
