//! By which id a request is known in the log: its sender's, where it sends one.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{consignment, service::RequestId};

/// The header with an id of the sender's own, in requests and replies.
pub(super) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header of W3C Trace Context, whose trace id serves as well.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longest id that is taken, in bytes: several UUIDs. It is repeated in each line of the log that names the request.
const MAX_BYTES: usize = 128;

/// The id in `headers`: `x-request-id` if it is sound, else the trace id of a valid `traceparent`. What is not sound counts
/// as not sent.
pub(super) fn sent(headers: &HeaderMap) -> Option<RequestId> {
    let own = headers.get(&X_REQUEST_ID).map(HeaderValue::as_bytes);
    let id = own.and_then(sound).or_else(|| {
        let mut all = headers.get_all(&TRACEPARENT).iter();
        let (only, None) = (all.next()?, all.next()) else {
            return None;
        };
        trace_id(only.as_bytes())
    });
    id.map(|id| RequestId(id.into()))
}

/// A new one.
pub(super) fn made() -> RequestId {
    RequestId(consignment::new_id().into())
}

/// `id`, if it is short, printable ASCII, and one word, so that several can stand in one line.
fn sound(id: &[u8]) -> Option<&str> {
    let is_sound = !id.is_empty() && id.len() <= MAX_BYTES && id.iter().all(u8::is_ascii_graphic);
    str::from_utf8(id).ok().filter(|_| is_sound)
}

/// The trace id in `header` (Trace Context, §3.2): `version-traceid-parentid-flags`, in lower case hexadecimal. A version
/// later than the first may go on after that with another dash.
fn trace_id(header: &[u8]) -> Option<&str> {
    const LENGTH: usize = 2 + 1 + 32 + 1 + 16 + 1 + 2;
    const FIRST: &str = "00";
    const INVALID: &str = "ff";
    let (known, rest) = header.split_at_checked(LENGTH)?;
    let mut parts = str::from_utf8(known).ok()?.split('-');
    let mut hex = |digits: usize| {
        let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (parts.next()).filter(|part| part.len() == digits && part.bytes().all(is_hex))
    };
    let (version, trace, parent, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let ends = rest.is_empty() || (version != FIRST && rest.starts_with(b"-"));
    let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
    (ends && version != INVALID && !is_zero(trace) && !is_zero(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const TRACED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn sent_in(headers: &[(&HeaderName, &[u8])]) -> Option<String> {
        let headers = headers.iter().map(|(name, value)| {
            let value = HeaderValue::from_bytes(value).unwrap();
            ((*name).clone(), value)
        });
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        sent(&map).map(|RequestId(id)| id.to_string())
    }

    #[test]
    fn a_sound_id_is_taken_as_it_is_and_another_counts_as_not_sent() {
        for id in ["a", "0192-\"x\"=y,{z}", &"x".repeat(MAX_BYTES)] {
            let sent = sent_in(&[(&X_REQUEST_ID, id.as_bytes())]);
            assert_eq!(sent.as_deref(), Some(id));
        }
        let long = "x".repeat(MAX_BYTES + 1);
        for id in [
            &b""[..],
            b"a b",
            b"a\tb",
            "ä".as_bytes(),
            b"\x9b1A",
            long.as_bytes(),
        ] {
            assert_eq!(sent_in(&[(&X_REQUEST_ID, id)]), None, "{id:?}");
            let both = [(&X_REQUEST_ID, id), (&TRACEPARENT, TRACED.as_bytes())];
            assert_eq!(sent_in(&both).as_deref(), Some(TRACE), "{id:?}");
        }
        let both = [
            (&X_REQUEST_ID, &b"mine"[..]),
            (&TRACEPARENT, TRACED.as_bytes()),
        ];
        assert_eq!(sent_in(&both).as_deref(), Some("mine"));
        assert_eq!(sent_in(&[]), None);
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
            assert_eq!(trace_id(good.as_bytes()), Some(TRACE), "{good}");
        }
        // Of two, none counts.
        let twice = [(&TRACEPARENT, TRACED.as_bytes()); 2];
        assert_eq!(sent_in(&twice), None);
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
            assert_eq!(trace_id(bad.as_bytes()), None, "{bad}");
        }
        let cut = [b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\xc3".as_slice()];
        assert_eq!(trace_id(&cut.concat()), None);
    }
}
