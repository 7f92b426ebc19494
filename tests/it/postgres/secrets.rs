//! Where the password comes from, and where it never goes.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use crate::{
    running::run_to_end,
    support::{Server, folder, own_name, postgres::Cluster, shippy},
};

const PASSWORD: &str = "s:e%cret";

#[test]
fn a_password_is_not_taken_from_a_flag() {
    let home = folder();
    let url = "postgres://ann:secret@127.0.0.1:1/depot";
    let mut command = shippy(home.path());
    let ran = run_to_end(command.args(["serve", "--store", url])).exits(2);
    assert!(!ran.stderr.contains("secret"), "{ran:#?}");
    ran.says(&["--store holds a password", "SHIPPY_STORE", "--store-file"]);
}

#[test]
fn a_store_is_typed_once() {
    let home = folder();
    let mut command = shippy(home.path());
    command.args(["serve", "--store", "memory:", "--store-file", "/nowhere"]);
    run_to_end(&mut command).exits(2).says(&["one of them"]);
    let mut command = shippy(home.path());
    command.args(["serve", "--store-file", "/nowhere"]);
    run_to_end(&mut command)
        .exits(2)
        .says(&["--store-file /nowhere"]);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_password_comes_from_the_environment_or_a_file_and_is_shown_nowhere() {
    let cluster = Cluster::prepare(&[]);
    cluster.admit("host all all 127.0.0.1/32 scram-sha-256\nlocal all all trust\n");
    cluster.run();
    let statement = format!(
        "CREATE ROLE ann LOGIN PASSWORD '{PASSWORD}'; GRANT CREATE ON SCHEMA public TO ann"
    );
    cluster.sql("postgres", &statement);

    let port = cluster.port;
    let open = format!("postgres://ann@127.0.0.1:{port}/postgres");
    let whole = format!("postgres://ann:s%3Ae%25cret@127.0.0.1:{port}/postgres");
    let home = folder();
    let write = |name: &str, text: String| {
        let path = home.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let url_file = write("url", format!("{whole}\n"));
    let passwords = write("passwords", format!("127.0.0.1:{port}:*:ann:s\\:e%cret\n"));
    let ways: [&[(&str, &str)]; 4] = [
        &[("SHIPPY_STORE", &whole)],
        // As the image sets it.
        &[
            ("SHIPPY_STORE_FILE", &url_file),
            ("SHIPPY_STORE", "sqlite:/data/"),
        ],
        &[("SHIPPY_STORE", &open), ("PGPASSWORD", PASSWORD)],
        &[("SHIPPY_STORE", &open), ("PGPASSFILE", &passwords)],
    ];
    let mut registers = Vec::new();
    for way in ways {
        let mut command = shippy(home.path());
        command.args(["serve", "--name", "depot", "--log-level", "trace"]);
        command.envs(way.iter().copied());
        let server = Server::spawn(command, home.path());
        let said = format!("{}{}", server.ready, server.logged());
        assert!(!said.contains("cret"), "{way:?}: {said}");
        assert!(server.ready.contains(&format!("store {open},")), "{said}");
        registers.push(server.register.clone());
    }
    registers.dedup();
    assert_eq!(registers.len(), 1);

    let mut command = shippy(home.path());
    command.args(["serve", "--store", &open]);
    command.env("PGPASSFILE", write("none", String::new()));
    run_to_end(&mut command)
        .exits(1)
        .says(&["password missing"]);
    let mut command = shippy(home.path());
    command.args(["serve", "--store-file", &url_file, "--name", &own_name()]);
    command.env("SHIPPY_STORE", "memory:");
    let server = Server::spawn(command, home.path());
    assert!(server.ready.contains("postgres://"), "{}", server.ready);
}
