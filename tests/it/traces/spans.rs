//! What is in a span.

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use prost::Message as _;
use rusqlite::Connection;
use tonic::{Request, metadata::MetadataValue};

use super::{collector, folder, serve, to};
use crate::{
    cli::file,
    contract::{raw, sample},
    security::token,
    support::{
        Server, answer,
        collector::{attribute, hex},
        run,
    },
};

const CREATE: &str = "/consignment.ShippingService/CreateConsignment";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDER: &str = "00f067aa0ba902b7";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{SENDER}-{flags}")
}

/// Fails the test unless `span` says so of each name.
#[track_caller]
fn says(span: &Span, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        let found = attribute(&span.attributes, name);
        assert_eq!(found.as_deref(), Some(*value), "{name} of {span:#?}");
    }
}

fn failed(span: &Span) -> bool {
    (span.status.as_ref()).is_some_and(|status| status.code() == StatusCode::Error)
}

#[tokio::test]
async fn a_create_has_a_span_beneath_its_senders_and_its_commit_one_beneath_that() {
    let (home, collector) = (folder(), collector());
    let (secret, line) = token(home.path(), "crane", "write");
    let tokens = file(home.path(), "tokens", line);
    let server = Server::start_with(home.path(), |command| {
        to(&collector.address)(command);
        command.args(["--tokens", &tokens, "--server-version", "7.1"]);
        command.env(
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        );
        command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=depot");
    });
    let mut request = Request::new(sample("tea-1").encode_to_vec().into());
    for (name, value) in [
        ("traceparent", &*traceparent("01")),
        ("x-request-id", "mine-1"),
        ("authorization", &format!("Bearer {secret}")),
    ] {
        let value = MetadataValue::try_from(value).unwrap();
        request.metadata_mut().insert(name, value);
    }
    let channel = raw::channel(&server).await;
    raw::call_with(&channel, CREATE, request).await.unwrap();
    let name = "go.micro.srv.consignment.ShippingService/CreateConsignment";
    let span = collector.span(|span| span.name == name);
    assert_eq!(
        (hex(&span.trace_id), hex(&span.parent_span_id)),
        (TRACE.into(), SENDER.into())
    );
    assert_eq!(span.kind(), SpanKind::Server);
    assert!(!failed(&span));
    says(
        &span,
        &[
            ("rpc.system.name", "grpc"),
            ("rpc.method", name),
            ("rpc.response.status_code", "OK"),
            ("client.address", "127.0.0.1"),
            ("server.address", "127.0.0.1"),
            ("shippy.request.id", "mine-1"),
        ],
    );
    let commit = collector.span(|span| span.name == "commit");
    assert_eq!(
        (&commit.trace_id, &commit.parent_span_id),
        (&span.trace_id, &span.span_id)
    );
    says(
        &commit,
        &[
            ("db.system.name", "sqlite"),
            ("shippy.commit.batches", "1"),
            ("shippy.commit.consignments", "1"),
        ],
    );
    for seconds in ["shippy.commit.sync_seconds", "shippy.commit.wait_seconds"] {
        let seconds: f64 = attribute(&commit.attributes, seconds)
            .unwrap()
            .parse()
            .unwrap();
        assert!(seconds > 0.0, "{commit:#?}");
    }
    assert!(commit.start_time_unix_nano < commit.end_time_unix_nano);
    // Who sent it, by which headers, and nothing that is secret.
    let (headers, resource) = collector.all().remove(0);
    assert_eq!(headers.get("x-tenant").unwrap(), "depot");
    let resource = resource.resource.unwrap().attributes;
    for (name, value) in [
        ("deployment.environment.name", "test"),
        ("service.version", "7.1"),
        ("telemetry.sdk.language", "rust"),
    ] {
        assert_eq!(
            attribute(&resource, name).as_deref(),
            Some(value),
            "{resource:#?}"
        );
    }
    let service = attribute(&resource, "service.name").unwrap();
    assert!(service.starts_with("test."), "{service}");
    let all = format!("{:?}", collector.all());
    assert!(!all.contains(&secret) && !all.contains("crane"), "{all}");
}

#[test]
fn a_request_over_http_has_a_span_named_by_its_route() {
    let (home, collector) = (folder(), collector());
    let server = serve(home.path(), &collector);
    let sent = format!("traceparent: {}", traceparent("01"));
    answer::get(server.address, "/v1/consignments?limit=3", &[&sent]).is(200);
    let span = collector.span(|span| span.name == "GET /v1/consignments");
    assert_eq!(hex(&span.parent_span_id), SENDER);
    says(
        &span,
        &[
            ("http.request.method", "GET"),
            ("http.route", "/v1/consignments"),
            ("http.response.status_code", "200"),
            ("url.path", "/v1/consignments"),
            ("network.protocol.version", "1.1"),
            // Without another id, the trace's is the request's.
            ("shippy.request.id", TRACE),
        ],
    );
    let long = format!("/{}", "x".repeat(2_000));
    answer::send(server.address, "FROB", &long, &[], "").is(404);
    let span = collector.span(|span| span.name == "HTTP");
    says(
        &span,
        &[
            ("http.request.method", "_OTHER"),
            ("http.request.method_original", "FROB"),
            ("http.response.status_code", "404"),
            // It has a trace of its own, which is its id.
            ("shippy.request.id", &hex(&span.trace_id)),
        ],
    );
    assert!(
        span.parent_span_id.is_empty() && !failed(&span),
        "{span:#?}"
    );
    let path = attribute(&span.attributes, "url.path").unwrap();
    assert_eq!(path.chars().count(), 257);
}

#[test]
fn a_failure_of_the_store_is_one_of_the_request_and_of_its_commit() {
    let (home, collector) = (folder(), collector());
    let server = serve(home.path(), &collector);
    let other = Connection::open(home.path().join("register.db")).unwrap();
    let insert = "INSERT INTO consignment (id, created_at, body) VALUES ('x', 0, x'')";
    other.execute(insert, []).unwrap();
    let json = ["Content-Type: application/json"];
    answer::send(server.address, "POST", "/v1/consignments", &json, "{}").is(500);
    let span = collector.span(|span| span.name == "POST /v1/consignments");
    assert!(failed(&span), "{span:#?}");
    says(&span, &[("error.type", "500")]);
    let commit = collector.span(|span| span.name == "commit");
    assert!(failed(&commit), "{commit:#?}");
    assert_eq!(commit.status.unwrap().message, "the register is damaged");
}

#[test]
fn a_load_has_a_span_for_each_commit_that_it_waits_for() {
    let (home, collector) = (folder(), collector());
    let server = serve(home.path(), &collector);
    let records = (0..2_000).map(|number| format!("{{\"id\": \"{number}\"}}\n"));
    let records: Vec<_> = records.collect();
    let many = file(home.path(), "many.ndjson", records.concat());
    run(&mut server.ask(home.path(), &["create", &many])).exits(0);
    let name = "go.micro.srv.consignment.ShippingService/CreateConsignments";
    let load = collector.span(|span| span.name == name);
    // It is exported after those.
    let mut commits = collector.spans();
    commits.retain(|span| span.name == "commit");
    let stored = |span: &Span| {
        assert_eq!(span.parent_span_id, load.span_id);
        attribute(&span.attributes, "shippy.commit.consignments")
    };
    let stored: Vec<u64> = (commits.iter().filter_map(stored))
        .map(|count| count.parse().unwrap())
        .collect();
    assert_eq!(stored.iter().sum::<u64>(), 2_000, "{stored:?}");
}

#[test]
fn what_its_sender_does_not_sample_is_not_exported() {
    let (home, collector) = (folder(), collector());
    let server = serve(home.path(), &collector);
    for (flags, id) in [("00", "unsampled"), ("01", "sampled")] {
        let headers = [
            format!("traceparent: {}", traceparent(flags)),
            format!("X-Request-ID: {id}"),
        ];
        let headers = headers.each_ref().map(String::as_str);
        answer::get(server.address, "/v1/consignments", &headers).is(200);
    }
    // In the order in which they end.
    let span = collector.span(|_| true);
    says(&span, &[("shippy.request.id", "sampled")]);
}
