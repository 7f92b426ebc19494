//! Connections that only read, each used by one scan at a time.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::{connect::connect, index::Lookup, leaves::Leaves, settled::Settled, store_error};
use crate::store::StoreError;

/// Readers at work at once; more would only share the same cores and each keeps a page cache.
const READERS: u32 = 4;
/// Each reader's page cache in KiB. A list reads each page once, so a larger one would only hold memory.
const READER_CACHE_KIB: i64 = 512;

/// What a scan reads with.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) register: Connection,
    /// Opened by the first scan that asks the filter index.
    pub(super) index: Option<Lookup>,
    pub(super) leaves: Leaves,
}

/// The readers that nobody uses at the moment, and room for those that may be at work.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    pub(super) settled: Arc<Settled>,
    idle: Mutex<Vec<Reader>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// Of the register at `path`.
    pub(super) fn new(path: PathBuf, settled: Arc<Settled>) -> Self {
        Self {
            path,
            settled,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(READERS as usize)),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `act` reads, on a thread where it may block.
    pub(super) async fn read<T: Send + 'static>(
        self: Arc<Self>,
        act: impl FnOnce(&mut Reader) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        tokio::task::spawn_blocking(move || {
            // The scan goes on when nobody waits for it any more, so it keeps the permit itself.
            let _permit = permit;
            let idle = self.idle().pop();
            let mut reader = idle.map_or_else(|| self.connect(), Ok)?;
            let result = act(&mut reader);
            self.idle().push(reader);
            result
        })
        .await
        .map_err(|panic| StoreError::Engine(Arc::new(panic)))?
        .map_err(store_error)
    }

    /// Waits for the scans under way and refuses those that come later.
    pub(super) async fn close(&self) {
        let all = self.permits.acquire_many(READERS).await;
        self.permits.close();
        drop(all);
        self.idle().clear();
    }

    fn connect(&self) -> rusqlite::Result<Reader> {
        let register = connect(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        register.pragma_update(None, "query_only", true)?;
        register.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
        Ok(Reader {
            register,
            index: None,
            leaves: Leaves::new(Arc::clone(&self.settled)),
        })
    }
}
