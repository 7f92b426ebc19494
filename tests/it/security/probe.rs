//! Health alone, for who has neither certificates nor tokens.

use shippy::proto::{Consignment, shipping_service_client::ShippingServiceClient};
use tonic::{Code, transport::Endpoint};

use super::{Authority, serve, token};
use crate::{
    cli::file,
    running::run_to_end,
    support::{Server, folder, free_address, run, shippy},
};

/// A server that asks for a certificate and for a token, and answers probes at the address.
fn guarded(home: &std::path::Path) -> (Server, String) {
    let authority = Authority::new(home, "ca");
    let pair = authority.server(home, "shippy");
    let (_, line) = token(home, "crane", "write");
    let tokens = file(home, "tokens", line);
    let probe = free_address();
    let args = ["--tls-client-ca", &authority.file, "--tokens", &tokens];
    let args = [&pair.args()[..], &args, &["--probe-address", &probe]].concat();
    let server = serve(home, &args);
    let said = format!("health alone on {probe}");
    assert!(server.ready.contains(&said), "{}", server.ready);
    (server, probe)
}

#[test]
fn the_probe_answers_where_the_server_does_not() {
    let home = folder();
    let (server, probe) = guarded(home.path());
    run_to_end(&mut server.ask(home.path(), &["health"])).exits(1);
    let ran = run(shippy(home.path()).args(["health", "--probe-address", &probe])).exits(0);
    let said = format!("SERVING at {probe}, register {}\n", server.register);
    assert_eq!(ran.stdout, said);
    // As in the image, with the same environment as the server.
    let mut check = shippy(home.path());
    check.arg("health").env("SHIPPY_PROBE_ADDRESS", &probe);
    check.env("MICRO_SERVER_ADDRESS", server.address.to_string());
    check.env("SHIPPY_TLS_CERT", "/server.pem");
    run(check.env("SHIPPY_TLS_KEY", "/server.key")).exits(0);
    assert!(server.stop().success());
    let mut gone = shippy(home.path());
    gone.args(["health", "--timeout", "1s", "--probe-address", &probe]);
    run(&mut gone).exits(3);
}

#[tokio::test]
async fn the_probe_answers_nothing_else() {
    let home = folder();
    let (_server, probe) = guarded(home.path());
    let endpoint = Endpoint::from_shared(format!("http://{probe}")).unwrap();
    let mut client = ShippingServiceClient::new(endpoint.connect().await.unwrap());
    let refused = client.create_consignment(Consignment::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
    let refused = client
        .list_consignments(shippy::proto::ListRequest::default())
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}

#[test]
fn a_probe_address_that_is_taken_is_named() {
    let home = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = shippy(home.path());
    command.args(["serve", "--store", "memory:", "--probe-address", &address]);
    run_to_end(&mut command)
        .exits(1)
        .says(&["--probe-address", &address, "another program"]);
}
