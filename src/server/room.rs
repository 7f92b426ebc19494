//! How much of each sort of request there may be at once, over all connections, and who makes room when there is no more.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout_at},
};

use super::{
    arrival::Arrival,
    counts::{Counts, Refused},
    limits::{CHECKS, Limits, PAGES, REQUEST_TIMEOUT, UNREAD_REPLIES, WATCHES, WHOLE_REPLIES},
    line::Line,
};
use crate::{proto::SERVICE, web};

/// The service that anybody may ask.
pub(super) const HEALTH: &str = "grpc.health.v1.Health";
/// How long one whose peer is slow keeps its place at least, where it holds more than memory for it: far longer than what
/// is written takes to be read over a slow network.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked for those who read nothing on.
const SWEEP: Duration = Duration::from_secs(1);

/// All of it.
pub(super) struct Room {
    /// Single creates.
    creates: Sort,
    lists: Sort,
    /// Replies to `GetConsignments`.
    replies: Sort,
    loads: Sort,
    /// Answered at once, and apart from the others, as nobody needs a token for it.
    checks: Sort,
    /// What is asked over HTTP alone: the board, its sessions, what is measured, and whatever is not there.
    pages: Sort,
    /// Those who watch the server's health, and whatever else is a stream.
    watches: Sort,
    /// Readers that wait for a place.
    waiting: Arc<Semaphore>,
    pub(super) arrival: Arrival,
    stall_timeout: Duration,
    counts: Arc<Counts>,
}

/// One sort of request.
pub(super) struct Sort {
    places: Arc<Semaphore>,
    refused: Refused,
    /// Whether its message is waited for before it takes a place, which is then the only one.
    pub(super) is_single: bool,
    /// Whether it waits for a place, as others read on; a writer is told to come again, so that what waits is in the
    /// writers' memory.
    waits: bool,
    /// How many replies may stand unread, where they are so small that none keeps its place: it is free again when the
    /// reply begins, so that those who read nothing keep nobody out, and past this the first of those is ended.
    most_unread: Option<usize>,
    /// Those whose peers have not read what they were sent.
    pub(super) unread: Arc<Line>,
    /// Those whose peers do not go on with what they send.
    pub(super) silent: Arc<Line>,
    /// The same of those over HTTP, which hold memory for all that they have sent.
    pub(super) posting: Arc<Line>,
}

impl Sort {
    fn new(places: usize, refused: Refused) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            refused,
            is_single: false,
            waits: false,
            most_unread: None,
            unread: Arc::default(),
            silent: Arc::default(),
            posting: Arc::default(),
        }
    }

    fn single(self) -> Self {
        Self {
            is_single: true,
            ..self
        }
    }

    fn waiting(self) -> Self {
        Self {
            waits: true,
            ..self
        }
    }

    fn answered_small(self, most_unread: usize) -> Self {
        Self {
            most_unread: Some(most_unread),
            ..self
        }
    }

    /// What of `place` a reply keeps that begins now.
    pub(super) fn kept(&self, place: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        self.most_unread.is_none().then_some(place)
    }

    /// How many replies may stand unread.
    pub(super) fn most_unread(&self) -> usize {
        self.most_unread.unwrap_or(usize::MAX)
    }

    /// Has the one end whose peer has done nothing for the longest, so that there is a place soon; whether there is one.
    fn make_room(&self) -> bool {
        let frees = self.most_unread.is_none();
        (frees && self.unread.end_first(PATIENCE))
            || self.silent.end_first(PATIENCE)
            || self.posting.end_first(PATIENCE)
    }
}

impl Room {
    pub(super) fn new(limits: &Limits, counts: Arc<Counts>) -> Self {
        let reads = |places, refused| Sort::new(places, refused).single().waiting();
        Self {
            // With each message as large as it may be, those that are read back and those at work take the same.
            creates: Sort::new(limits.requests, Refused::Requests)
                .single()
                .answered_small(limits.requests.max(UNREAD_REPLIES)),
            lists: reads(limits.lists, Refused::Lists),
            replies: reads(WHOLE_REPLIES, Refused::Replies),
            loads: Sort::new(limits.loads, Refused::Loads),
            checks: Sort::new(CHECKS, Refused::Checks)
                .single()
                .answered_small(UNREAD_REPLIES),
            pages: Sort::new(PAGES, Refused::Pages).answered_small(UNREAD_REPLIES),
            watches: Sort::new(WATCHES, Refused::Watches),
            waiting: Arc::new(Semaphore::new(limits.requests)),
            arrival: Arrival::new(limits),
            stall_timeout: limits.stall_timeout,
            counts,
        }
    }

    /// The same with `posting` for those who create over HTTP.
    pub(super) fn with_posting(mut self, posting: Arc<Line>) -> Self {
        self.loads.posting = posting;
        self
    }

    /// What sort a request to `path` is of; `None` is what stands for no rpc.
    pub(super) fn sort(&self, path: Option<&str>) -> &Sort {
        let Some(path) = path else {
            return &self.pages;
        };
        match path.strip_prefix('/').and_then(|path| path.split_once('/')) {
            Some((SERVICE, "ListConsignments") | (web::OWN, "Vessels")) => &self.lists,
            // Everybody may ask for it.
            Some((HEALTH, "Check")) => &self.checks,
            Some((web::OWN, _)) => &self.pages,
            Some((SERVICE, "CreateConsignment")) => &self.creates,
            Some((SERVICE, "GetConsignments")) => &self.replies,
            Some((SERVICE, "CreateConsignments")) => &self.loads,
            _ => &self.watches,
        }
    }

    /// Single creates.
    pub(super) fn creates(&self) -> &Sort {
        &self.creates
    }

    /// A place for one more of `sort`.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(super) async fn take(&self, sort: &Sort) -> Result<OwnedSemaphorePermit, Refused> {
        if let Ok(place) = Arc::clone(&sort.places).try_acquire_owned() {
            return Ok(place);
        }
        let is_made = sort.make_room();
        let longest = match (sort.waits, is_made) {
            (true, _) => REQUEST_TIMEOUT,
            // It is for this one.
            (false, true) => PATIENCE,
            (false, false) => return Err(sort.refused),
        };
        let _waiting = self.waiting.try_acquire().map_err(|_| sort.refused)?;
        let until = Instant::now() + longest;
        let mut place = pin!(Arc::clone(&sort.places).acquire_owned());
        loop {
            // Those whose peers were only slow when it came may have stood still since.
            let look = until.min(Instant::now() + PATIENCE);
            if let Ok(place) = timeout_at(look, &mut place).await {
                return place.map_err(|_| sort.refused);
            }
            if look == until {
                return Err(sort.refused);
            }
            sort.make_room();
        }
    }

    pub(super) fn count(&self, refused: Refused) {
        self.counts.refused(refused);
    }

    /// Ends those who read nothing on for too long, for ever.
    pub(super) async fn sweep(self: Arc<Self>) {
        let all = [
            &self.creates,
            &self.lists,
            &self.replies,
            &self.loads,
            &self.checks,
            &self.pages,
            &self.watches,
        ];
        loop {
            sleep(SWEEP).await;
            for sort in all {
                sort.unread.end_all(self.stall_timeout);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use tokio::sync::oneshot;

    use super::{super::line::End, *};

    fn room() -> Room {
        let limits = Limits {
            lists: 1,
            loads: 1,
            ..Limits::default()
        };
        Room::new(&limits, Arc::new(Counts::new(&mut Registry::default())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_waits_gets_the_place_of_one_that_stands_still_meanwhile() {
        let room = room();
        let place = room.take(&room.lists).await.unwrap();
        let (told, ended) = oneshot::channel();
        let _unread = room.lists.unread.join(End::Told(told));
        sleep(PATIENCE / 2).await;
        let next = room.take(&room.lists);
        let ending = async {
            ended.await.unwrap();
            drop(place);
        };
        let (next, ()) = tokio::join!(next, ending);
        assert!(next.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_load_that_makes_room_has_it() {
        let room = room();
        let place = room.take(&room.loads).await.unwrap();
        assert_eq!(room.take(&room.loads).await.err(), Some(Refused::Loads));
        let (told, ended) = oneshot::channel();
        let _silent = room.loads.silent.join(End::Told(told));
        sleep(PATIENCE).await;
        let ending = async {
            ended.await.unwrap();
            drop(place);
        };
        let (next, ()) = tokio::join!(room.take(&room.loads), ending);
        assert!(next.is_ok());
    }
}
