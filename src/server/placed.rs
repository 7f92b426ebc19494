//! A reply's body, as it is handed over.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Code, Status};

use super::{
    calls::Call,
    guard::Pass,
    limits::REPLY_PIECE,
    line::{End, Line, Waiting},
    seats::{Busy, Seat},
};

/// A reply's body, which keeps its request's place, where it is not small, until it has been handed over or its peer has
/// gone: until then it takes memory, however slowly it is read. It is handed over in pieces, as HTTP/2 takes a piece of any size into its
/// buffers.
pub(super) struct Placed {
    body: Body,
    rest: Bytes,
    /// What was handed over last has not been read, as it seems; those of its sort for which that is so.
    unread: Option<Waiting>,
    is_grpc: bool,
    call: Call,
    held: Held,
}

/// What a request has as long as its reply is not over.
pub(super) struct Held {
    pub(super) _place: Option<OwnedSemaphorePermit>,
    pub(super) _busy: Busy,
    /// Those of its sort whose peers have not read what they were sent.
    pub(super) unread: Arc<Line>,
    pub(super) most_unread: usize,
    pub(super) seat: Arc<Seat>,
    /// Where its caller may be denied the rest of the reply.
    pub(super) pass: Option<Pass>,
}

impl Placed {
    /// `body`, whose request is `call` and has `held`.
    pub(super) fn new(body: Body, is_grpc: bool, call: Call, held: Held) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            unread: None,
            is_grpc,
            call,
            held,
        }
    }

    fn next_piece(&mut self) -> Frame<Bytes> {
        let length = self.rest.len().min(REPLY_PIECE);
        if let Some(entry) = self.call.entry() {
            entry.sends(length);
        }
        // HTTP/2 asks for the next once it can send it.
        let held = &self.held;
        let end = End::Closed(Arc::clone(&held.seat));
        self.unread = Some(held.unread.join_within(held.most_unread, end));
        Frame::data(self.rest.split_to(length))
    }
}

impl HttpBody for Placed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.unread = None;
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.next_piece())));
        }
        if let Some(Err(refusal)) = self.held.pass.as_mut().map(Pass::holds) {
            self.held.pass = None;
            self.body = Body::empty();
            self.call.becomes(refusal.code());
            if !self.is_grpc {
                // It must not end as if that were all.
                return Poll::Ready(Some(Err(axum::Error::new(refusal))));
            }
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(match refusal.add_header(&mut trailers) {
                Ok(()) => Ok(Frame::trailers(trailers)),
                Err(unsayable) => Err(axum::Error::new(unsayable)),
            }));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            ended => {
                if !self.is_grpc {
                    let is_whole = ended.is_none();
                    self.call.becomes(if is_whole {
                        Code::Ok
                    } else {
                        Code::Unavailable
                    });
                }
                return Poll::Ready(ended);
            }
        };
        if let Some(code) = frame.trailers_ref().and_then(code) {
            self.call.becomes(code);
        }
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                self.next_piece()
            }
            Err(trailers) => trailers,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    /// Of what can be denied in the middle it is not known how long it gets.
    fn size_hint(&self) -> SizeHint {
        if self.is_grpc || self.held.pass.is_some() || !self.rest.is_empty() {
            return SizeHint::default();
        }
        self.body.size_hint()
    }
}

/// The status in headers or trailers.
pub(super) fn code(headers: &HeaderMap) -> Option<Code> {
    let status = headers.get(Status::GRPC_STATUS)?;
    Some(Code::from_bytes(status.as_bytes()))
}
