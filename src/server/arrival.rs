//! Messages on their way in, and small bodies over HTTP. A request takes a place only once what it sends is there, so that
//! those who send slowly keep nobody out.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, timeout},
};
use tonic::Status;

use super::{
    counts::Refused,
    limits::{Limits, MESSAGES_BYTES, REQUEST_TIMEOUT},
    line::{End, Line, Waiting},
};
use crate::service;

/// What comes before each message of gRPC: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// A message up to here is not counted among those that take memory: as many as may be on their way in take less than
/// the rest together.
const SMALL_BYTES: usize = 4 * 1024;

/// What is on its way in.
pub(super) struct Arrival {
    /// As many as may be on their way at once.
    most: usize,
    line: Arc<Line>,
    message_bytes: usize,
    /// What they may take together.
    memory: Arc<Semaphore>,
}

/// A message that is there, and its share of the memory.
#[derive(Default)]
pub(super) struct Arrived {
    pub(super) message: Bytes,
    pub(super) share: Option<OwnedSemaphorePermit>,
}

/// Why one will not be there.
pub(super) enum Missing {
    Refused(Refused),
    /// It broke off, as this says.
    Broken(String),
}

impl Arrival {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            most: limits.requests,
            line: Arc::default(),
            message_bytes: limits.message_bytes,
            memory: Arc::new(Semaphore::new(MESSAGES_BYTES.max(limits.message_bytes))),
        }
    }

    /// How large one may be.
    pub(super) fn message_bytes(&self) -> usize {
        self.message_bytes
    }

    /// All of `body`: of a call of gRPC its one message, with its prefix.
    ///
    /// # Errors
    ///
    /// When it does not come, or is not taken.
    pub(super) async fn wait(
        &self,
        mut body: impl HttpBody<Data = Bytes, Error: fmt::Display> + Unpin,
        is_grpc: bool,
    ) -> Result<Arrived, Missing> {
        let mut arrived = Arrived::default();
        // As a rule it is there with the headers.
        if let Some(all) = self.read(&mut body, is_grpc, &mut arrived).now_or_never() {
            return all.map(|()| arrived);
        }
        let (told, ended) = oneshot::channel();
        let _waiting = self.line.join_within(self.most, End::Told(told));
        let reading = self.read(&mut body, is_grpc, &mut arrived);
        tokio::select! {
            all = timeout(REQUEST_TIMEOUT, reading) => {
                all.unwrap_or(Err(Missing::Refused(Refused::Time)))?;
            }
            _ = ended => return Err(Missing::Refused(Refused::Slow)),
        }
        Ok(arrived)
    }

    /// Reads the rest of `body` into `arrived`, from where it was left.
    async fn read(
        &self,
        body: &mut (impl HttpBody<Data = Bytes, Error: fmt::Display> + Unpin),
        is_grpc: bool,
        arrived: &mut Arrived,
    ) -> Result<(), Missing> {
        while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            let frame = frame.map_err(|error| Missing::Broken(error.to_string()))?;
            if let Ok(data) = frame.into_data() {
                self.add(arrived, data).map_err(Missing::Refused)?;
                if is_grpc {
                    self.check_announced(&arrived.message)
                        .map_err(Missing::Refused)?;
                }
            }
        }
        Ok(())
    }

    fn add(&self, arrived: &mut Arrived, data: Bytes) -> Result<(), Refused> {
        let length = arrived.message.len() + data.len();
        if length > self.message_bytes + PREFIX_BYTES {
            return Err(Refused::Size);
        }
        if length > SMALL_BYTES {
            let share = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let share = Arc::clone(&self.memory).try_acquire_many_owned(share);
            let share = share.map_err(|_| Refused::Memory)?;
            match &mut arrived.share {
                Some(all) => all.merge(share),
                none => *none = Some(share),
            }
        }
        arrived.message = if arrived.message.is_empty() {
            data
        } else {
            // Nobody else has it, so that it is only made longer.
            let mut message = BytesMut::from(std::mem::take(&mut arrived.message));
            message.extend_from_slice(&data);
            message.freeze()
        };
        Ok(())
    }

    /// A message says how long it will be, so that what is too long need not be waited for.
    fn check_announced(&self, message: &[u8]) -> Result<(), Refused> {
        match message.first_chunk::<PREFIX_BYTES>() {
            Some([_, a, b, c, d]) => {
                let announced = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d]));
                let fits = announced.is_ok_and(|length| length <= self.message_bytes);
                fits.then_some(()).ok_or(Refused::Size)
            }
            None => Ok(()),
        }
    }
}

/// What comes at less than this, in bytes a second, counts as not coming: a single byte now and then must hold no place.
/// Telephone networks are faster.
const LEAST_RATE: u32 = 16 * 1024;
/// What is remembered of a time without a byte once there are some again: 160 KiB make up for it.
const MOST_OWED: Duration = Duration::from_secs(10);

/// Messages that come one after the other, of which the sender is ended when it sends next to nothing and others want its
/// place.
pub(super) struct Fed<B> {
    body: B,
    line: Arc<Line>,
    /// For how long it was waited for, less what the bytes that came may take. While the server does not read, nothing is
    /// waited for.
    owed: Duration,
    silent: Option<(Waiting, oneshot::Receiver<()>)>,
}

impl<B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Unpin + Send + 'static> Fed<B> {
    pub(super) fn body(body: B, line: Arc<Line>) -> Body {
        Body::new(Self {
            body,
            line,
            owed: Duration::ZERO,
            silent: None,
        })
    }
}

impl<B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Unpin> HttpBody for Fed<B> {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        // One that was told to end does, also where something has come since.
        if let Some((_, ended)) = &mut this.silent
            && ended.poll_unpin(context).is_ready()
        {
            return Poll::Ready(Some(Err(service::overloaded().into())));
        }
        let polled = Pin::new(&mut this.body).poll_frame(context);
        if let Poll::Ready(frame) = &polled {
            if let Some((waiting, _)) = this.silent.take() {
                this.owed = waiting.elapsed().min(MOST_OWED);
            }
            if let Some(data) = frame
                .as_ref()
                .and_then(|frame| frame.as_ref().ok()?.data_ref())
            {
                let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
                let takes = Duration::from_secs(1) * bytes / LEAST_RATE;
                this.owed = this.owed.saturating_sub(takes);
            }
            return polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)));
        }
        let (line, owed) = (&this.line, this.owed);
        let (_, ended) = this.silent.get_or_insert_with(|| {
            let (told, ended) = oneshot::channel();
            let now = Instant::now();
            let since = now.checked_sub(owed).unwrap_or(now);
            (line.join_since(since, End::Told(told)), ended)
        });
        let _ = ready!(ended.poll_unpin(context));
        let refusal: Status = service::overloaded();
        Poll::Ready(Some(Err(refusal.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};
    use std::convert::Infallible;

    use super::*;

    const LIMITS: usize = 64 * 1024;

    fn arrival() -> Arrival {
        Arrival::new(&Limits {
            requests: 1,
            message_bytes: LIMITS,
            ..Limits::default()
        })
    }

    fn message(length: usize) -> Vec<u8> {
        let announced = u32::try_from(length).unwrap().to_be_bytes();
        [&[0], &announced[..], &vec![7; length]].concat()
    }

    fn in_pieces(
        bytes: &[u8],
        size: usize,
    ) -> impl HttpBody<Data = Bytes, Error = Infallible> + Unpin {
        let pieces: Vec<_> = (bytes.chunks(size))
            .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        StreamBody::new(futures_util::stream::iter(pieces))
    }

    fn refused(taken: Result<Arrived, Missing>) -> Option<Refused> {
        match taken.err()? {
            Missing::Refused(refused) => Some(refused),
            Missing::Broken(_) => None,
        }
    }

    #[tokio::test]
    async fn a_message_is_whole_in_whatever_pieces_it_came() {
        for size in [1, 3, 4096, LIMITS * 2] {
            let sent = message(LIMITS);
            let arrived = arrival().wait(in_pieces(&sent, size), true).await;
            assert_eq!(arrived.ok().unwrap().message, sent, "{size}");
        }
    }

    #[tokio::test]
    async fn what_is_too_long_or_says_that_it_will_be_is_not_waited_for() {
        let long = message(LIMITS + 1);
        for sent in [&long[..PREFIX_BYTES], &long] {
            let taken = arrival()
                .wait(Full::new(Bytes::copy_from_slice(sent)), true)
                .await;
            assert_eq!(refused(taken), Some(Refused::Size));
        }
        let trailing = [message(LIMITS), vec![0; 1]].concat();
        let taken = arrival().wait(in_pieces(&trailing, 1000), true).await;
        assert_eq!(refused(taken), Some(Refused::Size));
    }

    #[tokio::test]
    async fn a_body_begins_with_what_it_likes() {
        let sent = vec![b'{'; LIMITS];
        let arrived = arrival().wait(in_pieces(&sent, 1000), false).await;
        assert_eq!(arrived.ok().unwrap().message, sent);
        let taken = arrival().wait(in_pieces(&sent, 1000), true).await;
        assert_eq!(refused(taken), Some(Refused::Size));
    }

    #[tokio::test]
    async fn all_together_take_no_more_memory_than_they_may() {
        let arrival = arrival();
        let mut taken = Vec::new();
        // Their prefixes take what one more would.
        for _ in 1..MESSAGES_BYTES / LIMITS {
            taken.push(
                arrival
                    .wait(in_pieces(&message(LIMITS), 9999), true)
                    .await
                    .ok()
                    .unwrap(),
            );
        }
        let more = arrival.wait(in_pieces(&message(LIMITS), 9999), true).await;
        assert_eq!(refused(more), Some(Refused::Memory));
        taken.pop();
        let more = arrival
            .wait(in_pieces(&message(LIMITS / 2), 9999), true)
            .await;
        assert!(more.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_a_byte_now_and_then_counts_as_silent_and_who_sends_enough_does_not() {
        const EVERY: Duration = Duration::from_millis(200);
        for (size, is_slow) in [(1, true), (4 * 1024, false)] {
            let line = Arc::<Line>::default();
            let pieces = futures_util::stream::unfold((), move |()| async move {
                tokio::time::sleep(EVERY).await;
                let piece = Bytes::from(vec![7; size]);
                Some((Ok::<_, Infallible>(Frame::data(piece)), ()))
            });
            let body = StreamBody::new(Box::pin(pieces));
            let mut fed = Fed::body(body, Arc::clone(&line));
            let reading = tokio::spawn(async move {
                while let Some(frame) =
                    poll_fn(|context| Pin::new(&mut fed).poll_frame(context)).await
                {
                    if frame.is_err() {
                        return;
                    }
                }
            });
            tokio::time::sleep(11 * EVERY).await;
            assert_eq!(line.end_first(5 * EVERY), is_slow, "{size}");
            tokio::time::sleep(EVERY).await;
            assert_eq!(reading.is_finished(), is_slow, "{size}");
            reading.abort();
        }
    }

    #[tokio::test]
    async fn the_slowest_gives_way_to_the_next() {
        let arrival = Arc::new(arrival());
        let slow = || {
            let arrival = Arc::clone(&arrival);
            let never = StreamBody::new(futures_util::stream::pending::<Result<_, Infallible>>());
            tokio::spawn(async move { arrival.wait(never, true).await })
        };
        let first = slow();
        tokio::task::yield_now().await;
        let second = slow();
        assert_eq!(refused(first.await.unwrap()), Some(Refused::Slow));
        assert!(!second.is_finished());
    }
}
