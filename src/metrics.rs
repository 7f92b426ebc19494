//! What is measured of a server, for Prometheus: metrics that are read when they are asked for, and all of them as text.
//!
//! What happens often is counted where it happens, in handles that are registered at the start. What can be read at any
//! time costs nothing until it is asked for.

use std::fmt::{self, Write as _};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text},
    metrics::gauge::ConstGauge,
    registry::Registry,
};

/// What [`render`] makes, as HTTP calls it.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Registers the gauge `name`, whose value is what `read` returns; `None` where there is none at the moment.
pub fn gauge(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    read: impl Fn() -> Option<f64> + Send + Sync + 'static,
) {
    registry.register_collector(Box::new(Reading {
        name,
        help,
        read: Box::new(read),
    }));
}

/// A gauge that is read.
struct Reading {
    name: &'static str,
    help: &'static str,
    read: Box<dyn Fn() -> Option<f64> + Send + Sync>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(value) = (self.read)() else {
            return Ok(());
        };
        let gauge = ConstGauge::new(value);
        let help = format!("{}.", self.help);
        let metric = encoder.encode_descriptor(self.name, &help, None, gauge.metric_type())?;
        gauge.encode(metric)
    }
}

/// All of `registry` in Prometheus' text format 0.0.4. The library writes `OpenMetrics`, in which a counter's name has no
/// `_total` where it is described, and which ends with a mark.
///
/// # Errors
///
/// When a collector does not write what it has.
pub fn render(registry: &Registry) -> Result<String, fmt::Error> {
    let mut open = String::new();
    text::encode_registry(&mut open, registry)?;
    let mut plain = String::with_capacity(open.len());
    let mut lines = open.lines().peekable();
    while let Some(line) = lines.next() {
        let help = line
            .strip_prefix("# HELP ")
            .and_then(|rest| rest.split_once(' '));
        let counter = help.filter(|(name, _)| {
            let kind = lines.peek().and_then(|line| line.strip_prefix("# TYPE "));
            kind.and_then(|kind| kind.strip_prefix(name)) == Some(" counter")
        });
        if let Some((name, help)) = counter {
            lines.next();
            writeln!(plain, "# HELP {name}_total {help}")?;
            writeln!(plain, "# TYPE {name}_total counter")?;
        } else {
            plain += line;
            plain.push('\n');
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

    use super::*;

    #[test]
    fn counters_are_described_under_the_name_that_they_have() {
        let mut registry = Registry::default();
        let counter: Counter = Counter::default();
        registry.register("shippy_parcels", "Parcels", counter.clone());
        let histogram = Histogram::new([1.0]);
        registry.register("shippy_wait_seconds", "Waits", histogram.clone());
        gauge(&mut registry, "shippy_depth", "Depth", || Some(7.0));
        gauge(&mut registry, "shippy_absent", "Absent", || None);
        counter.inc();
        histogram.observe(0.5);
        let expected = "# HELP shippy_parcels_total Parcels.\n# TYPE shippy_parcels_total counter\nshippy_parcels_total 1\n\
            # HELP shippy_wait_seconds Waits.\n# TYPE shippy_wait_seconds histogram\nshippy_wait_seconds_sum 0.5\n\
            shippy_wait_seconds_count 1\nshippy_wait_seconds_bucket{le=\"1.0\"} 1\n\
            shippy_wait_seconds_bucket{le=\"+Inf\"} 1\n\
            # HELP shippy_depth Depth.\n# TYPE shippy_depth gauge\nshippy_depth 7.0\n";
        assert_eq!(render(&registry).unwrap(), expected);
    }
}
