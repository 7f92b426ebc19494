//! Settings by environment variables: go-micro's names and shippy's own.

use std::net::IpAddr;

use super::serve;
use crate::{
    running::run_to_end,
    support::{Server, folder, own_name, run, shippy},
};

/// Every variable that is a setting of some command.
const SETTINGS: [&str; 42] = [
    "MICRO_SERVER_NAME",
    "MICRO_SERVER_VERSION",
    "MICRO_SERVER_ID",
    "MICRO_SERVER_ADDRESS",
    "MICRO_SERVER_ADVERTISE",
    "MICRO_REGISTRY",
    "MICRO_REGISTRY_ADDRESS",
    "MICRO_REGISTER_TTL",
    "MICRO_REGISTER_INTERVAL",
    "SHIPPY_STORE",
    "SHIPPY_STORE_FILE",
    "SHIPPY_SERVER",
    "SHIPPY_REGISTER",
    "SHIPPY_REGISTRY_CA",
    "SHIPPY_REGISTRY_PASSWORD",
    "SHIPPY_REGISTRY_USER",
    "SHIPPY_IDLE_TIMEOUT",
    "SHIPPY_MAX_CONNECTIONS",
    "SHIPPY_MAX_CONNECTIONS_PER_PEER",
    "SHIPPY_MAX_HEADER_BYTES",
    "SHIPPY_MAX_LISTS",
    "SHIPPY_MAX_LOADS",
    "SHIPPY_MAX_MESSAGE_BYTES",
    "SHIPPY_MAX_QUEUE_BYTES",
    "SHIPPY_MAX_REQUESTS",
    "SHIPPY_MAX_STREAMS",
    "SHIPPY_HTTP_HOST",
    "SHIPPY_PROBE_ADDRESS",
    "SHIPPY_STALL_TIMEOUT",
    "SHIPPY_TIMEOUT",
    "SHIPPY_TLS_CA",
    "SHIPPY_TLS_CERT",
    "SHIPPY_TLS_CLIENT_CA",
    "SHIPPY_TLS_CLIENT_CERT",
    "SHIPPY_TLS_CLIENT_KEY",
    "SHIPPY_TLS_KEY",
    "SHIPPY_TLS_SERVER_NAME",
    "SHIPPY_TOKEN",
    "SHIPPY_TOKENS",
    "SHIPPY_TOKEN_FILE",
    "SHIPPY_LOG",
    "SHIPPY_LOG_FORMAT",
];

#[test]
fn the_run_command_of_the_go_service_keeps_working() {
    let home = folder();
    let name = own_name();
    let mut command = shippy(home.path());
    command
        .arg("serve")
        .env("MICRO_SERVER_NAME", &name)
        .env("MICRO_SERVER_ADDRESS", ":0")
        .env("MICRO_REGISTRY", "mdns");
    let server = Server::spawn(command, home.path());
    assert!(server.address.ip().is_unspecified(), "{}", server.ready);
    assert!(server.ready.contains(&name), "{}", server.ready);
    let mut command = shippy(home.path());
    command.args(["create", "consignment.json"]);
    run(command.env("MICRO_SERVER_NAME", &name)).exits(0);
    // Without a store of its own it keeps the register in the user's data folder.
    let kept = home.path().join(format!(".local/share/shippy/{name}.db"));
    assert!(kept.exists(), "{}", server.ready);
}

#[test]
fn a_go_micro_setting_that_shippy_does_not_have_is_named_once() {
    let home = folder();
    let mut command = shippy(home.path());
    command.args(["serve", "--name", &own_name(), "--store", "memory:"]);
    command.env("MICRO_BROKER", "nats").env("MICRO_FOO", "1");
    command
        .env("MICRO_REGISTER_TTL", "30")
        .env("MICRO_EMPTY", "");
    let server = Server::spawn(command, home.path());
    let log = server.logged();
    for name in ["MICRO_BROKER", "MICRO_FOO"] {
        assert_eq!(log.matches(name).count(), 1, "{log}");
    }
    for name in ["MICRO_REGISTER_TTL", "MICRO_EMPTY"] {
        assert!(!log.contains(name), "{log}");
    }
    let mut command = server.ask(home.path(), &["list"]);
    let ran = run(command.env("MICRO_FOO", "1")).exits(0);
    assert_eq!(ran.stderr.matches("MICRO_FOO").count(), 1, "{ran:#?}");
    assert_eq!(ran.stdout, "");
}

#[test]
fn a_server_that_is_announced_nowhere_is_reached_by_its_address() {
    let home = folder();
    let mut command = shippy(home.path());
    command.args(["serve", "--name", &own_name(), "--store", "memory:"]);
    command.env("MICRO_REGISTRY", "static");
    let server = Server::spawn(command, home.path());
    assert!(!server.logged().contains("WARN"), "{}", server.logged());
    let mut list = server.ask(home.path(), &["list", "--registry", "static"]);
    run(&mut list).exits(0);
}

#[test]
fn what_is_typed_counts_before_what_is_set() {
    let home = folder();
    let name = own_name();
    let command = |args: &[&str]| {
        let mut command = shippy(home.path());
        command
            .args(["serve", "--name", &name, "--store", "memory:"])
            .args(args);
        command
            .env("MICRO_SERVER_NAME", "set")
            .env("SHIPPY_STORE", "sqlite:/set");
        // Nobody can listen there: the address is kept for documentation (RFC 5737).
        command.env("MICRO_SERVER_ADDRESS", "192.0.2.1:1");
        command
    };
    let host = |args: &[&str]| {
        let server = Server::spawn(command(args), home.path());
        assert!(server.ready.contains(&name), "{}", server.ready);
        assert!(server.ready.contains("memory:"), "{}", server.ready);
        server.address.ip()
    };
    let loopback = IpAddr::from([127, 0, 0, 1]);
    assert_eq!(host(&["--address", "127.0.0.1:0"]), loopback);
    assert!(host(&["--lan"]).is_unspecified());
    run_to_end(&mut command(&["--lan", "--address", "127.0.0.1:0"])).exits(2);
    run_to_end(&mut command(&[]))
        .exits(1)
        .says(&["192.0.2.1:1"]);
}

#[test]
fn a_variable_that_is_set_to_nothing_counts_as_not_set() {
    let home = folder();
    let name = own_name();
    let with_empty = |args: &[&str]| {
        let mut command = shippy(home.path());
        command.args(args).args(["--name", &name]);
        command.envs(SETTINGS.map(|setting| (setting, "")));
        command
    };
    let server = Server::spawn(with_empty(&["serve"]), home.path());
    assert!(server.address.ip().is_loopback(), "{}", server.ready);
    run(&mut with_empty(&["create", "consignment.json"])).exits(0);
    let ran = run(&mut with_empty(&["list"])).exits(0);
    assert_eq!(ran.stdout.lines().count(), 2);
    assert_eq!(ran.stderr, "", "nothing is warned of");
    run(&mut with_empty(&["health"])).exits(0);
}

#[test]
fn a_setting_that_cannot_be_used_is_named_with_what_can() {
    let home = folder();
    for (setting, value, said) in [
        (
            "MICRO_REGISTRY",
            "zookeeper",
            vec!["zookeeper", "--registry", "mdns", "variable MICRO_REGISTRY"],
        ),
        (
            "MICRO_SERVER_ADDRESS",
            "50051",
            vec!["50051", "variable MICRO_SERVER_ADDRESS", "HOST:PORT"],
        ),
        (
            "MICRO_SERVER_NAME",
            "a b",
            vec!["a b", "--name", "variable MICRO_SERVER_NAME"],
        ),
        (
            "SHIPPY_STORE",
            "mysql://ann:secret@depot/x",
            vec!["the store \"mysql\"", "sqlite:PATH"],
        ),
        ("SHIPPY_STORE", "x.db", vec!["write sqlite:x.db"]),
        (
            "MICRO_SERVER_ADVERTISE",
            ":50051",
            vec![":50051", "--advertise", "no host"],
        ),
        ("MICRO_SERVER_ID", &"x".repeat(49), vec!["--id", "48"]),
    ] {
        let ran = run_to_end(shippy(home.path()).arg("serve").env(setting, value)).exits(2);
        let ran = ran.says(&said);
        assert!(!ran.stderr.contains("secret"), "{ran:#?}");
    }
}

#[test]
fn a_clients_setting_that_cannot_be_used_is_named_too() {
    let home = folder();
    for args in [&["create", "x.json"][..], &["list"], &["health"]] {
        let mut command = shippy(home.path());
        run(command.args(args).env("SHIPPY_TIMEOUT", "soon"))
            .exits(2)
            .says(&["soon", "--timeout", "variable SHIPPY_TIMEOUT"]);
    }
}

#[test]
fn what_is_typed_wrongly_is_not_put_down_to_a_variable() {
    let home = folder();
    for typed in [&["--timeout", "soon"][..], &["--timeout=soon"]] {
        let mut command = shippy(home.path());
        command.arg("list").args(typed).env("SHIPPY_TIMEOUT", "5s");
        let ran = run(&mut command).exits(2).says(&["soon", "--timeout"]);
        assert!(!ran.stderr.contains("SHIPPY_TIMEOUT"), "{ran:#?}");
    }
}

#[test]
fn clients_take_their_settings_from_the_environment_too() {
    let home = folder();
    let server = serve(home.path(), &own_name());
    let list = |server_at: &str, register: &str| {
        let mut command = shippy(home.path());
        command.arg("list").env("SHIPPY_SERVER", server_at);
        run(command
            .env("SHIPPY_REGISTER", register)
            .env("SHIPPY_TIMEOUT", "20s"))
    };
    let address = server.address.to_string();
    list(&address, &server.register[..8]).exits(0);
    list(&format!("127.0.0.1:1,{address}"), &server.register).exits(0);
    list(&address, "ffff").exits(3).says(&["another register"]);
}
