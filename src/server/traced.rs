//! The span of a request, by OpenTelemetry's conventions for servers of RPC and HTTP. Nothing that a caller keeps secret is
//! in it: no token, no query and no name.

use std::{borrow::Cow, net::SocketAddr};

use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, StatusCode, header::HOST, uri::Authority,
};
use opentelemetry::{
    KeyValue,
    trace::{Span as _, Status},
};
use opentelemetry_sdk::trace::Span;
use tonic::Code;

use super::{calls::rpc, entry::bounded, trace_context};
use crate::{
    codes,
    proto::{SERVICE, SERVICE_ALIAS},
    service::RequestId,
    traces::{Trace, Tracer},
    web,
};

/// What stands for a method that is not one of few.
const OTHER: &str = "_OTHER";

/// A request under way that is traced.
pub(super) struct Traced {
    span: Span,
    trace: Trace,
    is_grpc: bool,
    /// Of gRPC it says nothing.
    status: Option<StatusCode>,
}

impl Traced {
    /// That of `request`, if it is sampled.
    pub(super) fn begin<B>(
        tracer: &Tracer,
        request: &Request<B>,
        is_grpc: bool,
        peer: SocketAddr,
    ) -> Option<Self> {
        let sender = trace_context::sender(request.headers());
        let (name, described) = if is_grpc {
            describe_call(request)
        } else {
            describe_http(request)
        };
        let mut span = tracer.request(name, sender)?;
        span.set_attributes(described);
        span.set_attribute(KeyValue::new(
            "client.address",
            peer.ip().to_canonical().to_string(),
        ));
        span.set_attribute(KeyValue::new("client.port", i64::from(peer.port())));
        if let Some(server) = asked(request) {
            let host = bounded(server.host());
            span.set_attribute(KeyValue::new("server.address", host));
            if let Some(port) = server.port_u16() {
                span.set_attribute(KeyValue::new("server.port", i64::from(port)));
            }
        }
        let trace = tracer.trace(&span);
        Some(Self {
            span,
            trace,
            is_grpc,
            status: None,
        })
    }

    /// By which its trace is known.
    pub(super) fn trace_id(&self) -> RequestId {
        RequestId(self.span.span_context().trace_id().to_string().into())
    }

    /// Has those who do a part of it know that it is traced, and the trace by which id it is logged: by `extensions`.
    pub(super) fn join(mut self, extensions: &mut Extensions) -> Self {
        if let Some(RequestId(id)) = extensions.get() {
            self.span
                .set_attribute(KeyValue::new("shippy.request.id", id.to_string()));
        }
        extensions.insert(self.trace.clone());
        self
    }

    /// A reply begins, with a status where it is one of plain HTTP.
    pub(super) fn is_answered(&mut self, status: StatusCode) {
        self.status = (!self.is_grpc).then_some(status);
    }

    /// Its reply is over, or its caller has gone.
    pub(super) fn end(&mut self, code: Code) {
        if self.is_grpc {
            let name = codes::name(code);
            self.span
                .set_attribute(KeyValue::new("rpc.response.status_code", name));
        }
        if let Some(status) = self.status {
            let status = i64::from(status.as_u16());
            self.span
                .set_attribute(KeyValue::new("http.response.status_code", status));
        }
        if let Some(kind) = failure(self.status, code) {
            self.span.set_attribute(KeyValue::new("error.type", kind));
            self.span.set_status(Status::error(""));
        }
        if let Some(count) = self.trace.untold_commits() {
            self.span
                .set_attribute(KeyValue::new("shippy.commits", i64::from(count)));
        }
        self.span.end();
    }
}

/// The name of a call's span, and what is known of it.
fn describe_call<B>(request: &Request<B>) -> (Cow<'static, str>, Vec<KeyValue>) {
    let path = request.uri().path();
    let mut attributes = vec![KeyValue::new("rpc.system.name", "grpc")];
    let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    let service = parts.map(|(service, _)| match service {
        SERVICE_ALIAS => SERVICE,
        other => other,
    });
    match service.zip(parts) {
        Some((service, (_, method))) if rpc(service, method) == method => {
            let full = format!("{service}/{method}");
            attributes.push(KeyValue::new("rpc.method", full.clone()));
            (full.into(), attributes)
        }
        // Of those that are not there the path is the sender's to choose.
        _ => {
            attributes.push(KeyValue::new("rpc.method", OTHER));
            attributes.push(KeyValue::new("rpc.method_original", bounded(path)));
            ("grpc".into(), attributes)
        }
    }
}

/// The name of the span of a request over plain HTTP, and what is known of it.
fn describe_http<B>(request: &Request<B>) -> (Cow<'static, str>, Vec<KeyValue>) {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
        Method::CONNECT,
        Method::TRACE,
    ];
    let path = request.uri().path();
    let method = request.method();
    let is_known = KNOWN.contains(method);
    let shown = if is_known { method.as_str() } else { OTHER };
    let mut attributes = vec![
        KeyValue::new("http.request.method", shown.to_owned()),
        KeyValue::new("url.path", bounded(path)),
        KeyValue::new("network.protocol.version", version(request.version())),
    ];
    if !is_known {
        let original = bounded(method.as_str());
        attributes.push(KeyValue::new("http.request.method_original", original));
    }
    let verb = if is_known { method.as_str() } else { "HTTP" };
    let Some(route) = web::route(path) else {
        return (verb.to_owned().into(), attributes);
    };
    attributes.push(KeyValue::new("http.route", route));
    (format!("{verb} {route}").into(), attributes)
}

fn version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_2 => "2",
        http::Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

/// Which server `request` is for, as its sender calls it.
fn asked<B>(request: &Request<B>) -> Option<Authority> {
    let named = |headers: &HeaderMap| {
        headers
            .get(HOST)
            .map(HeaderValue::as_bytes)?
            .try_into()
            .ok()
    };
    let authority = request.uri().authority().cloned();
    authority.or_else(|| named(request.headers()))
}

/// What kind of failure it is, if it is one of the server's.
fn failure(status: Option<StatusCode>, code: Code) -> Option<Cow<'static, str>> {
    match status {
        Some(status) if status.is_server_error() => Some(status.as_u16().to_string().into()),
        // It says of some refusals that nothing here does what is asked for.
        Some(status) if status.is_client_error() => None,
        _ => match code {
            Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => Some(codes::name(code).into()),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(method: &str, path: &str) -> (String, String) {
        let request = Request::builder().method(method).uri(path);
        let (name, attributes) = describe_http(&request.body(()).unwrap());
        (name.into_owned(), format!("{attributes:?}"))
    }

    #[test]
    fn names_are_few_whatever_is_asked_for() {
        for (method, path, expected) in [
            ("GET", "/v1/consignments?limit=3", "GET /v1/consignments"),
            ("GET", "/board/no-such-part", "GET /board/{part}"),
            ("PATCH", "/", "PATCH /"),
            ("GET", "/secret/ways", "GET"),
            ("FROB", "/healthz", "HTTP /healthz"),
        ] {
            let (name, attributes) = described(method, path);
            assert_eq!(name, expected);
            assert!(!attributes.contains("limit"), "{attributes}");
        }
        for (path, expected) in [
            (
                "/consignment.ShippingService/CreateConsignment",
                "go.micro.srv.consignment.ShippingService/CreateConsignment",
            ),
            (
                "/grpc.health.v1.Health/Check",
                "grpc.health.v1.Health/Check",
            ),
            ("/grpc.reflection.v1.ServerReflection/Forged", "grpc"),
            ("/a.B/CreateConsignment", "grpc"),
            ("/other", "grpc"),
        ] {
            let request = Request::builder().uri(path).body(()).unwrap();
            assert_eq!(describe_call(&request).0, expected);
        }
    }

    #[test]
    fn a_failure_is_the_servers_and_not_the_callers() {
        for (status, code, expected) in [
            (None, Code::Unavailable, Some("UNAVAILABLE")),
            (None, Code::InvalidArgument, None),
            (None, Code::Cancelled, None),
            (Some(503), Code::Unavailable, Some("503")),
            (Some(405), Code::Unimplemented, None),
            // It broke off.
            (Some(200), Code::Unavailable, Some("UNAVAILABLE")),
            (Some(200), Code::Ok, None),
        ] {
            let status = status.map(|status| StatusCode::from_u16(status).unwrap());
            let found = failure(status, code);
            assert_eq!(found.as_deref(), expected, "{status:?} {code:?}");
        }
    }
}
