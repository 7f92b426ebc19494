//! By which id a request is known in the log: its sender's, where it sends one.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::trace_context;
use crate::{consignment, service::RequestId};

/// The header with an id of the sender's own, in requests and replies.
pub(super) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken, in bytes: several UUIDs. It is repeated in each line of the log that names the request.
const MAX_BYTES: usize = 128;

/// The id in `headers`: `x-request-id` if it is sound, else the trace id of a valid `traceparent`. What is not sound counts
/// as not sent.
pub(super) fn sent(headers: &HeaderMap) -> Option<RequestId> {
    let own = headers.get(&X_REQUEST_ID).map(HeaderValue::as_bytes);
    let id = (own.and_then(sound)).or_else(|| Some(trace_context::parent(headers)?.trace));
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

#[cfg(test)]
mod tests {
    use super::*;

    static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
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
        // Of two, none counts.
        let twice = [(&TRACEPARENT, TRACED.as_bytes()); 2];
        assert_eq!(sent_in(&twice), None);
    }
}
