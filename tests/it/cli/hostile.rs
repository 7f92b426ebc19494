//! What a server that means harm can do to the terminal of those who ask it: nothing; and what one that is slow does.

use std::{path::Path, pin::Pin, process::Command, time::Duration};

use axum::{Router, response::Response as HttpResponse};
use futures_util::{Stream, stream};
use http::HeaderValue;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use prost::Message as _;
use shippy::proto::{
    self, Consignment, Container, CreateChunk, GetRequest, ListChunk, ListRequest, OutcomeChunk,
    REGISTER_KEY,
    shipping_service_server::{ShippingService, ShippingServiceServer},
};
use tokio::net::TcpListener;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::support::{Ran, folder, run_until, shippy};

/// Clears the screen, sets the title, goes up a line, reads backwards, and begins a line of its own.
const EVIL: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}1A\u{202e}\r\nshippy: all is well";
const REGISTER: &str = "01a203d8-fe77-72ae-aba0-773440c2a079";

/// A server that says [`EVIL`] wherever it can say anything.
#[derive(Clone, Copy)]
struct Impostor {
    /// How it answers lists; `Ok` lists something.
    list: Code,
    create: Code,
    /// How long it takes to answer a create.
    delay: Duration,
}

#[tonic::async_trait]
impl ShippingService for Impostor {
    type CreateConsignmentsStream =
        Pin<Box<dyn Stream<Item = Result<OutcomeChunk, Status>> + Send>>;
    type ListConsignmentsStream = Pin<Box<dyn Stream<Item = Result<ListChunk, Status>> + Send>>;

    async fn create_consignment(
        &self,
        _: Request<Consignment>,
    ) -> Result<Response<proto::Response>, Status> {
        tokio::time::sleep(self.delay).await;
        Err(Status::new(self.create, EVIL))
    }

    async fn create_consignments(
        &self,
        _: Request<Streaming<CreateChunk>>,
    ) -> Result<Response<Self::CreateConsignmentsStream>, Status> {
        tokio::time::sleep(self.delay).await;
        Err(Status::new(self.create, EVIL))
    }

    async fn get_consignments(
        &self,
        _: Request<GetRequest>,
    ) -> Result<Response<proto::Response>, Status> {
        Err(Status::new(self.list, EVIL))
    }

    async fn list_consignments(
        &self,
        _: Request<ListRequest>,
    ) -> Result<Response<Self::ListConsignmentsStream>, Status> {
        if self.list != Code::Ok {
            return Err(Status::new(self.list, EVIL));
        }
        let container = Container {
            origin: EVIL.into(),
            ..Container::default()
        };
        let consignment = Consignment {
            id: EVIL.into(),
            description: EVIL.into(),
            vessel_id: EVIL.into(),
            containers: vec![container],
            ..Consignment::default()
        };
        let chunk = ListChunk {
            consignments: [consignment.encode_to_vec()].into_iter().collect(),
            through_sequence: 1,
        };
        Ok(Response::new(Box::pin(stream::iter([Ok(chunk)]))))
    }
}

/// Serves `service` as the one of a register as long as the runtime lasts; its address.
pub(super) async fn start(service: impl ShippingService) -> String {
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_service_status("", tonic_health::ServingStatus::Serving)
        .await;
    let name_register = |mut response: HttpResponse| async move {
        let register = HeaderValue::from_static(REGISTER);
        response.headers_mut().insert(REGISTER_KEY, register);
        response
    };
    let app: Router = tonic::service::Routes::new(ShippingServiceServer::new(service))
        .add_service(health_service)
        .prepare()
        .into_axum_router()
        .layer(axum::middleware::map_response(name_register));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let app = TowerToHyperService::new(app.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new()).http2_only();
                let _ = builder.serve_connection(TokioIo::new(stream), app).await;
            });
        }
    });
    address
}

/// Runs commands while the runtime goes on, until one ends with `code` and says `texts`.
async fn ran(
    command: impl FnMut() -> Command + Send + 'static,
    code: i32,
    texts: &'static [&'static str],
) -> Ran {
    tokio::task::spawn_blocking(move || run_until(command, code, texts))
        .await
        .unwrap()
}

fn asking(home: &Path, address: &str, args: &[&str]) -> impl FnMut() -> Command + Send + 'static {
    let args: Vec<_> = args.iter().map(ToString::to_string).collect();
    let (home, address) = (home.to_owned(), address.to_owned());
    move || {
        let mut command = shippy(&home);
        command.args(&args).args(["--server", &address]);
        command
    }
}

/// Fails the test when `text` holds anything that acts on a terminal, other than the ends of lines.
#[track_caller]
fn is_harmless(text: &str) {
    let acting = text
        .chars()
        .find(|&char| char != '\n' && shippy::escape::acts(char));
    assert_eq!(acting, None, "{text:?}");
}

#[tokio::test]
async fn what_a_server_refuses_with_is_one_line_without_control_characters() {
    let home = folder();
    for (code, exit) in [
        (Code::InvalidArgument, 4),
        (Code::AlreadyExists, 4),
        (Code::Internal, 1),
        (Code::Unknown, 1),
        (Code::Unavailable, 3),
    ] {
        let impostor = Impostor {
            list: code,
            create: code,
            delay: Duration::ZERO,
        };
        let address = start(impostor).await;
        for args in [&["list"][..], &["create", "consignment.json"]] {
            let command = asking(home.path(), &address, args);
            let ran = ran(command, exit, &["\\u{1b}[2J", "all is well"]).await;
            is_harmless(&ran.stderr);
            let spoofed = ran.stderr.lines().any(|line| line == "shippy: all is well");
            assert!(!spoofed, "{ran:#?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_slower_than_a_first_attempt_waits_is_heard_in_the_end() {
    let home = folder();
    let impostor = Impostor {
        list: Code::Ok,
        create: Code::InvalidArgument,
        delay: Duration::from_millis(1_500),
    };
    let address = start(impostor).await;
    let create = ["create", "consignment.json", "--timeout", "60s"];
    ran(asking(home.path(), &address, &create), 4, &[]).await;
}

#[tokio::test]
async fn what_a_server_lists_is_harmless_in_every_format() {
    let home = folder();
    let impostor = Impostor {
        list: Code::Ok,
        create: Code::Ok,
        delay: Duration::ZERO,
    };
    let address = start(impostor).await;
    for (format, lines) in [("table", 2), ("ndjson", 1)] {
        let command = asking(home.path(), &address, &["list", "-o", format]);
        let ran = ran(command, 0, &[]).await;
        is_harmless(&ran.stdout);
        assert_eq!(ran.stdout.lines().count(), lines, "{ran:#?}");
    }
    let command = asking(home.path(), &address, &["list", "-o", "json"]);
    is_harmless(&ran(command, 0, &[]).await.stdout);
}

#[tokio::test]
async fn what_listens_but_is_not_shippy_is_called_that() {
    let home = folder();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // HTTP/1.1 with something to act on a terminal.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let text = format!("HTTP/1.1 200 OK\r\nserver: {EVIL}\r\n\r\n");
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, text.as_bytes()).await;
        }
    });
    let command = asking(home.path(), &address, &["list", "--timeout", "2s"]);
    let ran = ran(command, 3, &[]).await;
    is_harmless(&ran.stderr);
    ran.says(&[&address]);
}
