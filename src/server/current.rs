//! What files say, kept up with while they are replaced: certificates are renewed and tokens taken back without a
//! restart.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, task::spawn_blocking, time::sleep};

use crate::causes::chain;

/// How often the files are looked at. A look is one system call a file.
const LOOK: Duration = Duration::from_secs(1);

/// What some files say now. Where they say nothing sound any more, what they said last counts.
pub struct Current<T> {
    /// What it is, for the log.
    what: &'static str,
    files: Vec<PathBuf>,
    load: Box<dyn Fn() -> anyhow::Result<T> + Send + Sync>,
    value: watch::Sender<Arc<T>>,
    /// The files as they were before they were read.
    read: Vec<Option<Stamp>>,
}

/// By what a file that was replaced or written to differs. A certificate and its key are often links into a folder that
/// is replaced as a whole, as in Kubernetes, so this is of the file that is linked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// `None` where there is no such file.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| Stamp::of(file)).collect()
}

impl<T: Send + Sync + 'static> Current<T> {
    /// Loads `what` with `load`, which reads `files` and no other.
    ///
    /// # Errors
    ///
    /// Those of `load`.
    pub fn load(
        what: &'static str,
        files: Vec<PathBuf>,
        load: impl Fn() -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let read = stamps(&files);
        let value = watch::Sender::new(Arc::new(load()?));
        Ok(Self {
            what,
            files,
            load: Box::new(load),
            value,
            read,
        })
    }

    /// What they say.
    pub(super) fn get(&self) -> Arc<T> {
        Arc::clone(&self.value.borrow())
    }

    /// Loads them again whenever they have changed. Never returns: being dropped ends it.
    pub(super) async fn keep_up(self: Arc<Self>) {
        let mut read = self.read.clone();
        let mut seen = read.clone();
        loop {
            sleep(LOOK).await;
            let now = self.look().await.unwrap_or_else(|_| seen.clone());
            // What is still being written, or of which a part is still to be replaced, changes again until the next look.
            if now == seen && now != read {
                read.clone_from(&now);
                self.load_again().await;
            }
            seen = now;
        }
    }

    /// On a thread of its own, as a network file system may not answer.
    async fn look(self: &Arc<Self>) -> io::Result<Vec<Option<Stamp>>> {
        let this = Arc::clone(self);
        Ok(spawn_blocking(move || stamps(&this.files)).await?)
    }

    async fn load_again(self: &Arc<Self>) {
        let this = Arc::clone(self);
        let loaded = spawn_blocking(move || (this.load)()).await;
        let what = self.what;
        match loaded.map_err(Into::into).flatten() {
            Ok(value) => {
                self.value.send_replace(Arc::new(value));
                tracing::info!("{what}: loaded again, as a file has changed");
            }
            Err(error) => tracing::error!(
                "{what}: a file has changed and cannot be used, so what was there before still counts: {}",
                chain(error.as_ref())
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    fn number(path: &Path) -> Arc<Current<u32>> {
        let file = path.to_owned();
        let load = move || Ok(fs::read_to_string(&file)?.trim().parse()?);
        Arc::new(Current::load("a number", vec![path.to_owned()], load).unwrap())
    }

    async fn becomes(current: &Current<u32>, expected: u32) {
        let mut values = current.value.subscribe();
        let wait = values.wait_for(|value| **value == expected);
        let became = timeout(Duration::from_secs(20), wait).await;
        assert!(became.is_ok(), "{}, not {expected}", current.get());
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_or_written_to_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        fs::write(&path, "1").unwrap();
        let current = number(&path);
        assert_eq!(*current.get(), 1);
        let keeping = tokio::spawn(Arc::clone(&current).keep_up());
        fs::write(&path, "22").unwrap();
        becomes(&current, 22).await;
        let next = folder.path().join("next");
        fs::write(&next, "33").unwrap();
        fs::rename(&next, &path).unwrap();
        becomes(&current, 33).await;
        keeping.abort();
    }

    #[tokio::test]
    async fn what_cannot_be_read_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        fs::write(&path, "1").unwrap();
        let current = number(&path);
        for broken in [Some("x"), None] {
            match broken {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            current.load_again().await;
            assert_eq!(*current.get(), 1);
        }
        fs::write(&path, "2").unwrap();
        current.load_again().await;
        assert_eq!(*current.get(), 2);
    }
}
