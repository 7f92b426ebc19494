//! What a list sends, chunk by chunk.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::watch;
use tonic::Status;

use super::statuses::status;
use crate::{
    consignment,
    proto::ListChunk,
    store::{Receipt, Scan, Store, StoreError, StoredConsignment},
};

/// How long a followed list stays silent at most: well below the shortest time after which a client gives up.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// What a list still has to send.
pub(super) struct Pages {
    store: Arc<dyn Store>,
    scan: Scan,
    remaining: usize,
    /// Present when it goes on after what was stored when it began.
    follower: Option<Follower>,
    state: State,
}

/// How far a list has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is more to read.
    Reading,
    /// All that was stored has been sent; it waits for more.
    CaughtUp,
    Done,
}

/// What a followed list waits for.
pub(super) struct Follower {
    pub(super) newest: watch::Receiver<u64>,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Follower {
    /// Waits for what comes after the sequence number `known`; the newest by then, which is `known` when there was
    /// nothing for long enough to say so.
    async fn next(&mut self, known: u64) -> Result<u64, Status> {
        let grown = self.newest.wait_for(|newest| *newest > known);
        tokio::select! {
            newest = tokio::time::timeout(HEARTBEAT, grown) => match newest {
                Ok(Ok(newest)) => Ok(*newest),
                Ok(Err(_)) => Err(status(&StoreError::Closed)),
                Err(_) => Ok(known),
            },
            // Its sender being gone means the same.
            _ = self.stopping.wait_for(|stopping| *stopping) => Err(status(&StoreError::Closed)),
        }
    }
}

impl Pages {
    pub(super) fn new(
        store: Arc<dyn Store>,
        scan: Scan,
        limit: usize,
        follower: Option<Follower>,
    ) -> Self {
        Self {
            store,
            scan,
            remaining: limit,
            follower,
            state: State::Reading,
        }
    }

    /// The next chunk. There is always one, so that its receiver learns how far the register was searched.
    pub(super) async fn next(&mut self) -> Result<Option<ListChunk>, Status> {
        if let (State::CaughtUp, Some(follower)) = (self.state, &mut self.follower) {
            self.scan.through = follower.next(self.scan.after).await?;
        }
        if self.state == State::Done {
            return Ok(None);
        }
        self.scan.limit = self.remaining;
        let page = self.store.scan(&self.scan).await;
        let page = page.map_err(|error| status(&error))?;
        self.remaining -= page.records.len();
        if self.scan.newest_first {
            self.scan.through = page.through.saturating_sub(1);
        } else {
            self.scan.after = page.through;
        }
        self.state = match &self.follower {
            _ if self.remaining == 0 => State::Done,
            _ if !page.is_last => State::Reading,
            Some(_) => State::CaughtUp,
            None => State::Done,
        };
        Ok(Some(ListChunk {
            consignments: page.records.iter().map(encode).collect(),
            through_sequence: page.through,
        }))
    }
}

fn encode(record: &StoredConsignment) -> Bytes {
    let Receipt {
        sequence,
        created_at,
    } = record.receipt;
    consignment::with_server_fields(&record.body, sequence, consignment::timestamp(created_at))
}
