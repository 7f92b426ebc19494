//! Which variables count, and that nothing is done unless they ask for it.

use std::{fs, io, net::TcpListener, path::Path, process::Command};

use super::{ENDPOINT, Server, collector, folder, to};
use crate::{
    security::Authority,
    support::{Ran, answer, collector::Collector, eventually, free_address, run, shippy},
};

#[test]
fn nothing_is_connected_to_and_nothing_started_unless_it_is_asked_for() {
    let home = folder();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    for set in [
        &[("OTEL_SERVICE_NAME", "depot")][..],
        &[(ENDPOINT, &endpoint), ("OTEL_SDK_DISABLED", "true")],
        &[(ENDPOINT, &endpoint), ("OTEL_TRACES_EXPORTER", "none")],
    ] {
        let server = Server::start_with(home.path(), |command| {
            command.envs(set.iter().copied());
            command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
        });
        let json = ["Content-Type: application/json"];
        answer::send(server.address, "POST", "/v1/consignments", &json, "{}").is(201);
        assert_eq!(threads(&server), 0, "{set:?}");
        assert!(!server.logged().contains("traces"), "{}", server.logged());
        assert!(server.stop().success());
        let connected = listener.accept().map(|_| ()).map_err(|error| error.kind());
        assert_eq!(connected, Err(io::ErrorKind::WouldBlock), "{set:?}");
    }
    // Where it is asked for, there is one.
    let server = Server::start_with(home.path(), |command| {
        command.env(ENDPOINT, &endpoint);
    });
    assert_eq!(threads(&server), 1);
}

/// How many threads of a server are OpenTelemetry's.
fn threads(server: &Server) -> usize {
    let tasks = format!("/proc/{}/task", server.pid().as_raw_nonzero());
    let names = fs::read_dir(tasks).unwrap().flatten();
    let names = names.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names
        .filter(|name| name.starts_with("OpenTelemetry"))
        .count()
}

#[test]
fn what_cannot_be_followed_is_warned_of_and_the_server_serves() {
    for (name, value, said) in [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http/protobuf",
            "traces are not exported: OTEL_EXPORTER_OTLP_PROTOCOL is http/protobuf, and shippy speaks grpc alone",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://",
            "traces are not exported: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is no URL",
        ),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "missing.pem",
            "traces are not exported: could not read the certificate authority missing.pem",
        ),
        (
            "OTEL_TRACES_SAMPLER",
            "xray",
            "OTEL_TRACES_SAMPLER is ignored: it takes always_on, always_off,",
        ),
    ] {
        let home = folder();
        let server = Server::start_with(home.path(), |command| {
            command.env(ENDPOINT, "https://127.0.0.1:1");
            // Nothing is exported that could fail.
            command.env("OTEL_BSP_SCHEDULE_DELAY", "3600000");
            command.env(name, value);
        });
        answer::get(server.address, "/v1/consignments", &[]).is(200);
        let log = server.logged();
        assert!(
            log.contains(said) && log.matches("WARN").count() == 1,
            "{log}"
        );
    }
}

#[test]
fn a_collector_with_tls_is_trusted_by_its_authority() {
    let home = folder();
    let authority = Authority::new(home.path(), "authority");
    let pair = authority.server(home.path(), "localhost");
    let collector = Collector::start_tls("127.0.0.1:0", &pair.certificate, &pair.key);
    let (_, port) = collector.address.rsplit_once(':').unwrap();
    let serve = |trusted: Option<&str>| {
        let home = folder();
        let server = Server::start_with(home.path(), |command| {
            // Without a scheme it is TLS.
            command.env(ENDPOINT, format!("localhost:{port}"));
            command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
            command.envs(trusted.map(|file| ("OTEL_EXPORTER_OTLP_CERTIFICATE", file)));
        });
        answer::get(server.address, "/v1/consignments", &[]).is(200);
        (home, server)
    };
    let (_home, server) = serve(None);
    eventually("it is not trusted", || {
        let log = server.logged();
        (log.contains("could not export traces") && log.contains("UnknownIssuer")).then_some(())
    });
    let (_home, _server) = serve(Some(&authority.file));
    collector.span(|span| span.name == "GET /v1/consignments");
}

#[test]
fn one_without_a_scheme_is_spoken_to_in_clear_where_that_is_asked_for() {
    let (home, collector) = (folder(), collector());
    let server = Server::start_with(home.path(), |command| {
        to(&collector.address)(command);
        command.env(ENDPOINT, &collector.address);
        command.env("OTEL_EXPORTER_OTLP_INSECURE", "true");
    });
    answer::get(server.address, "/v1/consignments", &[]).is(200);
    collector.span(|span| span.name == "GET /v1/consignments");
}

/// `shippy serve --check` where `set` is.
fn check(home: &Path, set: &[(&str, &str)]) -> Ran {
    let mut command: Command = shippy(home);
    command.args(["serve", "--check", "--registry", "static"]);
    run(command.envs(set.iter().copied()))
}

#[test]
fn a_check_tells_whether_the_collector_is_there() {
    let home = folder();
    let ran = check(home.path(), &[]).exits(0);
    assert!(!ran.stdout.contains("traces"), "{ran:#?}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let secret = format!("http://user:secret@{address}");
    let set = [(ENDPOINT, &*secret), ("OTEL_BSP_MAX_QUEUE_SIZE", "many")];
    let ran = check(home.path(), &set).exits(0);
    for line in [
        "warning  traces    OTEL_BSP_MAX_QUEUE_SIZE is ignored: it takes a number from 1 to 65536\n",
        &format!("ok       traces    {address} can be connected to\n"),
    ] {
        assert!(ran.stdout.contains(line), "{ran:#?}");
    }
    assert!(!ran.stdout.contains("secret"), "{ran:#?}");
    let away = free_address();
    let ran = check(home.path(), &[(ENDPOINT, &format!("http://{away}"))]).exits(1);
    let line = format!("failed   traces    could not connect to {away}: Connection refused");
    assert!(ran.stdout.contains(&line), "{ran:#?}");
    let set = [(ENDPOINT, &*secret), ("OTEL_TRACES_EXPORTER", "zipkin")];
    let ran = check(home.path(), &set).exits(1);
    assert!(
        ran.stdout
            .contains("failed   traces    OTEL_TRACES_EXPORTER is zipkin"),
        "{ran:#?}"
    );
}
