//! What a server counts of its connections and requests, for those who watch it.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The counters of one server. Each is one atomic number, so that counting costs next to nothing.
#[derive(Debug)]
pub struct Counts {
    pub(super) connections: Gauge,
    pub(super) accepted: Counter,
    pub(super) accept_errors: Counter,
    pub(super) requests: Gauge,
    turned_away: [Counter; TurnedAway::ALL.len()],
    closed: [Counter; Closed::ALL.len()],
    refused: [Counter; Refused::ALL.len()],
}

/// Why a connection was closed as soon as it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnedAway {
    /// There are as many as there may be, and each has a request under way.
    Full,
    /// Its peer has as many as one may have.
    Peer,
}

/// Why the server closed a connection that it had served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// It did not say in time that it speaks HTTP/2, or something else.
    Opening,
    /// The two did not agree on TLS.
    Handshake,
    /// It asked for nothing for too long.
    Idle,
    /// It asked for nothing, for longer than others, and its place was needed.
    Displaced,
    /// It did not read on what it had asked for.
    Stalled,
    /// It did what HTTP/2 allows and nobody does but to do harm, like resetting streams by the hundred.
    Abuse,
}

/// Why a request was answered that the server has too much to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many requests are at work as may be.
    Requests,
    /// As many bulk loads.
    Loads,
    /// No list ended in time for this one.
    Lists,
    /// No reply to `GetConsignments`.
    Replies,
    /// As many ask for the server's health as may.
    Checks,
    /// As much is asked that there is over HTTP alone.
    Pages,
    /// As many watch it.
    Watches,
    /// It came so slowly that its place was needed.
    Slow,
    /// What is on its way in takes as much memory as it may.
    Memory,
    /// Its message is larger than one may be.
    Size,
    /// It was not done in time.
    Time,
    /// What waits for the store's writer takes as much memory as it may.
    Queue,
}

/// What tells the series of one metric apart.
type Labels = [(&'static str, &'static str); 1];

impl TurnedAway {
    const ALL: [(Self, &'static str); 2] = [(Self::Full, "full"), (Self::Peer, "peer")];
}

impl Closed {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Opening, "opening"),
        (Self::Handshake, "handshake"),
        (Self::Idle, "idle"),
        (Self::Displaced, "displaced"),
        (Self::Stalled, "stalled"),
        (Self::Abuse, "abuse"),
    ];
}

impl Refused {
    const ALL: [(Self, &'static str); 12] = [
        (Self::Requests, "requests"),
        (Self::Loads, "loads"),
        (Self::Lists, "lists"),
        (Self::Replies, "replies"),
        (Self::Checks, "checks"),
        (Self::Pages, "pages"),
        (Self::Watches, "watches"),
        (Self::Slow, "slow"),
        (Self::Memory, "memory"),
        (Self::Size, "size"),
        (Self::Time, "time"),
        (Self::Queue, "queue"),
    ];
}

impl Counts {
    /// Counters that begin at nothing and are read through `registry`.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let counts = Self {
            connections: Gauge::default(),
            accepted: Counter::default(),
            accept_errors: Counter::default(),
            requests: Gauge::default(),
            turned_away: by_reason(
                registry,
                "shippy_connections_turned_away",
                "Connections closed as soon as they were accepted",
                TurnedAway::ALL,
            ),
            closed: by_reason(
                registry,
                "shippy_connections_closed",
                "Connections that the server closed for what their peers did or did not do",
                Closed::ALL,
            ),
            refused: by_reason(
                registry,
                "shippy_requests_limited",
                "Requests refused because of a limit",
                Refused::ALL,
            ),
        };
        registry.register(
            "shippy_connections",
            "Connections that are open",
            counts.connections.clone(),
        );
        registry.register(
            "shippy_connections_accepted",
            "Connections accepted",
            counts.accepted.clone(),
        );
        registry.register(
            "shippy_accept_errors",
            "Connections that the system did not let the server accept, as when it is out of file descriptors",
            counts.accept_errors.clone(),
        );
        registry.register(
            "shippy_requests",
            "Requests under way",
            counts.requests.clone(),
        );
        counts
    }

    /// Counts the batches that the store's writer had no room for.
    #[must_use]
    pub fn queue(&self) -> Counter {
        self.refused[Refused::Queue as usize].clone()
    }

    /// Counts the bodies for which there is no memory.
    #[must_use]
    pub(super) fn memory(&self) -> Counter {
        self.refused[Refused::Memory as usize].clone()
    }

    pub(super) fn turned_away(&self, reason: TurnedAway) {
        self.turned_away[reason as usize].inc();
    }

    pub(super) fn closed(&self, reason: Closed) {
        self.closed[reason as usize].inc();
    }

    pub(super) fn refused(&self, reason: Refused) {
        self.refused[reason as usize].inc();
    }
}

/// A counter for each reason, all of one metric, in the order in which the reasons are declared.
fn by_reason<R, const N: usize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    reasons: [(R, &'static str); N],
) -> [Counter; N] {
    let family = Family::<Labels, Counter>::default();
    registry.register(name, help, family.clone());
    reasons.map(|(_, name)| family.get_or_create_owned(&[("reason", name)]))
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn each_reason_is_counted_by_itself_and_all_are_there_from_the_start() {
        for (index, (reason, _)) in TurnedAway::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
        for (index, (reason, _)) in Closed::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
        for (index, (reason, _)) in Refused::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
        let mut registry = Registry::default();
        let counts = Counts::new(&mut registry);
        counts.refused(Refused::Lists);
        counts.closed(Closed::Abuse);
        counts.turned_away(TurnedAway::Peer);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "shippy_requests_limited_total{reason=\"lists\"} 1",
            "shippy_requests_limited_total{reason=\"loads\"} 0",
            "shippy_connections_closed_total{reason=\"abuse\"} 1",
            "shippy_connections_turned_away_total{reason=\"peer\"} 1",
            "shippy_connections 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
