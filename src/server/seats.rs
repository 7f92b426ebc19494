//! The places for connections, and who gives its place up when all are taken.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::{
    counts::{Closed, Counts, TurnedAway},
    limits::Limits,
};

mod seat;

pub(super) use seat::{Busy, Seat};

/// How long a connection whose place is needed may take to end. It is only dropped, so that this is long.
const DISPLACING: Duration = Duration::from_secs(1);
/// How often all connections are looked through for those that ask for nothing, where there are next to none: it takes
/// about a millisecond for ten thousand.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The places for connections.
pub(super) struct Seats {
    places: Arc<Semaphore>,
    per_peer: Option<usize>,
    /// Whether those who may do nothing are told from others.
    guarded: bool,
    counts: Arc<Counts>,
    begun: Instant,
    crowd: Mutex<Crowd>,
}

/// Who has one.
#[derive(Default)]
struct Crowd {
    seats: HashMap<u64, Arc<Seat>>,
    peers: HashMap<IpAddr, usize>,
    next: u64,
    /// Those who had asked for nothing when it was looked last, the longest last, each with since when.
    idle: Vec<(Arc<Seat>, u64)>,
    looked: Option<Instant>,
}

/// A place that is taken, until this is dropped.
pub(super) struct Seated {
    pub(super) seat: Arc<Seat>,
    seats: Arc<Seats>,
    number: u64,
    network: Option<IpAddr>,
    _place: OwnedSemaphorePermit,
}

impl Seats {
    /// `limits.connections` places; `guarded` says whether requests are let through one by one, so that it can be told
    /// who is a stranger.
    pub(super) fn new(limits: &Limits, guarded: bool, counts: Arc<Counts>) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(limits.connections)),
            per_peer: limits.connections_per_peer,
            guarded,
            counts,
            begun: Instant::now(),
            crowd: Mutex::default(),
        })
    }

    /// A place for a connection from `peer`; `None` where there is none, which is counted.
    pub(super) async fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Seated> {
        let network = self.per_peer.map(|_| network(peer));
        if let (Some(network), Some(most)) = (network, self.per_peer)
            && (self.crowd().peers.get(&network)).is_some_and(|count| *count >= most)
        {
            self.counts.turned_away(TurnedAway::Peer);
            return None;
        }
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) if self.displace() => {
                let place = Arc::clone(&self.places).acquire_owned();
                timeout(DISPLACING, place).await.ok().and_then(Result::ok)
            }
            Err(_) => None,
        };
        let Some(place) = place else {
            self.counts.turned_away(TurnedAway::Full);
            return None;
        };
        Some(self.seat(network, place))
    }

    fn seat(self: &Arc<Self>, network: Option<IpAddr>, place: OwnedSemaphorePermit) -> Seated {
        let seat = Seat::new(Arc::clone(&self.counts), self.begun);
        let mut crowd = self.crowd();
        let number = crowd.next;
        crowd.next += 1;
        crowd.seats.insert(number, Arc::clone(&seat));
        if let Some(network) = network {
            *crowd.peers.entry(network).or_default() += 1;
        }
        drop(crowd);
        self.counts.accepted.inc();
        self.counts.connections.inc();
        Seated {
            seat,
            seats: Arc::clone(self),
            number,
            network,
            _place: place,
        }
    }

    /// Tells the connection to leave that has asked for nothing for the longest, strangers first; `false` where none can
    /// be told.
    pub(super) fn displace(&self) -> bool {
        let mut crowd = self.crowd();
        loop {
            while let Some((seat, since)) = crowd.idle.pop() {
                if seat.is_idle_since(since, self.guarded) {
                    seat.leave(Closed::Displaced);
                    return true;
                }
            }
            let now = Instant::now();
            let looked = crowd.looked.replace(now);
            if looked.is_some_and(|looked| now - looked < LOOK_EVERY) {
                crowd.looked = looked;
                return false;
            }
            crowd.look(self.guarded);
            if crowd.idle.is_empty() {
                return false;
            }
        }
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.crowd().seats.len()
    }

    pub(super) fn count_accept_error(&self) {
        self.counts.accept_errors.inc();
    }

    pub(super) fn count_closed(&self, reason: Closed) {
        self.counts.closed(reason);
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Crowd {
    fn look(&mut self, guarded: bool) {
        let all = (self.seats.values()).map(|seat| (Arc::clone(seat), seat.since()));
        self.idle = all
            .filter(|(seat, since)| seat.is_idle_since(*since, guarded))
            .collect();
        (self.idle).sort_by_cached_key(|(seat, since)| Reverse((seat.is_known(), *since)));
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        // Whoever has left is not told to: nobody's place would be free for it.
        self.seat.leave(Closed::Idle);
        self.seats.counts.connections.dec();
        let mut crowd = self.seats.crowd();
        crowd.seats.remove(&self.number);
        if let Some(network) = self.network
            && let Some(count) = crowd.peers.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                crowd.peers.remove(&network);
            }
        }
    }
}

/// What counts as one peer: who has an IPv6 address has a network of 64 bits of them (RFC 4291 §2.5.4).
fn network(peer: IpAddr) -> IpAddr {
    const HOST_BITS: u32 = 64;
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> HOST_BITS << HOST_BITS;
            Ipv6Addr::from_bits(network).into()
        }
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use prometheus_client::registry::Registry;

    use super::{seat::BUSY_LOOK, *};

    const PATIENCE: Duration = Duration::from_secs(60);

    fn seats(connections: usize, per_peer: Option<usize>, guarded: bool) -> Arc<Seats> {
        let limits = Limits {
            connections,
            connections_per_peer: per_peer,
            ..Limits::default()
        };
        let counts = Counts::new(&mut Registry::default());
        Seats::new(&limits, guarded, Arc::new(counts))
    }

    fn peer(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    /// Takes a place, and lets time pass, so that the next has a later one.
    async fn take(seats: &Arc<Seats>) -> Seated {
        let seated = seats.take(peer(1)).now_or_never().flatten().unwrap();
        tokio::time::advance(Duration::from_millis(50)).await;
        seated
    }

    fn told(seated: &Seated) -> Option<Closed> {
        seated.seat.leaving(PATIENCE).now_or_never()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_asked_for_nothing_for_the_longest_gives_its_place_up() {
        let seats = seats(3, None, false);
        let (first, second, third) = (take(&seats).await, take(&seats).await, take(&seats).await);
        let busy = first.seat.begin();
        // It asked for something later than the third came.
        drop(second.seat.begin());
        let mut next = Box::pin(seats.take(peer(2)));
        assert!((&mut next).now_or_never().is_none());
        assert_eq!(told(&third), Some(Closed::Displaced));
        drop(third);
        let fourth = next.await.unwrap();
        assert_eq!((told(&first), told(&second)), (None, None));
        // Where each is busy, nobody is told.
        let all = [busy, second.seat.begin(), fourth.seat.begin()];
        tokio::time::advance(LOOK_EVERY).await;
        assert!(seats.take(peer(3)).await.is_none());
        drop(all);
        tokio::time::advance(LOOK_EVERY).await;
        assert!(seats.displace());
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_have_left_are_not_told_to() {
        for guarded in [false, true] {
            let seats = seats(3, None, guarded);
            let (first, second, third) =
                (take(&seats).await, take(&seats).await, take(&seats).await);
            assert!(seats.displace());
            assert!(told(&first).is_some());
            // It was seen to be the next.
            drop((first, second));
            let later = [take(&seats).await, take(&seats).await];
            assert!(seats.displace());
            assert!(told(&third).is_some());
            assert!(later.iter().all(|seated| told(seated).is_none()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_go_first_whatever_they_do() {
        let seats = seats(2, None, true);
        let (first, second) = (take(&seats).await, take(&seats).await);
        first.seat.know();
        let _busy = second.seat.begin();
        assert!(seats.displace());
        assert_eq!(
            (told(&first), told(&second)),
            (None, Some(Closed::Displaced))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_peer_has_no_more_than_its_share() {
        let seats = seats(9, Some(2), false);
        let networks = ["2001:db8::1", "2001:db8::2:1", "2001:db8::3:0:0:1"];
        let networks = networks.map(|text| text.parse::<IpAddr>().unwrap());
        let taken: Vec<_> = [
            seats.take(networks[0]).await,
            seats.take(networks[1]).await,
            seats.take(peer(1)).await,
        ]
        .into_iter()
        .map(Option::unwrap)
        .collect();
        assert!(seats.take(networks[2]).await.is_none());
        drop(taken);
        assert!(seats.take(networks[2]).await.is_some());
        assert_eq!(seats.crowd().peers.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_nothing_for_too_long_is_to_leave_and_who_is_busy_is_not() {
        let seats = seats(2, None, false);
        let (one, other) = (take(&seats).await, take(&seats).await);
        let busy = other.seat.begin();
        assert_eq!(one.seat.leaving(PATIENCE).await, Closed::Idle);
        tokio::time::advance(10 * PATIENCE).await;
        assert_eq!(told(&other), None);
        drop(busy);
        let before = Instant::now();
        assert_eq!(other.seat.leaving(PATIENCE).await, Closed::Idle);
        assert!(before.elapsed() >= PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_to_end_is_not_looked_at_all_the_time_while_it_is_busy() {
        let seats = seats(1, None, false);
        let one = take(&seats).await;
        let busy = one.seat.begin();
        let mut looks = 0;
        let mut leaving = Box::pin(one.seat.leaving(Duration::ZERO));
        let counted = std::future::poll_fn(|context| {
            looks += 1;
            leaving.as_mut().poll(context)
        });
        assert!(timeout(10 * BUSY_LOOK, counted).await.is_err());
        assert!(looks < 20, "{looks}");
        drop(busy);
        assert_eq!(leaving.await, Closed::Idle);
    }
}
