//! A list under way, which goes on where it stood when a connection breaks.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::Streaming;

use super::{Client, ClientError, Service, ShippingServiceClient, error};
use crate::proto::{ListChunk, ListRequest, Position};

/// How long a followed list may be silent at least before it is given up: three of the server's signs of life.
pub(super) const FOLLOW_PATIENCE: Duration = Duration::from_secs(5);

/// A list under way.
pub struct Listing<'c> {
    client: &'c mut Client,
    /// What is still to come.
    request: ListRequest,
    stream: Option<Streaming<ListChunk>>,
    ended: bool,
}

impl<'c> Listing<'c> {
    pub(super) fn new(client: &'c mut Client, request: ListRequest) -> Self {
        Self {
            client,
            request,
            stream: None,
            ended: false,
        }
    }

    /// The next chunk; `None` at the end. A broken connection is made again, to the same register, and the list goes
    /// on after the last chunk without a gap or a repeat.
    ///
    /// # Errors
    ///
    /// [`ClientError`]. Chunks that came before are good; a list of the rest can be asked for after the last.
    pub async fn next(&mut self) -> Result<Option<ListChunk>, ClientError> {
        let begun = Instant::now();
        let deadline = if self.request.follow {
            (self.client.deadline()).max(begun + FOLLOW_PATIENCE)
        } else {
            self.client.deadline()
        };
        while !self.ended {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                none => none.insert(open(self.client, deadline, &self.request).await?),
            };
            let until = self.client.patience().min(deadline);
            let reason = match timeout_at(until, stream.message()).await {
                Ok(Ok(Some(chunk))) => {
                    self.advance(&chunk);
                    return Ok(Some(chunk));
                }
                Ok(Ok(None)) => {
                    self.ended = true;
                    break;
                }
                Ok(Err(status)) if error::is_worth_repeating(&status) => self.client.heed(&status),
                Ok(Err(status)) => return Err(ClientError::from_status(status)),
                Err(_) => "nothing came in time".into(),
            };
            self.stream = None;
            self.client.give_up(reason, begun, deadline).await?;
        }
        Ok(None)
    }

    fn advance(&mut self, chunk: &ListChunk) {
        let reached = Some(Position {
            register: self.client.register.clone().unwrap_or_default(),
            sequence: chunk.through_sequence,
        });
        if self.request.newest_first {
            self.request.before = reached;
        } else {
            self.request.after = reached;
        }
        if self.request.limit > 0 {
            self.request.limit =
                (self.request.limit).saturating_sub(chunk.consignments.len() as u64);
            // A limit of 0 would mean none.
            self.ended = self.request.limit == 0;
        }
    }
}

async fn open(
    client: &mut Client,
    deadline: Instant,
    request: &ListRequest,
) -> Result<Streaming<ListChunk>, ClientError> {
    let act = async |service: Service| {
        let mut client = ShippingServiceClient::new(service);
        client.list_consignments(request.clone()).await
    };
    Ok(client.call(deadline, act).await?.into_inner())
}
