//! The bodies of requests, in bounded memory.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode, header::CONTENT_LENGTH};
use http_body_util::BodyExt as _;
use hyper::body::Body as HttpBody;
use prometheus_client::metrics::counter::Counter;
use serde::de::IgnoredAny;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};
use tonic::{Code, Status};

use super::{CONSIGNMENTS, problem::Problem};

/// Largest body, in bytes: more than the largest consignment takes with each of its bytes escaped.
const BODY_BYTES: usize = 4 * 1024 * 1024;
/// What all bodies together may take that are being received or stored, in bytes, beside small ones.
const ROOM_BYTES: usize = 32 * 1024 * 1024;
/// A body up to this many bytes is small: it is waited for like a message, takes none of the room for bodies, and is read
/// where it came, which takes less time than to hand it to another thread.
pub(super) const SMALL_BODY_BYTES: usize = 8 * 1024;
/// What some editors begin a text with.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How long one that gives way may take to do so. It is only dropped, so that this is long.
const GIVING_WAY: Duration = Duration::from_secs(1);

/// What is done where bodies take as much memory as they may.
pub struct Crowding {
    /// Has the one that comes the slowest give way, if that comes slowly enough; whether one does.
    pub make_room: Box<dyn Fn() -> bool + Send + Sync>,
    /// Counts those for which there is none all the same.
    pub refused: Counter,
}

/// Where bodies are received.
pub(super) struct Intake {
    room: Arc<Semaphore>,
    crowding: Crowding,
    stopping: watch::Receiver<bool>,
}

/// A body, with its share of what all of them may take.
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Intake {
    /// Receives until `stopping` becomes true.
    pub(super) fn new(crowding: Crowding, stopping: watch::Receiver<bool>) -> Self {
        let room = Arc::new(Semaphore::new(ROOM_BYTES));
        Self {
            room,
            crowding,
            stopping,
        }
    }

    /// All of `body`.
    pub(super) async fn receive(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Received, Problem> {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            received = self.receive_all(headers, body) => received,
            // Its sender being gone means the same.
            _ = stopping.wait_for(|stopping| *stopping) => Err(Problem::from(&stopped())),
        }
    }

    async fn receive_all(&self, headers: &HeaderMap, mut body: Body) -> Result<Received, Problem> {
        // One that would not fit is refused before it is sent.
        if announced(headers).is_some_and(|length| length > BODY_BYTES) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let mut held: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Problem::of_body(&error))?;
            let Ok(data) = frame.into_data() else {
                continue; // trailers
            };
            if bytes.len() + data.len() > BODY_BYTES {
                return Err(too_large());
            }
            if bytes.len() + data.len() > SMALL_BODY_BYTES {
                let wanted = u32::try_from(data.len()).unwrap_or(u32::MAX);
                let room = self.room_for(wanted).await?;
                match &mut held {
                    Some(held) => held.merge(room),
                    none => *none = Some(room),
                }
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Received { bytes, room: held })
    }

    async fn room_for(&self, bytes: u32) -> Result<OwnedSemaphorePermit, Problem> {
        if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(bytes) {
            return Ok(room);
        }
        let mut room = pin!(Arc::clone(&self.room).acquire_many_owned(bytes));
        while (self.crowding.make_room)() {
            if let Ok(Ok(room)) = timeout(GIVING_WAY, &mut room).await {
                return Ok(room);
            }
        }
        self.crowding.refused.inc();
        Err(busy())
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large() -> Problem {
    let said = format!(
        "the body is over {BODY_BYTES} bytes: send it in parts, or use `shippy create FILE`, which takes files of any size"
    );
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, said)
}

fn busy() -> Problem {
    let said = "the server is receiving as much as it can at the moment: try again shortly";
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        Code::ResourceExhausted,
        said,
    )
    .retried_soon()
}

pub(super) fn stopped() -> Status {
    Status::unavailable(
        "the server is stopping, and has stored nothing of this: try another, or again shortly",
    )
}

/// Whether `request` creates and says that it is small.
pub fn is_small_post<B: HttpBody>(request: &Request<B>) -> bool {
    let is_post = request.method() == Method::POST && request.uri().path() == CONSIGNMENTS;
    let most = request.body().size_hint().upper();
    is_post && most.is_some_and(|bytes| bytes <= SMALL_BODY_BYTES as u64)
}

/// Whether `body` holds one object, which takes as little to store and to answer as a single create.
#[must_use]
pub fn is_one(body: &[u8]) -> bool {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    text.trim_ascii_start().starts_with(b"{")
        && values.next().is_some_and(|value| value.is_ok())
        && values.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_small_body_is_taken_also_where_there_is_no_room() {
        let crowding = Crowding {
            make_room: Box::new(|| false),
            refused: Counter::default(),
        };
        let (_goes_on, stopping) = watch::channel(false);
        let intake = Intake::new(crowding, stopping);
        intake.room.forget_permits(ROOM_BYTES);
        for (length, is_taken) in [(SMALL_BODY_BYTES, true), (SMALL_BODY_BYTES + 1, false)] {
            let body = Body::from(vec![b' '; length]);
            let received = intake.receive(&HeaderMap::new(), body).await;
            assert_eq!(received.is_ok(), is_taken, "{length}");
        }
    }

    #[test]
    fn one_object_is_told_from_several_and_from_what_is_none() {
        for (body, expected) in [
            ("{}", true),
            ("\u{feff} {\"id\": \"a\", \"containers\": [{}, {}]}\n", true),
            ("{}{}", false),
            ("{}\n{}", false),
            ("{} x", false),
            ("[{}]", false),
            ("{", false),
            ("1", false),
            ("", false),
        ] {
            assert_eq!(is_one(body.as_bytes()), expected, "{body}");
        }
    }
}
