//! Which trace a request is a part of, as its sender says (W3C Trace Context).

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Longest `tracestate` that is kept, in bytes: what has to be passed on at least (§3.3.1.5).
const MAX_STATE_BYTES: usize = 512;

/// What a valid `traceparent` says.
pub(super) struct Parent<'a> {
    /// In lower case hexadecimal, as is the rest.
    pub(super) trace: &'a str,
    span: &'a str,
    flags: &'a str,
}

/// The one in `headers`. Of two, none counts.
pub(super) fn parent(headers: &HeaderMap) -> Option<Parent<'_>> {
    let mut all = headers.get_all(&TRACEPARENT).iter();
    let (only, None) = (all.next()?, all.next()) else {
        return None;
    };
    parse(only.as_bytes())
}

/// The sender's span, with what else `headers` say of its trace.
pub(super) fn sender(headers: &HeaderMap) -> Option<SpanContext> {
    let Parent { trace, span, flags } = parent(headers)?;
    Some(SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        state(headers).unwrap_or_default(),
    ))
}

fn state(headers: &HeaderMap) -> Option<TraceState> {
    let all = headers.get_all(&TRACESTATE).iter();
    let parts: Vec<_> = all
        .map(HeaderValue::to_str)
        .collect::<Result<_, _>>()
        .ok()?;
    let joined = parts.join(",");
    (joined.len() <= MAX_STATE_BYTES)
        .then(|| joined.parse().ok())
        .flatten()
}

/// Reads `header` (§3.2): `version-traceid-parentid-flags`, in lower case hexadecimal. A version later than the first may
/// go on after that with another dash.
fn parse(header: &[u8]) -> Option<Parent<'_>> {
    const LENGTH: usize = 2 + 1 + 32 + 1 + 16 + 1 + 2;
    const FIRST: &str = "00";
    const INVALID: &str = "ff";
    let (known, rest) = header.split_at_checked(LENGTH)?;
    let mut parts = str::from_utf8(known).ok()?.split('-');
    let mut hex = |digits: usize| {
        let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (parts.next()).filter(|part| part.len() == digits && part.bytes().all(is_hex))
    };
    let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let ends = rest.is_empty() || (version != FIRST && rest.starts_with(b"-"));
    let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
    (ends && version != INVALID && !is_zero(trace) && !is_zero(span)).then_some(Parent {
        trace,
        span,
        flags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const TRACED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn trace(header: &[u8]) -> Option<&str> {
        Some(parse(header)?.trace)
    }

    #[test]
    fn a_sender_says_whether_it_is_sampled_and_what_others_know_of_the_trace() {
        let mut headers = HeaderMap::new();
        headers.insert(&TRACEPARENT, HeaderValue::from_static(TRACED));
        headers.append(&TRACESTATE, HeaderValue::from_static("a=1"));
        headers.append(&TRACESTATE, HeaderValue::from_static("b=2"));
        let known = sender(&headers).unwrap();
        assert!(known.is_sampled() && known.is_remote());
        assert_eq!(known.trace_id().to_string(), TRACE);
        assert_eq!(known.span_id().to_string(), "00f067aa0ba902b7");
        assert_eq!(known.trace_state().header(), "a=1,b=2");
        // What cannot be kept is left out, and the trace goes on.
        let long = format!("a={}", "x".repeat(MAX_STATE_BYTES));
        for bad in [&*long, "a=b=c"] {
            headers.insert(&TRACESTATE, HeaderValue::from_str(bad).unwrap());
            let known = sender(&headers).unwrap();
            assert_eq!(known.trace_state().header(), "", "{bad}");
        }
        let unsampled = HeaderValue::from_str(&TRACED.replace("-01", "-00")).unwrap();
        headers.insert(&TRACEPARENT, unsampled);
        assert!(!sender(&headers).unwrap().is_sampled());
    }

    #[test]
    fn a_trace_is_known_by_its_id() {
        for good in [
            TRACED,
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            // Of a later version that much is known.
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes",
        ] {
            assert_eq!(trace(good.as_bytes()), Some(TRACE), "{good}");
        }
    }

    #[test]
    fn what_is_no_traceparent_is_ignored() {
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(trace(bad.as_bytes()), None, "{bad}");
        }
        let cut = [b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\xc3".as_slice()];
        assert_eq!(trace(&cut.concat()), None);
    }
}
