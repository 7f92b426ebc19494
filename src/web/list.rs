//! `GET /v1/consignments`

use std::{io, pin::Pin, sync::Arc};

use axum::{body::Body, extract::State, response::Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{Extensions, HeaderMap, HeaderValue, StatusCode, Uri, header::CONTENT_TYPE};
use prost::Message as _;
use tonic::{Code, Status};

use super::{
    Site,
    accept::{Form, choose},
    asking,
    events::Events,
    problem::Problem,
    query::{self, Query},
};
use crate::{
    formats::write::{Lines, Rows},
    proto::{Consignment, ListChunk, shipping_service_server::ShippingService},
};

/// The forms of a list that ends.
const WHOLE: [Form; 3] = [Form::Json, Form::Ndjson, Form::Csv];

type Chunks = Pin<Box<dyn Stream<Item = Result<ListChunk, Status>> + Send>>;

pub(super) async fn list<S: ShippingService>(
    State(site): State<Arc<Site<S>>>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
) -> Result<Response, Problem> {
    let Query {
        mut request,
        follow,
    } = query::parse(uri.query().unwrap_or_default())?;
    let form = form(&headers, follow)?;
    request.follow = form == Form::Events;
    let resumed = query::resumed(&headers)?;
    if request.follow {
        request.after = resumed.or(request.after);
    }
    let chunks = site
        .service
        .list_consignments(asking(request, extensions))
        .await;
    let mut chunks = Box::pin(
        chunks
            .map_err(|status| Problem::from(&status))?
            .into_inner(),
    );
    // There is always a first one, and what is wrong with the register is known by then.
    let first = match chunks.next().await {
        Some(Err(status)) => return Err(Problem::from(&status)),
        first => first,
    };
    let chunks = Box::pin(stream::iter(first).chain(chunks));
    let body = body(chunks, Writing::new(form, &site.register));
    let mut response = Response::new(body);
    let media_type = HeaderValue::from_static(match form {
        Form::Csv => "text/csv; charset=utf-8; header=present",
        form => form.media_type(),
    });
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    Ok(response)
}

/// Events are what follows, so whoever asks for one asks for both.
fn form(headers: &HeaderMap, follow: Option<bool>) -> Result<Form, Problem> {
    let (offered, advice) = match follow {
        Some(true) => (
            &[Form::Events][..],
            "a list is followed as text/event-stream",
        ),
        Some(false) => (
            &WHOLE[..],
            "a list is sent as application/json, application/x-ndjson or text/csv",
        ),
        None => (
            &[Form::Json, Form::Ndjson, Form::Csv, Form::Events][..],
            "a list is sent as application/json, application/x-ndjson, text/csv or, where it is followed, text/event-stream",
        ),
    };
    choose(headers, offered).ok_or_else(|| {
        Problem::header(
            StatusCode::NOT_ACCEPTABLE,
            Code::InvalidArgument,
            "Accept",
            &format!("takes none of what there is: {advice}"),
        )
    })
}

fn body(chunks: Chunks, writing: Writing) -> Body {
    let pieces = stream::unfold(Some((chunks, writing)), |state| async {
        let (mut chunks, mut writing) = state?;
        let mut out = Vec::new();
        let written = match chunks.next().await {
            Some(Ok(chunk)) => {
                let written = writing.write(&mut out, &chunk);
                return Some((written.map(|()| out.into()), Some((chunks, writing))));
            }
            Some(Err(status)) => writing.fail(&mut out, &status),
            None => writing.finish(&mut out),
        };
        Some((written.map(|()| Bytes::from(out)), None))
    });
    Body::from_stream(pieces)
}

/// A list that is being written.
enum Writing {
    Json(Object),
    Ndjson(Lines),
    Csv(Rows),
    Events(Events),
}

impl Writing {
    fn new(form: Form, register: &str) -> Self {
        match form {
            Form::Json => Self::Json(Object::new(register)),
            Form::Ndjson => Self::Ndjson(Lines::default()),
            Form::Csv => Self::Csv(Rows::default()),
            Form::Events => Self::Events(Events::new(register)),
        }
    }

    fn write(&mut self, out: &mut Vec<u8>, chunk: &ListChunk) -> io::Result<()> {
        let through = chunk.through_sequence;
        let consignments: Result<Vec<_>, _> = (chunk.consignments.iter())
            .map(Consignment::decode)
            .collect();
        let consignments = consignments.map_err(io::Error::other)?;
        match self {
            Self::Json(object) => object.write(out, &consignments, through),
            Self::Ndjson(lines) => lines.write(out, &consignments),
            // The header comes with the first row, or alone at the end.
            Self::Csv(_) if consignments.is_empty() => Ok(()),
            Self::Csv(rows) => rows.write(out, &consignments),
            Self::Events(events) => events.write(out, &consignments, through),
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Json(object) => object.finish(out),
            Self::Ndjson(_) | Self::Events(_) => Ok(()),
            Self::Csv(rows) => rows.write(out, &[]),
        }
    }

    /// The list breaks off. A body that ended as usual could be taken for the whole of it, so it does not, but for
    /// events, which are gone on with.
    fn fail(&mut self, out: &mut Vec<u8>, status: &Status) -> io::Result<()> {
        match self {
            Self::Events(_) => Events::end(out, status),
            _ => Err(io::Error::other(status.message().to_owned())),
        }
    }
}

/// One JSON object with the consignments in it, one of them a line.
struct Object {
    lines: Lines,
    register: String,
    begun: bool,
    is_first: bool,
    through: u64,
}

impl Object {
    fn new(register: &str) -> Self {
        Self {
            lines: Lines::default(),
            register: register.to_owned(),
            begun: false,
            is_first: true,
            through: 0,
        }
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        consignments: &[Consignment],
        through: u64,
    ) -> io::Result<()> {
        use std::io::Write as _;

        if !self.begun {
            self.begun = true;
            // A register's id has nothing in it that JSON would write otherwise.
            writeln!(
                out,
                "{{\"register\":\"{}\",\"consignments\":[",
                self.register
            )?;
        }
        for consignment in consignments {
            if !self.is_first {
                out.push(b',');
            }
            self.is_first = false;
            self.lines.write(out, std::slice::from_ref(consignment))?;
        }
        self.through = through;
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        use std::io::Write as _;

        let through = self.through;
        self.write(out, &[], through)?;
        writeln!(out, "],\"through_sequence\":\"{through}\"}}")
    }
}
