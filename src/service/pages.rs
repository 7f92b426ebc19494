//! What a list sends, chunk by chunk.

use std::{sync::Arc, time::Duration};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::statuses::status;
use crate::{
    proto::{CHUNK_BYTES, CHUNK_RECORDS, ListChunk},
    store::{Page, Scan, Store, StoreError},
};

/// How long a followed list stays silent at most: well below the shortest time after which a client gives up.
const HEARTBEAT: Duration = Duration::from_millis(1_500);

/// Pages that are read ahead at most, beside the one that is being sent.
const PAGES_AHEAD: usize = 3;
/// How many of them are missing before they are read, so that reader and connection do not wake each other for each.
const PAGES_MISSING: usize = 2;
/// Lists that read ahead at once. More than that share the same cores and are no faster for it, and each would hold what it
/// has read as long as its receiver is slow.
pub(super) const READ_AHEAD: usize = 32;

/// What a list still has to send.
pub(super) struct Pages {
    store: Arc<dyn Store>,
    /// Places for those that read ahead.
    places: Arc<Semaphore>,
    /// What is left to take.
    scan: Scan,
    /// Present when it goes on after what was stored when it began.
    follower: Option<Follower>,
    state: State,
    /// What was read and not sent.
    chunks: std::vec::IntoIter<ListChunk>,
    /// The pages after them, as long as there are some.
    ahead: Option<Ahead>,
}

/// What is read while what came before is sent: never more than some pages, so what a list keeps does not grow when its
/// receiver is slow.
struct Ahead {
    pages: mpsc::Receiver<Page>,
    reading: AbortOnDropHandle<Result<(), StoreError>>,
    _place: OwnedSemaphorePermit,
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
        places: Arc<Semaphore>,
        scan: Scan,
        follower: Option<Follower>,
    ) -> Self {
        Self {
            store,
            places,
            scan,
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
        let page = match &mut self.ahead {
            Some(ahead) => ahead.next().await,
            None => self.read().await,
        };
        let page = page.map_err(|error| status(&error))?;
        self.pass(&page);
        self.chunks = chunks(&page).into_iter();
        Ok(self.chunks.next())
    }

    /// The next page, when none is read ahead. A task reads it, as a scan that waits for its turn must not keep it while
    /// nobody looks: the list's receiver may be slow.
    async fn read(&self) -> Result<Page, StoreError> {
        let (store, scan) = (Arc::clone(&self.store), self.scan.clone());
        let reading = tokio::spawn(async move { store.scan(&scan).await });
        let page = AbortOnDropHandle::new(reading).await;
        page.unwrap_or_else(|panic| Err(StoreError::Engine(Arc::new(panic))))
    }

    /// Goes on after `page`.
    fn pass(&mut self, page: &Page) {
        let goes_on = self.scan.pass(page);
        self.state = match &self.follower {
            _ if goes_on => State::Reading,
            Some(_) if self.scan.limit > 0 => State::CaughtUp,
            _ => State::Done,
        };
        if !goes_on {
            self.ahead = None;
        } else if self.ahead.is_none() {
            let place = Arc::clone(&self.places).try_acquire_owned().ok();
            self.ahead = place.map(|place| Ahead::begin(&self.store, self.scan.clone(), place));
        }
    }
}

impl Ahead {
    /// Begins to read what `scan` asks `store` for, on a task as [`Pages::read`] does.
    fn begin(store: &Arc<dyn Store>, mut scan: Scan, place: OwnedSemaphorePermit) -> Self {
        let (sender, pages) = mpsc::channel(PAGES_AHEAD);
        let store = Arc::clone(store);
        let reading = async move {
            // An error says that nobody takes them any more.
            while let Ok(room) = sender.reserve_many(PAGES_MISSING).await {
                drop(room);
                match store.scan_on(scan, &sender).await? {
                    Some(rest) => scan = rest,
                    None => break,
                }
            }
            Ok(())
        };
        Self {
            pages,
            reading: AbortOnDropHandle::new(tokio::spawn(reading)),
            _place: place,
        }
    }

    async fn next(&mut self) -> Result<Page, StoreError> {
        if let Some(page) = self.pages.recv().await {
            return Ok(page);
        }
        let ended = (&mut self.reading).await;
        ended.unwrap_or_else(|panic| Err(StoreError::Engine(Arc::new(panic))))?;
        Err(StoreError::Closed)
    }
}

/// `page` in chunks, at least one.
fn chunks(page: &Page) -> Vec<ListChunk> {
    let records = &page.records;
    let chunk = |range, through_sequence| ListChunk {
        consignments: records.listed(range),
        through_sequence,
    };
    let mut chunks = Vec::new();
    let (mut first, mut bytes, mut last) = (0, 0, 0);
    for (at, (sequence, length)) in records.lengths().enumerate() {
        if bytes >= CHUNK_BYTES || at - first == CHUNK_RECORDS {
            chunks.push(chunk(first..at, last));
            (first, bytes) = (at, 0);
        }
        bytes += length;
        last = sequence;
    }
    chunks.push(chunk(first..records.len(), page.through));
    chunks
}
