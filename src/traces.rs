//! Traces: what a request's time went on, told to a collector of OpenTelemetry's by OTLP, where one is set.
//!
//! A request that is sampled has a span, and beneath it one for each commit that it waited for. They wait for the
//! collector in a queue with an end: one that is slow or away costs spans, and nothing else.

use std::{
    borrow::Cow,
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
        TracerProvider as _,
    },
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span},
};
use tokio::task::spawn_blocking;

use self::{
    channel::channel,
    export::{Bounded, Watch, Watched},
};

mod channel;
mod export;
mod settings;

pub use settings::{Settings, Unusable};

/// Most commits that one request has spans for: a load of a million consignments waits for hundreds.
const MAX_COMMITS: u32 = 128;
/// How many commits of a request are known again: a load waits for as many at one time at most.
const RECENT_COMMITS: usize = 16;

/// Where a server's spans go.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: Tracer,
}

/// What begins spans.
#[derive(Debug, Clone)]
pub(crate) struct Tracer(SdkTracer);

/// A server, as its spans name it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The name of its service.
    pub service: String,
    /// Its id.
    pub instance: String,
    /// The version that it announces.
    pub version: String,
}

/// A request that is traced, for those who do a part of it.
#[derive(Debug, Clone)]
pub struct Trace(Arc<Request>);

#[derive(Debug)]
struct Request {
    tracer: SdkTracer,
    /// Has its span.
    context: Context,
    commits: Mutex<Commits>,
}

/// The commits that a request waited for.
#[derive(Debug, Default)]
struct Commits {
    /// When the latest of them began: several parts of a load share one, and tell of them in any order.
    recent: VecDeque<Instant>,
    count: u32,
}

/// A part of a request that is over.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    pub(crate) attributes: Vec<KeyValue>,
    /// Why it failed, where it did.
    pub(crate) failure: Option<String>,
}

impl Traces {
    /// Begins to export, as `settings` say, the spans of the server that is `identity`. Connects when there is the first
    /// of them, on the runtime that this is called on.
    ///
    /// # Errors
    ///
    /// When the settings cannot be followed.
    pub fn begin(settings: &Settings, identity: Identity) -> Result<Self, Unusable> {
        let watch = Arc::new(Watch::new(settings));
        let exporter = Watched::new(exporter(settings)?, Arc::clone(&watch));
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(settings.queue)
            .with_max_export_batch_size(settings.batch)
            .with_scheduled_delay(settings.delay)
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches);
        let provider = SdkTracerProvider::builder()
            .with_sampler(settings.sampler.clone())
            .with_resource(resource(settings, identity))
            .with_span_processor(Bounded::new(processor.build(), watch))
            .build();
        let tracer = Tracer(provider.tracer(env!("CARGO_PKG_NAME")));
        Ok(Self { provider, tracer })
    }

    pub(crate) fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Exports what has ended, as far as the collector takes it until `by`.
    pub(crate) async fn end(self, by: tokio::time::Instant) {
        let within = by.saturating_duration_since(tokio::time::Instant::now());
        let provider = self.provider;
        let ended = spawn_blocking(move || match provider.shutdown_with_timeout(within) {
            Err(OTelSdkError::InternalFailure(_) | OTelSdkError::Timeout(_)) => {
                tracing::warn!("ended before all traces were exported");
            }
            Ok(()) | Err(OTelSdkError::AlreadyShutdown) => {}
        });
        let _ = ended.await;
    }
}

fn exporter(settings: &Settings) -> Result<SpanExporter, Unusable> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_timeout(settings.timeout)
        .with_channel(channel(settings)?);
    (exporter.build()).map_err(|error| Unusable::Exporter(error.into()))
}

/// What all spans of a server share; the environment counts before it.
fn resource(settings: &Settings, identity: Identity) -> Resource {
    let Identity {
        service,
        instance,
        version,
    } = identity;
    let resource = Resource::builder_empty()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.instance.id", instance))
        .with_attribute(KeyValue::new("service.version", version))
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match &settings.service {
        Some(name) => resource.with_service_name(name.clone()),
        None => resource,
    }
    .build()
}

impl Tracer {
    /// The span of a request that begins, beneath its sender's, if it is sampled.
    pub(crate) fn request(
        &self,
        name: Cow<'static, str>,
        sender: Option<SpanContext>,
    ) -> Option<Span> {
        let above = sender.map_or_else(Context::new, |sender| {
            Context::new().with_remote_span_context(sender)
        });
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
        let span = self.0.build_with_context(builder, &above);
        span.is_recording().then_some(span)
    }

    /// The request whose span is `span`.
    pub(crate) fn trace(&self, span: &Span) -> Trace {
        Trace(Arc::new(Request {
            tracer: self.0.clone(),
            context: Context::new().with_remote_span_context(span.span_context().clone()),
            commits: Mutex::default(),
        }))
    }
}

impl Trace {
    /// Whether the commit that began at `begun` is to have a span beneath the request's.
    pub(crate) fn takes_commit(&self, begun: Instant) -> bool {
        let mut commits = self.commits();
        if commits.recent.contains(&begun) {
            return false;
        }
        commits.recent.truncate(RECENT_COMMITS - 1);
        commits.recent.push_front(begun);
        commits.count += 1;
        commits.count <= MAX_COMMITS
    }

    /// How many commits the request has waited for, where some of them have no span.
    pub(crate) fn untold_commits(&self) -> Option<u32> {
        Some(self.commits().count).filter(|count| *count > MAX_COMMITS)
    }

    /// `part` becomes a span.
    pub(crate) fn add(&self, part: Part) {
        let Request {
            tracer, context, ..
        } = &*self.0;
        // Spans have the time of the wall clock.
        let now = (Instant::now(), SystemTime::now());
        let time = |instant: Instant| now.1 - now.0.saturating_duration_since(instant);
        let builder = SpanBuilder::from_name(part.name)
            .with_start_time(time(part.begun))
            .with_attributes(part.attributes);
        let mut span = tracer.build_with_context(builder, context);
        if let Some(failure) = part.failure {
            span.set_status(Status::error(failure));
        }
        span.end_with_timestamp(time(part.ended));
    }

    fn commits(&self) -> std::sync::MutexGuard<'_, Commits> {
        self.0
            .commits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_spans_for_so_many_commits_and_one_for_each() {
        let provider = SdkTracerProvider::builder().build();
        let tracer = Tracer(provider.tracer("test"));
        let span = tracer.request("create".into(), None).unwrap();
        let trace = tracer.trace(&span);
        let first = Instant::now();
        let at = |number: u32| first + std::time::Duration::from_millis(number.into());
        for number in 0..MAX_COMMITS {
            assert!(trace.takes_commit(at(number)), "{number}");
            // Other parts waited for these, and tell of them later.
            for earlier in (number + 1).saturating_sub(16)..=number {
                assert!(!trace.takes_commit(at(earlier)), "{earlier} by {number}");
            }
        }
        assert_eq!(trace.untold_commits(), None);
        assert!(!trace.takes_commit(at(MAX_COMMITS)));
        assert_eq!(trace.untold_commits(), Some(MAX_COMMITS + 1));
    }
}
