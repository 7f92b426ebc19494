//! A list under way, which goes on where it stood when a connection breaks.

use tokio::time::{Instant, timeout};
use tonic::Streaming;

use super::{Client, ClientError, Failure, ROUNDS, Service, ShippingServiceClient, error};
use crate::proto::{ListChunk, ListRequest, Position};

/// A list under way.
pub struct Listing<'c> {
    client: &'c mut Client,
    /// What is still to come.
    request: ListRequest,
    stream: Option<Streaming<ListChunk>>,
    ended: bool,
    /// How often the stream broke since it last brought something.
    broken: u32,
}

impl<'c> Listing<'c> {
    pub(super) fn new(client: &'c mut Client, request: ListRequest) -> Self {
        Self {
            client,
            request,
            stream: None,
            ended: false,
            broken: 0,
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
        while !self.ended {
            let limit = self.client.options.timeout;
            let stream = match &mut self.stream {
                Some(stream) => stream,
                none => none.insert(open(self.client, &self.request).await?),
            };
            let reason = match timeout(limit, stream.message()).await {
                Ok(Ok(Some(chunk))) => {
                    self.advance(&chunk);
                    return Ok(Some(chunk));
                }
                Ok(Ok(None)) => {
                    self.ended = true;
                    break;
                }
                Ok(Err(status)) if error::is_worth_repeating(&status) => error::describe(&status),
                Ok(Err(status)) => return Err(ClientError::from_status(status)),
                Err(_) => "nothing came in time".into(),
            };
            self.stream = None;
            self.broken += 1;
            if self.broken > ROUNDS {
                let failure = Failure {
                    address: self.client.address(),
                    reason,
                };
                return Err(ClientError::unanswered(vec![failure], begun.elapsed()));
            }
        }
        Ok(None)
    }

    fn advance(&mut self, chunk: &ListChunk) {
        self.broken = 0;
        self.request.after = Some(Position {
            register: self.client.register.clone().unwrap_or_default(),
            sequence: chunk.through_sequence,
        });
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
    request: &ListRequest,
) -> Result<Streaming<ListChunk>, ClientError> {
    let act = async |service: Service| {
        let mut client = ShippingServiceClient::new(service);
        client.list_consignments(request.clone()).await
    };
    Ok(client.call(act).await?.into_inner())
}
