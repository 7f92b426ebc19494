//! What spans pass on their way to the collector. It counts those that are lost, and says once when the collector is away
//! and once when it is back.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter as Otlp;
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};

use super::Settings;

/// How often it is said that a collector which is there takes too few.
const SAID_EVERY: Duration = Duration::from_secs(300);
/// What the exporter's errors begin with.
const OTLP_FAILED: &str = "TonicTracesClient export failed with gRPC code: ";

/// What is known of the spans on their way, and of the collector.
#[derive(Debug)]
pub(super) struct Watch {
    collector: String,
    /// How many may wait.
    room: usize,
    waiting: AtomicUsize,
    /// How many were lost that nobody was told of.
    lost: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    is_away: bool,
    /// When it was said last that it takes too few.
    said: Option<Instant>,
}

impl Watch {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            collector: settings.collector.clone(),
            room: settings.queue,
            waiting: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            seen: Mutex::default(),
        }
    }

    /// Whether one more may wait.
    fn admits(&self) -> bool {
        let has_room = self.waiting.fetch_add(1, Ordering::Relaxed) < self.room;
        if !has_room {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    /// The collector has taken what it was sent.
    fn takes(&self) {
        let collector = &self.collector;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_away {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            tracing::info!("traces are exported to {collector} again; {lost} spans were lost");
            *seen = Seen::default();
        } else if self.lost.load(Ordering::Relaxed) > 0
            && seen.said.is_none_or(|said| said.elapsed() >= SAID_EVERY)
        {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            tracing::warn!(
                "{lost} spans were lost, as more came than {collector} takes: have fewer sampled by OTEL_TRACES_SAMPLER"
            );
            seen.said = Some(Instant::now());
        }
    }

    /// It has not, so that `count` spans are lost.
    fn fails(&self, count: u64, error: &OTelSdkError) {
        self.lost.fetch_add(count, Ordering::Relaxed);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut seen.is_away, true) {
            let collector = &self.collector;
            let reason = match error {
                OTelSdkError::InternalFailure(reason) => reason
                    .strip_prefix(OTLP_FAILED)
                    .unwrap_or(reason)
                    .to_owned(),
                other => other.to_string(),
            };
            tracing::warn!(
                "could not export traces to {collector}: {reason}; spans are lost until it takes them"
            );
        }
    }
}

/// The queue of spans.
#[derive(Debug)]
pub(super) struct Bounded {
    queue: BatchSpanProcessor,
    watch: Arc<Watch>,
}

impl Bounded {
    pub(super) fn new(queue: BatchSpanProcessor, watch: Arc<Watch>) -> Self {
        Self { queue, watch }
    }
}

impl SpanProcessor for Bounded {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        // Where there is no room, the queue would not take it either, and not say so.
        if self.watch.admits() {
            self.queue.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

/// What sends spans.
#[derive(Debug)]
pub(super) struct Watched {
    exporter: Otlp,
    watch: Arc<Watch>,
}

impl Watched {
    pub(super) fn new(exporter: Otlp, watch: Arc<Watch>) -> Self {
        Self { exporter, watch }
    }
}

impl SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        self.watch.waiting.fetch_sub(count, Ordering::Relaxed);
        let exported = self.exporter.export(batch).await;
        match &exported {
            Ok(()) => self.watch.takes(),
            Err(error) => self.watch.fails(count as u64, error),
        }
        exported
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
