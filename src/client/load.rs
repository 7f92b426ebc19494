//! A bulk load under way, which sends again what was not answered when a connection breaks.

use std::{collections::VecDeque, future::pending};

use futures_util::stream;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tonic::{Status, Streaming};

use super::{Client, ClientError, Service, ShippingServiceClient, error};
use crate::proto::{CreateChunk, Outcome, OutcomeChunk};

/// Most chunks that are sent and not yet answered. What a broken connection leaves in doubt is no more than these.
pub const LOAD_WINDOW: usize = 16;

/// A bulk load under way.
pub struct Load<'c> {
    client: &'c mut Client,
    chunks: mpsc::Receiver<CreateChunk>,
    /// Whether another chunk may come.
    is_open: bool,
    /// Not yet answered, in order.
    unanswered: VecDeque<CreateChunk>,
    connection: Option<Connection>,
}

/// One call under way.
struct Connection {
    /// Dropped to say that no chunk comes any more.
    sender: Option<mpsc::Sender<CreateChunk>>,
    outcomes: Streaming<OutcomeChunk>,
}

/// What happened next.
enum Event {
    Chunk(Option<CreateChunk>),
    Answer(Result<Option<OutcomeChunk>, Status>),
    Late,
}

impl<'c> Load<'c> {
    pub(super) fn new(client: &'c mut Client, chunks: mpsc::Receiver<CreateChunk>) -> Self {
        Self {
            client,
            chunks,
            is_open: true,
            unanswered: VecDeque::new(),
            connection: None,
        }
    }

    /// The outcomes of the next chunk, in the order of sending; `None` once there are no more chunks and all have been
    /// answered. A broken connection is made again, to the same register, and what was not answered is sent again: of
    /// such a consignment the outcome may be that it is there already.
    ///
    /// # Errors
    ///
    /// [`ClientError`]. What was answered before is stored; of the next [`LOAD_WINDOW`] chunks any may be stored.
    pub async fn next(&mut self) -> Result<Option<Vec<Outcome>>, ClientError> {
        let begun = Instant::now();
        let mut deadline = self.client.deadline();
        let mut patience = self.client.patience();
        while self.is_open || !self.unanswered.is_empty() {
            if self.connection.is_none() && !self.unanswered.is_empty() {
                self.open(deadline).await?;
                patience = self.client.patience();
            }
            let reason = match self.event(patience.min(deadline)).await {
                Event::Chunk(Some(chunk)) => {
                    if self.unanswered.is_empty() {
                        // Until now there was nothing to answer.
                        deadline = self.client.deadline();
                        patience = self.client.patience();
                    }
                    self.send(chunk);
                    continue;
                }
                Event::Chunk(None) => {
                    self.is_open = false;
                    self.half_close();
                    continue;
                }
                Event::Answer(Ok(Some(OutcomeChunk { outcomes }))) => {
                    let sent = self.unanswered.pop_front().unwrap_or_default();
                    if sent.consignments.len() != outcomes.len() {
                        let status = Status::internal("it answered for other chunks");
                        return Err(ClientError::Failed(status));
                    }
                    return Ok(Some(outcomes));
                }
                Event::Answer(Ok(None)) => "it ended before it had answered for all".into(),
                Event::Answer(Err(status)) if error::is_worth_repeating(&status) => {
                    self.client.heed(&status)
                }
                Event::Answer(Err(status)) => return Err(ClientError::from_status(status)),
                Event::Late => "nothing came in time".into(),
            };
            self.connection = None;
            self.client.give_up(reason, begun, deadline).await?;
        }
        Ok(None)
    }

    async fn event(&mut self, until: Instant) -> Event {
        let takes = self.is_open && self.unanswered.len() < LOAD_WINDOW;
        let waits = !self.unanswered.is_empty();
        let answer = async {
            match &mut self.connection {
                Some(connection) => connection.outcomes.message().await,
                None => pending().await,
            }
        };
        tokio::select! {
            answer = answer, if waits => Event::Answer(answer),
            chunk = self.chunks.recv(), if takes => Event::Chunk(chunk),
            () = sleep_until(until), if waits => Event::Late,
        }
    }

    fn send(&mut self, chunk: CreateChunk) {
        if let Some(sender) = self.connection.as_ref().and_then(|one| one.sender.as_ref()) {
            // There is room for the whole window; where nobody takes it any more, the answers will say so.
            let _ = sender.try_send(chunk.clone());
        }
        self.unanswered.push_back(chunk);
    }

    fn half_close(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.sender = None;
        }
    }

    /// Opens a call and sends what was not answered.
    async fn open(&mut self, deadline: Instant) -> Result<(), ClientError> {
        let (unanswered, is_open) = (&self.unanswered, self.is_open);
        let act = async |service: Service| {
            let (sender, chunks) = mpsc::channel(LOAD_WINDOW);
            for chunk in unanswered {
                // There is room: it holds the whole window.
                let _ = sender.try_send(chunk.clone());
            }
            let chunks = stream::unfold(chunks, |mut chunks| async {
                Some((chunks.recv().await?, chunks))
            });
            let mut client = ShippingServiceClient::new(service);
            let outcomes = client.create_consignments(chunks).await?;
            let sender = is_open.then_some(sender);
            Ok(outcomes.map(|outcomes| Connection { sender, outcomes }))
        };
        let opened = self.client.call(deadline, act).await?;
        self.connection = Some(opened.into_inner());
        Ok(())
    }
}
