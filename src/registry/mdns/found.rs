//! What has been heard, gathered into instances.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant as Clock},
};

use super::{
    addresses::{self, Candidates},
    interfaces::Link,
    txt::Record,
};
use crate::registry::{Instance, Preference};

/// Most instances remembered in one search: far more than a network has, and what a flood of lies may cost.
const INSTANCES_MAX: usize = 256;
/// When that many are remembered, those not heard for so long make room, or else any one: they have been asked at least
/// twice since, for the longest pause between two questions is a minute.
const FORGET_AFTER: Duration = Duration::from_secs(180);

/// One announcement, as it was heard once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) record: Record,
    /// The port of its SRV record.
    pub(super) port: u16,
    /// Its addresses, each with the index of an interface on which it was heard.
    pub(super) places: Vec<(IpAddr, u32)>,
    /// The interfaces on which the announcement was heard.
    pub(super) heard_on: Vec<u32>,
}

impl Sighting {
    /// The addresses to connect to and the interfaces on which each was heard.
    fn endpoints(&self) -> Vec<(SocketAddr, u32)> {
        if self.record.spelled_out.is_empty() {
            let at = |&(ip, index)| (SocketAddr::new(ip, self.port), index);
            return self.places.iter().map(at).collect();
        }
        let on = |index: u32| {
            self.record
                .spelled_out
                .iter()
                .map(move |&address| (address, index))
        };
        self.heard_on.iter().copied().flat_map(on).collect()
    }
}

/// The instances that a search has come by.
#[derive(Debug)]
pub(super) struct Found {
    /// Of this service alone.
    name: Option<String>,
    known: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    record: Record,
    candidates: Candidates,
    heard: Clock,
}

impl Found {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            ..Self::of_all()
        }
    }

    /// Of every service.
    pub(super) fn of_all() -> Self {
        Self {
            name: None,
            known: HashMap::new(),
        }
    }

    /// Notes `sighting`, heard by way of `links`. The instance, when it is new or has more addresses than it had.
    pub(super) fn note(&mut self, sighting: &Sighting, links: &[Link]) -> Option<Instance> {
        let record = &sighting.record;
        if (self.name.as_ref()).is_some_and(|name| record.service != *name) {
            return None;
        }
        let mut fresh = Candidates::default();
        let mut usable = Vec::new();
        for (address, index) in sighting.endpoints() {
            let link = links.iter().find(|link| link.index == index);
            if let Some(rank) = addresses::rank(address.ip(), link).filter(|_| address.port() != 0)
            {
                fresh.add(rank, address);
                usable.push((rank, address));
            }
        }
        if fresh.is_empty() {
            tracing::trace!(
                id = record.id,
                "an instance without an address that can be used is ignored"
            );
            return None;
        }
        if !self.known.contains_key(&record.id) {
            self.make_room();
        }
        let known = self
            .known
            .entry(record.id.clone())
            .or_insert_with(|| Known {
                record: record.clone(),
                candidates: Candidates::default(),
                heard: Clock::now(),
            });
        if known.record != *record {
            tracing::trace!(
                id = record.id,
                "an announcement that contradicts an earlier one is ignored"
            );
            return None;
        }
        known.heard = Clock::now();
        let grew = usable.into_iter().fold(false, |grew, (rank, address)| {
            known.candidates.add(rank, address) || grew
        });
        grew.then(|| known.instance())
    }

    /// Makes room for one more instance. Were it turned away, whoever speaks first could keep all others from being found.
    fn make_room(&mut self) {
        if self.known.len() >= INSTANCES_MAX {
            self.known
                .retain(|_, known| known.heard.elapsed() < FORGET_AFTER);
        }
        if self.known.len() >= INSTANCES_MAX
            && let Some(any) = self.known.keys().next().cloned()
        {
            tracing::trace!(id = any, "too many instances: one is forgotten");
            self.known.remove(&any);
        }
    }
}

impl Known {
    fn instance(&self) -> Instance {
        Instance {
            id: self.record.id.clone(),
            name: self.record.service.clone(),
            version: self.record.version.clone(),
            addresses: self.candidates.to_strings(),
            register: self.record.register.clone(),
            kind: self.record.kind,
            tls: self.record.tls,
            preference: Preference::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{super::interfaces::link, *};
    use crate::registry::Kind;

    const LOOPBACK: u32 = 1;
    const LAN: u32 = 2;

    fn links() -> [Link; 2] {
        [
            link(LOOPBACK, true, &[(Ipv4Addr::LOCALHOST, 8)]),
            link(LAN, false, &[(Ipv4Addr::new(10, 0, 0, 9), 24)]),
        ]
    }

    fn sighting(id: &str, ip: &str, heard_on: u32) -> Sighting {
        Sighting {
            record: Record {
                id: id.to_owned(),
                service: "s".to_owned(),
                version: "1".to_owned(),
                register: "r".to_owned(),
                kind: Kind::Single,
                tls: false,
                spelled_out: Vec::new(),
            },
            port: 7,
            places: vec![(ip.parse().unwrap(), heard_on)],
            heard_on: vec![heard_on],
        }
    }

    fn addresses(found: Option<Instance>) -> Option<Vec<String>> {
        found.map(|instance| instance.addresses)
    }

    #[test]
    fn an_instance_comes_again_only_with_more_addresses() {
        let mut found = Found::new("s");
        let lan = sighting("one", "10.0.0.5", LAN);
        assert_eq!(
            addresses(found.note(&lan, &links())),
            Some(vec!["10.0.0.5:7".to_owned()])
        );
        assert_eq!(found.note(&lan, &links()), None);
        let loopback = sighting("one", "127.0.0.1", LOOPBACK);
        let both = vec!["127.0.0.1:7".to_owned(), "10.0.0.5:7".to_owned()];
        assert_eq!(addresses(found.note(&loopback, &links())), Some(both));
        assert_eq!(found.note(&loopback, &links()), None);
    }

    #[test]
    fn another_service_is_not_found() {
        assert_eq!(
            Found::new("S").note(&sighting("one", "10.0.0.5", LAN), &links()),
            None
        );
        let all = Found::of_all().note(&sighting("one", "10.0.0.5", LAN), &links());
        assert_eq!(all.unwrap().name, "s");
    }

    #[test]
    fn an_instance_waits_for_an_address_that_can_be_used() {
        let mut found = Found::new("s");
        assert_eq!(found.note(&sighting("one", "fe80::1", LAN), &links()), None);
        assert_eq!(
            found.note(&sighting("one", "127.0.0.1", LAN), &links()),
            None
        );
        let portless = Sighting {
            port: 0,
            ..sighting("one", "10.0.0.5", LAN)
        };
        assert_eq!(found.note(&portless, &links()), None);
        assert!(
            found
                .note(&sighting("one", "10.0.0.5", LAN), &links())
                .is_some()
        );
    }

    #[test]
    fn spelled_out_addresses_stand_instead_of_the_records() {
        let mut elsewhere = sighting("one", "10.0.0.5", LAN);
        elsewhere.record.spelled_out = vec![
            "127.0.0.1:8".parse().unwrap(),
            "203.0.113.9:8".parse().unwrap(),
        ];
        let expected = vec!["203.0.113.9:8".to_owned()];
        assert_eq!(
            addresses(Found::new("s").note(&elsewhere, &links())),
            Some(expected)
        );
    }

    #[test]
    fn an_announcement_that_contradicts_the_first_is_ignored() {
        let mut found = Found::new("s");
        found.note(&sighting("one", "10.0.0.5", LAN), &links());
        let mut other = sighting("one", "10.0.0.6", LAN);
        other.record.register = "another".to_owned();
        assert_eq!(found.note(&other, &links()), None);
    }

    #[test]
    fn a_flood_is_remembered_in_part_only_and_hides_nobody() {
        let mut found = Found::new("s");
        for id in 0..1_000 {
            let one = sighting(&id.to_string(), "10.0.0.5", LAN);
            assert!(found.note(&one, &links()).is_some(), "{id}");
        }
        assert_eq!(found.known.len(), INSTANCES_MAX);
    }
}
