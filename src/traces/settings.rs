//! What the environment says of traces, in OpenTelemetry's own variables. The headers for the collector are read by the
//! exporter itself.

use std::{error::Error, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use http::Uri;
use opentelemetry_sdk::trace::Sampler;

/// Most spans that may wait: some dozens of MiB.
const MAX_QUEUE: usize = 65_536;
/// The longest time that a variable sets, in milliseconds.
const MAX_MILLIS: u64 = 3_600_000;

/// How traces are exported.
#[derive(Debug)]
pub struct Settings {
    /// Where to, without what may be secret in the URL.
    pub collector: String,
    address: (String, u16),
    /// The variables that say something else than they take, each with what it takes.
    pub ignored: Vec<String>,
    /// The name of the service, where it is not the server's own.
    pub(super) service: Option<String>,
    pub(super) is_tls: bool,
    /// Whose word counts on the collector's certificate, where it is not the system's.
    pub(super) authority: Option<PathBuf>,
    pub(super) sampler: Sampler,
    /// How many spans may wait.
    pub(super) queue: usize,
    /// How many are sent at once.
    pub(super) batch: usize,
    /// How long they wait for one another.
    pub(super) delay: Duration,
    /// How long the collector may take.
    pub(super) timeout: Duration,
}

/// Why traces that are asked for are not exported.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Another way to export is asked for.
    #[error("OTEL_TRACES_EXPORTER is {0}, and shippy has otlp alone")]
    Kind(String),
    /// Another protocol is.
    #[error(
        "{variable} is {protocol}, and shippy speaks grpc alone, for which collectors have port 4317"
    )]
    Protocol {
        /// Which says so.
        variable: &'static str,
        /// Which it is.
        protocol: String,
    },
    /// There is no collector at the address.
    #[error("{0} is no URL: write http://HOST:4317")]
    Endpoint(&'static str),
    /// The certificate authority cannot be read.
    #[error("could not read the certificate authority {path}")]
    Authority {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// The exporter refuses the rest.
    #[error("could not set up the exporter")]
    Exporter(#[source] Box<dyn Error + Send + Sync>),
}

impl Settings {
    /// Those that `variable` has, by their names; `None` where nothing is to be exported.
    ///
    /// # Errors
    ///
    /// When what is asked for cannot be done.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Unusable> {
        let mut variables = Variables {
            get: variable,
            ignored: Vec::new(),
        };
        if variables.is_true("OTEL_SDK_DISABLED") {
            return Ok(None);
        }
        let Some((name, endpoint)) = variables.of_traces(&[
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ]) else {
            return Ok(None);
        };
        match variables.text("OTEL_TRACES_EXPORTER") {
            Some(none) if none == "none" => return Ok(None),
            Some(kind) if kind != "otlp" => return Err(Unusable::Kind(kind)),
            _ => {}
        }
        variables.check_protocol()?;
        let uri: Uri = endpoint.parse().map_err(|_| Unusable::Endpoint(name))?;
        let host = uri.host().ok_or(Unusable::Endpoint(name))?;
        let is_tls = (variables.is_tls(uri.scheme_str())).ok_or(Unusable::Endpoint(name))?;
        let port = (uri.port_u16()).unwrap_or(if is_tls { 443 } else { 80 });
        let mut settings = Self {
            collector: format!("{host}:{port}"),
            address: (host.trim_matches(['[', ']']).to_owned(), port),
            ignored: Vec::new(),
            service: variables.text("OTEL_SERVICE_NAME"),
            is_tls,
            authority: variables.authority(),
            sampler: variables.sampler(),
            queue: variables.number("OTEL_BSP_MAX_QUEUE_SIZE", 1..=MAX_QUEUE, 2_048),
            batch: variables.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1..=MAX_QUEUE, 512),
            delay: variables.millis("OTEL_BSP_SCHEDULE_DELAY", 5_000),
            timeout: variables.timeout(),
        };
        settings.ignored = variables.ignored;
        Ok(Some(settings))
    }

    /// The host and port to connect to.
    #[must_use]
    pub fn address(&self) -> (&str, u16) {
        (&self.address.0, self.address.1)
    }
}

/// The environment, and what in it was passed over.
struct Variables<F> {
    get: F,
    ignored: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    /// One that is set to nothing counts as not set.
    fn text(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|value| !value.is_empty())
    }

    fn is_true(&self, name: &str) -> bool {
        self.text(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The first that is set of `names`, of which that for traces alone comes before that for all.
    fn of_traces(&self, names: &[&'static str; 2]) -> Option<(&'static str, String)> {
        names
            .iter()
            .find_map(|name| Some((*name, self.text(name)?)))
    }

    /// Whether a URL with this scheme is one for TLS; `None` where it is of something else than HTTP.
    fn is_tls(&self, scheme: Option<&str>) -> Option<bool> {
        match scheme {
            Some("http") => Some(false),
            Some("https") => Some(true),
            Some(_) => None,
            None => {
                let insecure = self.of_traces(&[
                    "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
                    "OTEL_EXPORTER_OTLP_INSECURE",
                ]);
                Some(!insecure.is_some_and(|(_, value)| value.eq_ignore_ascii_case("true")))
            }
        }
    }

    fn check_protocol(&mut self) -> Result<(), Unusable> {
        let protocol = self.of_traces(&[
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ]);
        if let Some((variable, protocol)) = protocol
            && !protocol.eq_ignore_ascii_case("grpc")
        {
            return Err(Unusable::Protocol { variable, protocol });
        }
        let compression = self.of_traces(&[
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
            "OTEL_EXPORTER_OTLP_COMPRESSION",
        ]);
        if let Some((variable, compression)) = compression
            && !compression.eq_ignore_ascii_case("none")
        {
            self.ignore(variable, "none, as shippy compresses nothing");
        }
        Ok(())
    }

    fn authority(&self) -> Option<PathBuf> {
        let path = self.of_traces(&[
            "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
        ]);
        path.map(|(_, path)| path.into())
    }

    fn sampler(&mut self) -> Sampler {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        const BY_PARENT: &str = "parentbased_";
        let name = self.text(NAME);
        let name = name.as_deref().unwrap_or("parentbased_always_on");
        let sampler = match name.strip_prefix(BY_PARENT).unwrap_or(name) {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => {
                let ratio = self.number("OTEL_TRACES_SAMPLER_ARG", 0.0..=1.0, 1.0);
                Sampler::TraceIdRatioBased(ratio)
            }
            _ => {
                self.ignore(
                    NAME,
                    "always_on, always_off, traceidratio, or one of them after parentbased_",
                );
                return Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
            }
        };
        if name.starts_with(BY_PARENT) {
            Sampler::ParentBased(Box::new(sampler))
        } else {
            sampler
        }
    }

    /// The time that the collector has for a batch, by the exporter's variables and the queue's.
    fn timeout(&mut self) -> Duration {
        let own = self.of_traces(&[
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
        ]);
        let name = own.map_or("OTEL_EXPORTER_OTLP_TIMEOUT", |(name, _)| name);
        let queues = self.millis("OTEL_BSP_EXPORT_TIMEOUT", 30_000);
        self.millis(name, 10_000).min(queues)
    }

    fn millis(&mut self, name: &str, default: u64) -> Duration {
        Duration::from_millis(self.number(name, 1..=MAX_MILLIS, default))
    }

    fn number<N>(&mut self, name: &str, range: RangeInclusive<N>, default: N) -> N
    where
        N: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.text(name) else {
            return default;
        };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let takes = format!("a number from {} to {}", range.start(), range.end());
                self.ignore(name, &takes);
                default
            }
        }
    }

    fn ignore(&mut self, name: &str, takes: &str) {
        self.ignored
            .push(format!("{name} is ignored: it takes {takes}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Option<Settings>, Unusable> {
        Settings::read(|name| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const TO: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");

    #[test]
    fn nothing_is_exported_unless_it_is_asked_for() {
        for set in [
            &[][..],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[TO, ("OTEL_SDK_DISABLED", "True")],
            &[TO, ("OTEL_TRACES_EXPORTER", "none")],
            &[("OTEL_SERVICE_NAME", "depot")],
        ] {
            assert!(matches!(read(set), Ok(None)), "{set:?}");
        }
    }

    #[test]
    fn the_variables_for_traces_come_before_those_for_all() {
        let settings = read(&[
            TO,
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "https://user:secret@[::1]:9",
            ),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "40000"),
        ]);
        let settings = settings.unwrap().unwrap();
        assert_eq!(settings.collector, "[::1]:9");
        assert!(settings.is_tls && settings.ignored.is_empty());
        // The queue's own is shorter.
        assert_eq!(settings.timeout, Duration::from_secs(30));
    }

    #[test]
    fn without_a_scheme_the_insecure_variables_say_whether_it_is_tls() {
        const ALL: &str = "OTEL_EXPORTER_OTLP_INSECURE";
        const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_INSECURE";
        for (endpoint, set, expected) in [
            ("collector", &[][..], "collector:443"),
            ("collector", &[(ALL, "True")], "collector:80"),
            ("collector", &[(TRACES, "true")], "collector:80"),
            (
                "collector",
                &[(ALL, "true"), (TRACES, "false")],
                "collector:443",
            ),
            ("https://collector", &[(ALL, "true")], "collector:443"),
            ("http://collector", &[(ALL, "false")], "collector:80"),
        ] {
            let mut all = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)];
            all.extend(set);
            let settings = read(&all).unwrap().unwrap();
            assert_eq!(settings.collector, expected, "{all:?}");
            assert_eq!(settings.is_tls, expected.ends_with(":443"), "{all:?}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        let refused = |name, value| read(&[TO, (name, value)]).unwrap_err().to_string();
        let protocol = refused("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        assert!(
            protocol.contains("OTEL_EXPORTER_OTLP_PROTOCOL is http/protobuf"),
            "{protocol}"
        );
        let kind = refused("OTEL_TRACES_EXPORTER", "zipkin");
        assert!(kind.contains("zipkin"), "{kind}");
        for bad in ["http://", "http://a b", "/x", "ftp://collector"] {
            let said = refused("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", bad);
            assert!(said.contains("TRACES_ENDPOINT is no URL"), "{bad}: {said}");
        }
    }

    #[test]
    fn what_means_nothing_is_ignored_and_told() {
        let set = [
            TO,
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ];
        let settings = read(&set).unwrap().unwrap();
        for (name, _) in &set[1..] {
            let told = (settings.ignored.iter())
                .any(|told| told.starts_with(&format!("{name} is ignored")));
            assert!(told, "{name}: {:?}", settings.ignored);
        }
        assert_eq!(settings.ignored.len(), 4);
        assert_eq!(
            (settings.queue, settings.delay),
            (2_048, Duration::from_secs(5))
        );
        assert!(matches!(settings.sampler, Sampler::ParentBased(_)));
    }

    #[test]
    fn a_sampler_is_one_of_those_of_the_specification() {
        let sampler = |name, argument| {
            let set = [
                TO,
                ("OTEL_TRACES_SAMPLER", name),
                ("OTEL_TRACES_SAMPLER_ARG", argument),
            ];
            let settings = read(&set).unwrap().unwrap();
            (format!("{:?}", settings.sampler), settings.ignored.len())
        };
        for (name, argument, expected, ignored) in [
            ("always_off", "", "AlwaysOff", 0),
            ("traceidratio", "0.25", "TraceIdRatioBased(0.25)", 0),
            ("traceidratio", "", "TraceIdRatioBased(1.0)", 0),
            ("traceidratio", "7", "TraceIdRatioBased(1.0)", 1),
            (
                "parentbased_traceidratio",
                "0.5",
                "ParentBased(TraceIdRatioBased(0.5))",
                0,
            ),
            ("parentbased_always_off", "", "ParentBased(AlwaysOff)", 0),
        ] {
            let found = sampler(name, argument);
            assert_eq!(found, (expected.to_owned(), ignored), "{name} {argument}");
        }
    }
}
