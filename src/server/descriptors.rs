//! The files that the process may have open, each connection being one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::workers;
use crate::registry::mdns::SOCKETS_MAX;

/// What is open beside connections and what is counted for itself: the store's files or connections, the registry's.
const OTHERS: u64 = 96;
/// What a runtime has open: its selector, twice, what wakes it, and what tells it of signals.
const PER_WORKER: u64 = 4;

/// Sees to it that `connections` can be open at once; how many can be. Most systems let a process open 1,024 files
/// unless it asks for more, and say how much more it may ask for.
#[must_use]
pub fn make_room(connections: usize) -> usize {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX / 4);
    let reserved = OTHERS + count(SOCKETS_MAX) + PER_WORKER * count(workers::count());
    let wanted = reserved + count(connections);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no limit.
    let Some(now) = current.filter(|now| *now < wanted) else {
        return connections;
    };
    let most = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = Rlimit {
        current: Some(most),
        maximum,
    };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => most,
        Err(error) => {
            tracing::debug!("could not raise the limit of open files: {error}");
            now
        }
    };
    if allowed >= wanted {
        return connections;
    }
    let connections = allowed.saturating_sub(reserved).max(1);
    tracing::warn!(
        "takes {connections} connections at once and not more, as this process may open {allowed} files: raise that \
         (ulimit -Hn, LimitNOFILE= of systemd, docker run --ulimit nofile=) or give --max-connections"
    );
    usize::try_from(connections).unwrap_or(usize::MAX)
}
