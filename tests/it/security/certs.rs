//! `shippy certs`

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use shippy::proto::{Consignment, shipping_service_client::ShippingServiceClient};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::{
    running::run_to_end,
    support::{Server, folder, own_name, run, shippy, unconfigured},
};

const KEYS: [&str; 3] = ["ca.key", "client.key", "server.key"];
const FILES: [&str; 6] = [
    "ca.pem",
    "client.pem",
    "server.pem",
    KEYS[0],
    KEYS[1],
    KEYS[2],
];

#[test]
fn the_two_commands_that_it_prints_work() {
    let home = folder();
    // A name that a shell would take apart.
    let at = home.path().join("a b's");
    let ran = run(shippy(home.path()).arg("certs").arg(&at)).exits(0);
    let [serve, list] = ran.stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("{ran:#?}");
    };
    let name = own_name();
    let shell = |line: &str, more: &str| {
        let mut command = Command::new("sh");
        unconfigured(&mut command, home.path());
        let line = line.replacen("shippy", env!("CARGO_BIN_EXE_shippy"), 1);
        command.args(["-c", &format!("exec {line} --name {name} {more}")]);
        command
    };
    let server = Server::spawn(shell(serve, "--store memory:"), home.path());
    assert!(server.ready.contains("with TLS and client certificates"));
    assert!(!server.logged().contains("anyone"), "{}", server.logged());
    run_to_end(&mut shell(list, "--timeout 20s")).exits(0);
}

#[test]
fn private_keys_are_for_their_owner_and_nothing_is_overwritten() {
    let home = folder();
    let at = home.path().join("certs");
    let certs = || run(shippy(home.path()).arg("certs").arg(&at));
    certs().exits(0);
    let contents = || FILES.map(|name| fs::read(at.join(name)).unwrap());
    let first = contents();
    for name in KEYS {
        let mode = fs::metadata(at.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    certs().exits(2).says(&["is there already"]);
    assert!(contents() == first);
    // Not even where only one is there.
    for name in &FILES[..5] {
        fs::remove_file(at.join(name)).unwrap();
    }
    certs().exits(2).says(&[FILES[5]]);
    assert_eq!(fs::read_dir(&at).unwrap().count(), 1);
}

#[tokio::test]
async fn a_client_that_is_not_shippys_gets_through_with_them() {
    let home = folder();
    let mut command = shippy(home.path());
    let uri = "spiffe://depot/crane";
    run(command
        .args(["certs", "c", "--client-name", uri])
        .current_dir(home.path()))
    .exits(0);
    let at = |name: &str| home.path().join("c").join(name);
    fs::write(home.path().join("tokens"), format!("{uri} write\n")).unwrap();
    let mut serve = shippy(home.path());
    serve.args(["serve", "--store", "memory:", "--registry", "static"]);
    serve.args(["--tokens", "tokens", "--tls-client-ca", "c/ca.pem"]);
    serve.args(["--tls-cert", "c/server.pem", "--tls-key", "c/server.key"]);
    serve.current_dir(home.path());
    let server = Server::spawn(serve, home.path());
    let read = |name| fs::read(at(name)).unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("ca.pem")))
        .identity(Identity::from_pem(read("client.pem"), read("client.key")))
        .domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://{}", server.address)).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
    let mut client = ShippingServiceClient::new(channel);
    let reply = client.create_consignment(Consignment::default()).await;
    assert!(reply.unwrap().into_inner().created);
}
