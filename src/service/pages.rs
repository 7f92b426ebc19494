//! What a list sends, chunk by chunk.

use std::{sync::Arc, time::Duration};

use prometheus_client::metrics::gauge::Gauge;
use tokio::{sync::watch, task::JoinHandle};
use tonic::Status;

use super::statuses::status;
use crate::{
    proto::{CHUNK_BYTES, CHUNK_RECORDS, ListChunk},
    store::{Page, Scan, Store, StoreError},
};

/// How long a followed list stays silent at most: well below the shortest time after which a client gives up.
const HEARTBEAT: Duration = Duration::from_millis(1_500);

/// What a list still has to send.
pub(super) struct Pages {
    store: Arc<dyn Store>,
    /// What has not been asked of the store.
    scan: Scan,
    remaining: usize,
    /// Present when it goes on after what was stored when it began.
    follower: Option<Follower>,
    state: State,
    /// What was read and not sent.
    chunks: std::vec::IntoIter<ListChunk>,
    /// The page after it. It is read while the one before is sent, and never more than this one, so what a list keeps
    /// does not grow when its receiver is slow.
    ahead: Option<JoinHandle<Result<Page, StoreError>>>,
}

/// How far a list has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is more to read.
    Reading,
    /// All that was stored has been read; it waits for more.
    CaughtUp,
    Done,
}

/// What a followed list waits for.
pub(super) struct Follower {
    pub(super) newest: watch::Receiver<u64>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) _counted: Counted,
}

/// One that is counted as long as it lasts.
pub(super) struct Counted(Gauge);

impl Counted {
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
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
            chunks: Vec::new().into_iter(),
            ahead: None,
        }
    }

    /// The next chunk. There is always one, so that its receiver learns how far the register was searched.
    pub(super) async fn next(&mut self) -> Result<Option<ListChunk>, Status> {
        if let Some(chunk) = self.chunks.next() {
            return Ok(Some(chunk));
        }
        if let (State::CaughtUp, Some(follower)) = (self.state, &mut self.follower) {
            self.scan.through = follower.next(self.scan.after).await?;
        }
        if self.state == State::Done {
            return Ok(None);
        }
        let page = self.read().await?;
        self.pass(&page);
        if self.state == State::Reading {
            self.read_ahead();
        }
        self.chunks = chunks(&page).into_iter();
        Ok(self.chunks.next())
    }

    /// The next page, which may be on its way.
    async fn read(&mut self) -> Result<Page, Status> {
        let page = if let Some(page) = self.ahead.take() {
            (page.await).unwrap_or_else(|panic| Err(StoreError::Engine(Arc::new(panic))))
        } else {
            self.scan.limit = self.remaining;
            self.store.scan(&self.scan).await
        };
        page.map_err(|error| status(&error))
    }

    /// Goes on after `page`.
    fn pass(&mut self, page: &Page) {
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
    }

    /// Lets the next page be read meanwhile. A task does so, as a scan that waits for its turn must not keep it while
    /// nobody looks: its receiver may be slow.
    fn read_ahead(&mut self) {
        self.scan.limit = self.remaining;
        let (store, scan) = (Arc::clone(&self.store), self.scan.clone());
        self.ahead = Some(tokio::spawn(async move { store.scan(&scan).await }));
    }
}

/// `page` in chunks, at least one.
fn chunks(page: &Page) -> Vec<ListChunk> {
    let mut left = page.records.len();
    let mut chunks = Vec::new();
    let mut chunk = ListChunk::default();
    let mut bytes = 0;
    for (sequence, encoded) in page.records.listed() {
        if bytes >= CHUNK_BYTES || chunk.consignments.len() == CHUNK_RECORDS {
            chunks.push(std::mem::take(&mut chunk));
            bytes = 0;
        }
        if chunk.consignments.is_empty() {
            chunk.consignments.reserve_exact(left.min(CHUNK_RECORDS));
        }
        left -= 1;
        bytes += encoded.len();
        chunk.through_sequence = sequence;
        chunk.consignments.push(encoded);
    }
    chunk.through_sequence = page.through;
    chunks.push(chunk);
    chunks
}
