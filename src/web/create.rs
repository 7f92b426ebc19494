//! `POST /v1/consignments`

use std::{pin::pin, sync::Arc};

use axum::{body::Body, extract::State, response::Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{
    Extensions, HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION},
};
use prost::Message as _;
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::spawn_blocking,
};
use tonic::{
    Code, Status, Streaming,
    codec::{BufferSettings, EncodeBody},
};
use tonic_prost::{ProstDecoder, ProstEncoder};

use super::{
    CONSIGNMENTS, Site, asking,
    intake::{BYTE_ORDER_MARK, Received, SMALL_BODY_BYTES},
    problem::{Error, Field, Problem},
};
use crate::{
    formats::{
        read::{InputError, Records},
        write::Lines,
    },
    proto::{
        CHUNK_BYTES, CHUNK_RECORDS, Consignment, CreateChunk, Outcome, outcome,
        shipping_service_server::ShippingService,
    },
};

/// Most consignments of one request: an answer names each of them.
const MAX_RECORDS: usize = 10_000;
/// Most conflicts that an error names.
const MAX_FIELDS: usize = 10;
/// Larger bodies that are read at once: meanwhile one takes a core, and up to fifteen times its size in memory.
pub(super) const READ_AT_ONCE: usize = 2;
/// What errors call the body.
const BODY: &str = "body";

/// A consignment of the body.
struct Given {
    line: usize,
    id: String,
    encoded: Bytes,
}

pub(super) async fn create<S: ShippingService>(
    State(site): State<Arc<Site<S>>>,
    headers: HeaderMap,
    extensions: Extensions,
    body: Body,
) -> Result<Response, Problem> {
    let is_json = check_type(&headers)?;
    let received = site.intake.receive(&headers, body).await?;
    let bytes = &received.bytes;
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let is_object = text.trim_ascii_start().starts_with(b"{");
    let (mut given, _room) = read(received, &site.reading).await?;
    if is_json && is_object && given.len() == 1 {
        return create_one(&site.service, given.remove(0), extensions).await;
    }
    create_all(&site.service, given, extensions).await
}

/// Whether one consignment is answered as one.
fn check_type(headers: &HeaderMap) -> Result<bool, Problem> {
    let unsupported = |name, description| {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Err(Problem::header(
            status,
            Code::InvalidArgument,
            name,
            description,
        ))
    };
    if headers.contains_key(CONTENT_ENCODING) {
        return unsupported("Content-Encoding", "is not taken: send the body as it is");
    }
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let mut parts = text.unwrap_or_default().split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_utf8 = parts.all(|part| {
        part.split_once('=').is_none_or(|(name, value)| {
            !name.eq_ignore_ascii_case("charset")
                || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    });
    match (&*media_type, is_utf8) {
        ("application/json", true) => Ok(true),
        ("application/x-ndjson", true) => Ok(false),
        (_, false) => unsupported("Content-Type", "names a character set that is not UTF-8"),
        _ => unsupported(
            "Content-Type",
            "is neither application/json nor application/x-ndjson",
        ),
    }
}

/// What a body holds, with the body's room. A thread that reads cannot be taken back when the request is dropped, so it holds
/// the room and its turn as long as it does.
async fn read(
    received: Received,
    reading: &Arc<Semaphore>,
) -> Result<(Vec<Given>, Option<OwnedSemaphorePermit>), Problem> {
    let Received { bytes, room } = received;
    let (answer, _awaited) = oneshot::channel::<()>();
    if bytes.len() <= SMALL_BODY_BYTES {
        return Ok((records(&bytes, &answer)?, room));
    }
    // It is never closed.
    let turn = Arc::clone(reading).acquire_owned().await.ok();
    let read = spawn_blocking(move || {
        let _turn = turn;
        Ok((records(&bytes, &answer)?, room))
    });
    read.await.unwrap_or_else(|panic| {
        let status = Status::internal(format!("the body could not be read: {panic}"));
        Err(Problem::from(&status))
    })
}

/// All of it is good, or nothing of it is stored. It ends between records where nobody awaits the `answer` any more.
fn records(mut bytes: &[u8], answer: &oneshot::Sender<()>) -> Result<Vec<Given>, Problem> {
    let mut all = Vec::new();
    for record in Records::new(&mut bytes, BODY) {
        if answer.is_closed() {
            return Err(Problem::from(&Status::cancelled("the request broke off")));
        }
        let record = record.map_err(|error: InputError| Problem::from(&error))?;
        if all.len() == MAX_RECORDS {
            let said = format!(
                "the body holds over {MAX_RECORDS} consignments: send it in parts, or use `shippy create FILE`, which takes \
                 files of any size"
            );
            return Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                Code::ResourceExhausted,
                said,
            ));
        }
        all.push(Given {
            line: record.line,
            encoded: record.consignment.encode_to_vec().into(),
            id: record.consignment.id,
        });
    }
    Ok(all)
}

async fn create_one(
    service: &impl ShippingService,
    given: Given,
    extensions: Extensions,
) -> Result<Response, Problem> {
    let consignment = Consignment::decode(given.encoded)
        .map_err(|error| Problem::from(&Status::internal(error.to_string())))?;
    let reply = service
        .create_consignment(asking(consignment, extensions))
        .await;
    let reply = reply.map_err(|status| match status.code() {
        Code::AlreadyExists => {
            Problem::from(&status).with_fields(vec![Field::new("id", "is another consignment's")])
        }
        _ => Problem::from(&status),
    })?;
    let reply = reply.into_inner();
    let stored = reply.consignment.unwrap_or_default();
    let mut body = Vec::new();
    // Memory takes all.
    let _ = Lines::default().write(&mut body, std::slice::from_ref(&stored));
    let status = if reply.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let mut response = json(status, body);
    if reply.created
        && let Ok(place) = HeaderValue::from_str(&format!("{CONSIGNMENTS}?ids={}", stored.id))
    {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

async fn create_all(
    service: &impl ShippingService,
    given: Vec<Given>,
    extensions: Extensions,
) -> Result<Response, Problem> {
    let count = given.len();
    let encoded: Vec<_> = given.iter().map(|one| one.encoded.clone()).collect();
    let chunks = stream::iter(chunks(encoded).into_iter().map(Ok));
    let writer = ProstEncoder::<CreateChunk>::new(BufferSettings::default());
    let body = EncodeBody::new_client(writer, chunks, None, None);
    let reader = ProstDecoder::<CreateChunk>::new(BufferSettings::default());
    let request = Streaming::new_request(reader, body, None, None);
    let outcomes = service
        .create_consignments(asking(request, extensions))
        .await;
    let mut outcomes = pin!(
        outcomes
            .map_err(|status| Problem::from(&status))?
            .into_inner()
    );
    let mut answers = Answers::default();
    let mut given = given.into_iter();
    while let Some(chunk) = outcomes.next().await {
        let chunk = chunk.map_err(|status| answers.broken_off(&status, count))?;
        for (outcome, given) in chunk.outcomes.into_iter().zip(&mut given) {
            answers.add(outcome, given);
        }
    }
    Ok(answers.into_response())
}

/// `encoded` in chunks, as a stream of them is to be cut.
fn chunks(encoded: Vec<Bytes>) -> Vec<CreateChunk> {
    let mut chunks = Vec::new();
    let mut consignments = Vec::new();
    let mut bytes = 0;
    for one in encoded {
        bytes += one.len();
        consignments.push(one);
        if bytes >= CHUNK_BYTES || consignments.len() == CHUNK_RECORDS {
            let consignments = std::mem::take(&mut consignments);
            chunks.push(CreateChunk { consignments });
            bytes = 0;
        }
    }
    if !consignments.is_empty() {
        chunks.push(CreateChunk { consignments });
    }
    chunks
}

/// What became of all of them.
#[derive(Default, Serialize)]
struct Answers {
    created: usize,
    already_there: usize,
    conflicts: usize,
    outcomes: Vec<Answer>,
    #[serde(skip)]
    conflicting: Vec<Field>,
}

/// What became of one.
#[derive(Serialize)]
struct Answer {
    line: usize,
    id: String,
    /// A text, as proto3 JSON has 64-bit numbers.
    sequence: String,
    result: &'static str,
}

/// [`Answers`] with what is wrong, where something is.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error<'a>>,
    #[serde(flatten)]
    answers: &'a Answers,
}

impl Answers {
    fn add(&mut self, outcome: Outcome, given: Given) {
        let result = match outcome.result() {
            outcome::Result::Created => {
                self.created += 1;
                "created"
            }
            outcome::Result::AlreadyThere => {
                self.already_there += 1;
                "already_there"
            }
            // What breaks a limit was refused before.
            outcome::Result::Conflict | outcome::Result::Invalid | outcome::Result::Unspecified => {
                self.conflicts += 1;
                if self.conflicting.len() < MAX_FIELDS {
                    let field = Field::new("id", format!("{} is another consignment's", given.id));
                    self.conflicting.push(field.at(given.line));
                }
                "conflict"
            }
        };
        let id = if outcome.id.is_empty() {
            given.id
        } else {
            outcome.id
        };
        self.outcomes.push(Answer {
            line: given.line,
            id,
            sequence: outcome.sequence.to_string(),
            result,
        });
    }

    fn broken_off(&self, status: &Status, count: usize) -> Problem {
        Problem::from(status).with_more(&format!(
            "; at least {} of {count} are stored, and to send again is safe for those that have an id",
            self.created + self.already_there
        ))
    }

    fn into_response(self) -> Response {
        let status = match (self.conflicts, self.created) {
            (0, created) if created > 0 => StatusCode::CREATED,
            (0, _) => StatusCode::OK,
            _ => StatusCode::CONFLICT,
        };
        let message = format!(
            "{} of {} were not stored, as other consignments have their ids: give them ids of their own",
            self.conflicts,
            self.outcomes.len()
        );
        let error = (self.conflicts > 0)
            .then(|| Error::new(Code::AlreadyExists, &message, &self.conflicting));
        let document = Document {
            error,
            answers: &self,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = json(status, body);
        if self.conflicts > 0 {
            response.extensions_mut().insert(Code::AlreadyExists);
        }
        response
    }
}

fn json(status: StatusCode, mut body: Vec<u8>) -> Response {
    if !body.ends_with(b"\n") {
        body.push(b'\n');
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_nobody_awaits_is_not_read_on() {
        let body = b"{}\n{}\n";
        let (answer, awaited) = oneshot::channel();
        assert_eq!(records(body, &answer).unwrap().len(), 2);
        drop(awaited);
        assert_eq!(records(body, &answer).err().unwrap().status(), 500);
    }
}
