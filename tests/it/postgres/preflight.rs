//! `shippy serve --check` of a register in a database.

use std::path::Path;

use super::{command, serve, upgrade::VERSION_1};
use crate::{
    running::run_to_end,
    support::{Ran, folder, free_port, own_name, postgres::Cluster},
};

/// Fails the test unless the check ends with `code` and tells `text` of the store.
#[track_caller]
fn check(home: &Path, url: &str, name: &str, code: i32, text: &str) -> Ran {
    let mut command = command(home, url, name);
    command.args(["--check", "--registry", "static"]);
    let ran = run_to_end(&mut command).exits(code);
    let mut lines = ran.stdout.lines().filter(|line| line.contains(" store "));
    assert!(
        lines.any(|line| line.contains(text)),
        "no {text:?}: {ran:#?}"
    );
    ran
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_database_is_looked_at_and_left_as_it_is() {
    let (cluster, home, name) = (Cluster::shared(), folder(), own_name());
    let database = cluster.database();
    let url = cluster.url(&database);
    let tables = || {
        let select = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        cluster.sql(&database, select)
    };
    check(home.path(), &url, &name, 0, "a new register would be made");
    assert_eq!(tables(), "0");
    // Others may serve it meanwhile.
    let server = serve(home.path(), &url, &name);
    let register = format!("register {}", server.register);
    check(home.path(), &url, &name, 0, &register);
    let other = own_name();
    check(home.path(), &url, &other, 0, "a new register would be made");
    let registers = cluster.sql(&database, "SELECT count(*) FROM shippy_register");
    assert_eq!(registers, "1");
    cluster.sql(&database, "INSERT INTO shippy_schema VALUES (999)");
    check(home.path(), &url, &name, 1, "its schema is version 999");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn tables_that_a_start_would_change_are_told_and_kept() {
    let (cluster, home) = (Cluster::shared(), folder());
    let database = cluster.database();
    cluster.sql(&database, VERSION_1);
    let url = cluster.url(&database);
    let text = "its schema from version 1 to 2";
    check(home.path(), &url, "depot", 0, text);
    let version = cluster.sql(&database, "SELECT max(version) FROM shippy_schema");
    assert_eq!(version, "1");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn what_a_database_does_not_allow_is_told() {
    let cluster = Cluster::start_with(&["full_page_writes=off"]);
    let (home, name) = (folder(), own_name());
    let url = cluster.url("postgres");
    let ran = check(home.path(), &url, &name, 0, "full_page_writes is off");
    assert!(ran.stdout.contains("warning  store"), "{ran:#?}");
    cluster.sql("postgres", "CREATE ROLE guest LOGIN");
    let guest = url.replacen("postgres@", "guest@", 1);
    assert_ne!(guest, url);
    let text = "GRANT CREATE ON SCHEMA public TO \"guest\"";
    check(home.path(), &guest, &name, 1, text);
    let nowhere = cluster.url("nowhere");
    check(home.path(), &nowhere, &name, 1, "createdb nowhere");
    cluster.stop();
    let waits = "a server that is started waits until it answers";
    check(home.path(), &url, &name, 1, waits);
}

#[test]
fn a_database_that_is_away_is_told_in_time() {
    let (home, name) = (folder(), own_name());
    let nobody = format!("postgres://ann@127.0.0.1:{}/depot", free_port());
    let waits = "a server that is started waits until it answers";
    check(home.path(), &nobody, &name, 1, waits);
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("postgres://ann@{}/depot", silent.local_addr().unwrap());
    check(home.path(), &silent, &name, 1, waits);
}
