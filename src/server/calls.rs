//! Counts requests and how long they took, by rpc and by what became of them, and has them logged and traced.

use std::{fmt, time::Instant};

use http::StatusCode;
use prometheus_client::{
    encoding::{EncodeLabelSet, LabelSetEncoder},
    metrics::{
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use tonic::Code;

use super::{
    entry::Entry,
    guard::{OLD_REFLECTION, REFLECTION},
    room::HEALTH,
    traced::Traced,
};
use crate::{codes, proto::SERVICE, web};

/// The requests of one server, for all who hold a copy.
#[derive(Debug, Clone)]
pub(super) struct Calls(Family<Labels, Histogram, fn() -> Histogram>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Labels {
    rpc: &'static str,
    code: Code,
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("rpc", self.rpc), ("code", codes::name(self.code))].encode(encoder)
    }
}

/// A request under way. It is counted when this is dropped.
pub(super) struct Call {
    calls: Calls,
    rpc: &'static str,
    begun: Instant,
    /// What has become of it; as long as nothing has, its caller is the one who ends it.
    code: Code,
    /// Where it is logged.
    entry: Option<Box<Entry>>,
    /// Where it is traced.
    traced: Option<Box<Traced>>,
}

impl Default for Calls {
    fn default() -> Self {
        // From 100 µs to 26 s, which is longer than the server gives any request.
        Self(Family::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_1, 4.0, 10))
        }))
    }
}

impl Calls {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let calls = Self::default();
        registry.register(
            "shippy_request_seconds",
            "How long requests took, to the end of their replies, by rpc and status code",
            calls.0.clone(),
        );
        calls
    }

    /// A request to `path` begins.
    pub(super) fn begin(&self, path: &str) -> Call {
        Call {
            calls: self.clone(),
            rpc: at(path),
            begun: Instant::now(),
            code: Code::Cancelled,
            entry: None,
            traced: None,
        }
    }
}

impl Call {
    /// It has become of it what `code` says.
    pub(super) fn becomes(&mut self, code: Code) {
        self.code = code;
    }

    /// It is logged when it is over.
    pub(super) fn is_logged_as(&mut self, entry: Entry) {
        self.entry = Some(Box::new(entry));
    }

    /// It has a span.
    pub(super) fn is_traced_as(&mut self, traced: Traced) {
        self.traced = Some(Box::new(traced));
    }

    /// A reply begins.
    pub(super) fn is_answered(&mut self, status: StatusCode) {
        if let Some(entry) = &mut self.entry {
            entry.is_answered(status);
        }
        if let Some(traced) = &mut self.traced {
            traced.is_answered(status);
        }
    }

    /// What is to be said of it, where it is logged.
    pub(super) fn entry(&mut self) -> Option<&mut Entry> {
        self.entry.as_deref_mut()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let (rpc, code) = (self.rpc, self.code);
        let took = self.begun.elapsed();
        (self.calls.0.get_or_create(&Labels { rpc, code })).observe(took.as_secs_f64());
        if let Some(entry) = &self.entry {
            entry.write(rpc, code, took);
        }
        if let Some(traced) = &mut self.traced {
            traced.end(code);
        }
    }
}

/// What is at `path`.
fn at(path: &str) -> &'static str {
    let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    parts.map_or("other", |(service, method)| rpc(service, method))
}

/// What `method` of `service` counts as: one of few, so that nobody can make up metrics without an end.
pub(super) fn rpc(service: &str, method: &str) -> &'static str {
    match (service, method) {
        (SERVICE, "CreateConsignment") => "CreateConsignment",
        (SERVICE, "CreateConsignments") => "CreateConsignments",
        (SERVICE, "GetConsignments") => "GetConsignments",
        (SERVICE, "ListConsignments") => "ListConsignments",
        (HEALTH, "Check") => "Check",
        (HEALTH, "Watch") => "Watch",
        (REFLECTION | OLD_REFLECTION, _) => "ServerReflectionInfo",
        (web::OWN, "Metrics") => "Metrics",
        (web::OWN, "OpenApi") => "OpenApi",
        (web::OWN, "Board") => "Board",
        (web::OWN, "Session") => "Session",
        (web::OWN, "SignIn") => "SignIn",
        (web::OWN, "Vessels") => "Vessels",
        _ => "other",
    }
}
