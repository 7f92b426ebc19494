//! What a client knows of its register's servers: where they are, and which of them failed.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use tokio::time::Instant;
use tonic::Status;

use super::{Failure, connection::Candidate, error};
use crate::registry::Instance;

/// What a weight of 0 counts for: RFC 2782 wants it to have a very small chance beside others.
const NEXT_TO_NOTHING: f64 = 0.001;

/// The servers of one register, in an order that is this client's own: many clients spread evenly over them so.
#[derive(Default)]
pub(super) struct Servers {
    /// As they were found last.
    known: Vec<Instance>,
    /// When an address failed last. One that has answered since is not here.
    failed: HashMap<String, Instant>,
    /// Until when an address is to be left alone, as its server has asked, and with what words.
    held: HashMap<String, (Instant, Failure)>,
    order: RandomState,
}

impl Servers {
    /// Puts what was found in place of what was known.
    pub(super) fn set(&mut self, found: Vec<Instance>) {
        let addresses: HashSet<_> = found.iter().flat_map(|one| &one.addresses).collect();
        self.failed
            .retain(|address, _| addresses.contains(&address));
        self.held.retain(|address, _| addresses.contains(&address));
        self.known = found;
    }

    /// Whether none is known.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether there is another to ask where one does not answer.
    pub(super) fn are_several(&self) -> bool {
        self.known.len() > 1
    }

    /// Notes that nothing came from `address`.
    pub(super) fn note_failure(&mut self, address: &str) {
        self.failed.insert(address.to_owned(), Instant::now());
    }

    /// Notes that `address` answered.
    pub(super) fn note_answer(&mut self, address: &str) {
        self.failed.remove(address);
    }

    /// Leaves the server at `address` alone for as long as `status`, its answer, asks for.
    pub(super) fn heed(&mut self, address: &str, status: &Status) {
        if let Some(wait) = error::asked_wait(status) {
            let failure = Failure {
                address: address.to_owned(),
                reason: error::describe(status),
                is_another_register: false,
            };
            let until = Instant::now() + wait;
            self.held.insert(address.to_owned(), (until, failure));
        }
    }

    /// Whether the server at `address`, by that address or another, is to be left alone now: each, where several are
    /// there, as behind the bridge that each machine has of its own.
    pub(super) fn is_held(&self, address: &str) -> bool {
        let mut waits = self.at(address).map(|one| self.wait_for(one)).peekable();
        waits.peek().is_some() && waits.all(|wait| !wait.is_zero())
    }

    /// The servers that say they are at `address`.
    fn at(&self, address: &str) -> impl Iterator<Item = &Instance> {
        let known = self.known.iter();
        known.filter(move |one| one.addresses.iter().any(|known| known == address))
    }

    /// How long `instance` is to be left alone. What was said at an address where others are as well is not known to be its
    /// word.
    fn wait_for(&self, instance: &Instance) -> Duration {
        let own = (instance.addresses.iter()).filter(|address| self.at(address).count() == 1);
        let held = own.filter_map(|address| self.held.get(address));
        let until = held.map(|(until, _)| *until).max();
        until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }

    /// How long each of them is to be left alone; zero when one need not be.
    pub(super) fn least_wait(&self) -> Duration {
        let waits = self.known.iter().map(|one| self.wait_for(one));
        waits.min().unwrap_or_default()
    }

    /// What those have said that are left alone now.
    pub(super) fn said(&self) -> impl Iterator<Item = Failure> {
        let held = self
            .held
            .values()
            .filter(|(until, _)| *until > Instant::now());
        held.map(|(_, failure)| failure.clone())
    }

    /// Where to ask, in this order: by priority, and of one priority each server's best address before any server's
    /// second. What failed comes last, and of that first what failed longest ago. Who is to be left alone is not among them.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let known = self.known.iter();
        let mut instances: Vec<&Instance> =
            known.filter(|one| self.wait_for(one).is_zero()).collect();
        instances.sort_by_key(|one| (one.register.is_empty(), self.turn(one)));
        let mut ranked: Vec<_> = instances.into_iter().flat_map(candidates).collect();
        // A stable sort, so that servers keep their order.
        ranked.sort_by_key(|(rank, candidate)| (self.failed.get(&candidate.address), *rank));
        ranked.into_iter().map(|(_, candidate)| candidate).collect()
    }

    /// When it is this server's turn: the least first, which each is in proportion to its weight (Efraimidis and Spirakis,
    /// "Weighted random sampling with a reservoir", 2006).
    fn turn(&self, instance: &Instance) -> u64 {
        let drawn = u32::try_from(self.order.hash_one(&instance.id) >> 32).unwrap_or(u32::MAX);
        // Between 0 and 1, and neither of them.
        let chance = (f64::from(drawn) + 0.5) / (f64::from(u32::MAX) + 1.0);
        let weight = f64::from(instance.preference.weight).max(NEXT_TO_NOTHING);
        // Numbers that are not negative are in the order of their bits.
        (-chance.ln() / weight).to_bits()
    }
}

/// The instance's addresses, the best first, each with its rank.
fn candidates(instance: &Instance) -> impl Iterator<Item = ((u16, usize), Candidate)> {
    let priority = instance.preference.priority;
    let candidate = |address: &String| Candidate {
        register: instance.register.clone(),
        address: address.clone(),
        tls: instance.tls,
    };
    let ranked = instance.addresses.iter().map(candidate).enumerate();
    ranked.map(move |(rank, candidate)| ((priority, rank), candidate))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tonic::Code;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;
    use crate::registry::Preference;

    fn instance(id: &str, addresses: &[&str]) -> Instance {
        Instance {
            id: id.into(),
            addresses: addresses.iter().map(ToString::to_string).collect(),
            ..Instance::depot()
        }
    }

    fn three() -> Vec<Instance> {
        ["a", "b", "c"]
            .map(|id| instance(id, &[&format!("{id}:1"), &format!("{id}:2")]))
            .into()
    }

    fn addresses(servers: &Servers) -> Vec<String> {
        let candidates = servers.candidates().into_iter();
        candidates.map(|candidate| candidate.address).collect()
    }

    fn servers(found: Vec<Instance>) -> Servers {
        let mut servers = Servers::default();
        servers.set(found);
        servers
    }

    #[test]
    fn many_clients_spread_evenly_and_each_keeps_its_order() {
        let mut first: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..3_000 {
            let mut servers = servers(three());
            let order = addresses(&servers);
            *first.entry(order[0].clone()).or_default() += 1;
            let mut reversed = three();
            reversed.reverse();
            servers.set(reversed);
            assert_eq!(addresses(&servers), order);
        }
        // Each is expected 1,000 times with a standard deviation of 26.
        assert_eq!(first.len(), 3, "{first:?}");
        assert!(
            first.values().all(|count| (800..1_200).contains(count)),
            "{first:?}"
        );
    }

    #[test]
    fn a_servers_second_address_comes_after_every_servers_first() {
        let order = addresses(&servers(three()));
        assert!(order[..3].iter().all(|address| address.ends_with(":1")));
        assert!(order[3..].iter().all(|address| address.ends_with(":2")));
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_comes_last_until_it_answers() {
        let mut servers = servers(three());
        let order = addresses(&servers);
        for address in &order[..2] {
            servers.note_failure(address);
            tokio::time::advance(Duration::from_millis(2)).await;
        }
        let mut later = order.clone();
        later.rotate_left(2);
        assert_eq!(addresses(&servers), later);
        // Also when they are found again.
        servers.set(three());
        assert_eq!(addresses(&servers), later);
        servers.note_failure(&order[0]);
        later.swap(4, 5);
        assert_eq!(addresses(&servers), later);
        servers.note_answer(&order[0]);
        servers.note_answer(&order[1]);
        assert_eq!(addresses(&servers), order);
    }

    fn preferred(id: &str, priority: u16, weight: u16) -> Instance {
        Instance {
            preference: Preference { priority, weight },
            ..instance(id, &[&format!("{id}:1"), &format!("{id}:2")])
        }
    }

    #[test]
    fn a_lower_priority_comes_first_until_it_fails() {
        for _ in 0..20 {
            let (first, second) = (preferred("a", 1, 0), preferred("b", 2, 9));
            let mut servers = servers(vec![second, first]);
            assert_eq!(addresses(&servers), ["a:1", "a:2", "b:1", "b:2"]);
            servers.note_failure("a:1");
            assert_eq!(addresses(&servers), ["a:2", "b:1", "b:2", "a:1"]);
        }
    }

    #[test]
    fn of_one_priority_each_is_the_first_in_proportion_to_its_weight() {
        let mut first: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..4_000 {
            let found = vec![
                preferred("a", 1, 30),
                preferred("b", 1, 10),
                preferred("c", 1, 0),
            ];
            let order = addresses(&servers(found));
            *first.entry(order[0].clone()).or_default() += 1;
        }
        // Expected are 3,000 and 1,000 with a standard deviation of 27.
        assert!((2_800..3_200).contains(&first["a:1"]), "{first:?}");
        assert!((800..1_200).contains(&first["b:1"]), "{first:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_to_be_left_alone_is_for_so_long_at_each_of_its_addresses() {
        let busy = |seconds| {
            let retry = ErrorDetails::with_retry_info(Some(Duration::from_secs(seconds)));
            Status::with_error_details(Code::Unavailable, "too much to do", retry)
        };
        let mut servers = servers(three());
        servers.heed("a:1", &busy(2));
        servers.heed("b:1", &Status::unavailable("stopping"));
        let mut left: Vec<_> = addresses(&servers);
        left.sort();
        assert_eq!(left, ["b:1", "b:2", "c:1", "c:2"]);
        assert!(servers.is_held("a:2") && !servers.is_held("b:1"));
        assert_eq!(servers.least_wait(), Duration::ZERO);
        servers.heed("b:2", &busy(1));
        servers.heed("c:1", &busy(3));
        assert_eq!(addresses(&servers), [""; 0]);
        assert_eq!(servers.least_wait(), Duration::from_secs(1));
        assert_eq!(servers.said().count(), 3);
        // Also when they are found again.
        servers.set(three());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(addresses(&servers), ["b:1", "b:2"]);
        assert_eq!(servers.said().count(), 2);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(addresses(&servers).len(), 6);
        assert_eq!(servers.least_wait(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_several_have_says_nothing_of_one() {
        let mut servers = servers(vec![
            instance("a", &["bridge:1", "a:1"]),
            instance("b", &["bridge:1", "b:1"]),
        ]);
        let retry = ErrorDetails::with_retry_info(Some(Duration::from_secs(2)));
        let busy = Status::with_error_details(Code::Unavailable, "too much to do", retry);
        servers.heed("bridge:1", &busy);
        assert_eq!(servers.least_wait(), Duration::ZERO);
        assert!(!servers.is_held("bridge:1") && !servers.is_held("b:1"));
        servers.heed("a:1", &busy);
        assert!(servers.is_held("a:1") && !servers.is_held("bridge:1"));
        servers.heed("b:1", &busy);
        assert!(servers.is_held("bridge:1"));
    }

    #[test]
    fn those_whose_register_is_known_come_first() {
        let unknown = Instance {
            register: String::new(),
            ..instance("x", &["x:1"])
        };
        for _ in 0..20 {
            let servers = servers(vec![unknown.clone(), instance("a", &["a:1"])]);
            assert_eq!(addresses(&servers), ["a:1", "x:1"]);
        }
    }
}
