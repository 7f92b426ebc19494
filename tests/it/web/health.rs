//! `/healthz` and `/readyz`, while all is well; `fsync` and `postgres::away` see them when it is not.

use crate::support::{
    Server,
    answer::{get, send},
    folder, free_address, own_name, shippy,
};

#[test]
fn a_server_that_serves_is_alive_and_ready() {
    let home = folder();
    let server = Server::start(home.path());
    let alive = get(server.address, "/healthz", &[]).is(200);
    assert_eq!(alive.json()["status"], "alive");
    let ready = get(server.address, "/readyz", &[]).is(200);
    assert_eq!(ready.json()["status"], "ready");
    assert_eq!(ready.header("shippy-register"), Some(&*server.register));
    let head = send(server.address, "HEAD", "/readyz", &[], "").is(200);
    assert_eq!(head.body, "");
}

#[test]
fn the_address_for_probes_answers_these_two_and_nothing_else() {
    let home = folder();
    let probe = free_address();
    let mut command = shippy(home.path());
    command.args(["serve", "--store", "memory:", "--registry", "static"]);
    command.args(["--name", &own_name(), "--probe-address", &probe]);
    let _server = Server::spawn(command, home.path());
    let probe = probe.parse().unwrap();
    get(probe, "/healthz", &[]).is(200);
    get(probe, "/readyz", &[]).is(200);
    get(probe, super::CONSIGNMENTS, &[]).is(404);
    send(probe, "POST", super::CONSIGNMENTS, &[super::JSON], "{}").is(404);
    get(probe, "/readyz", &["Host: evil.example"]).is(421);
}
