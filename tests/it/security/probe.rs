//! Health alone, for who has neither certificates nor tokens.

use std::{io::Write as _, net::TcpStream};

use shippy::proto::{Consignment, shipping_service_client::ShippingServiceClient};
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{Authority, serve, token};
use crate::{
    cli::file,
    running::run_to_end,
    support::{Server, folder, free_address, run, shippy},
};

/// How many connections a probe address has places for.
const PLACES: usize = 16;

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

/// Connections to `probe` that send `bytes` and no more.
fn unfinished(probe: &str, bytes: &[u8]) -> Vec<TcpStream> {
    let begin = |_| {
        let mut stream = TcpStream::connect(probe).unwrap();
        // It may have been let go at once.
        let _ = stream.write_all(bytes);
        stream
    };
    (0..2 * PLACES).map(begin).collect()
}

#[tokio::test]
async fn who_fills_the_probes_places_keeps_nobody_out() {
    let home = folder();
    let (_server, probe) = guarded(home.path());
    let asks = || run(shippy(home.path()).args(["health", "--probe-address", &probe])).exits(0);
    for bytes in [
        &b""[..],
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /v1/consignments HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
          Content-Length: 10\r\n\r\n{",
    ] {
        let held = unfinished(&probe, bytes);
        asks();
        drop(held);
    }
    let mut watched = Vec::new();
    for _ in 0..PLACES {
        let endpoint = Endpoint::from_shared(format!("http://{probe}")).unwrap();
        let mut client = HealthClient::new(endpoint.connect().await.unwrap());
        let watch = client.watch(HealthCheckRequest::default()).await;
        watched.push((client, watch.unwrap().into_inner()));
    }
    for _ in 0..3 {
        asks();
    }
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
