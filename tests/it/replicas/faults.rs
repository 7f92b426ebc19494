//! Three servers on a PostgreSQL primary with a synchronous standby, found through an etcd of three members, and one fault
//! after another, each mended before the next: no client notices anything but a pause.
//!
//! `SHIPPY_TEST_REPLICAS_SECONDS` says for how long; each fault comes once at least. Run as root with
//! `cargo test --test it -- --ignored --nocapture replicas::faults`.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use rustix::process::Signal;
use shippy::{client::Client, proto::Consignment};

use super::{
    client_of,
    database::Pair,
    etcd,
    witnesses::{self, Acknowledged, Pauses},
};
use crate::{
    kill::setting,
    support::{
        Server,
        etcd::Etcd,
        eventually,
        host::Host,
        namespace::{Bridge, Port},
    },
};

/// Where the database, etcd and the clients are.
const CORE: &str = "10.77.0.1";
const SERVERS: usize = 3;
/// Those who create at the same time.
const WRITERS: usize = 64;
const NAME: &str = "depot";
/// How long a fault lasts that is not mended by itself.
const FAULT: Duration = Duration::from_secs(4);
/// How long nothing is done to anybody after a fault was mended.
const CALM: Duration = Duration::from_secs(1);
/// For one answer of a client: what a promotion may take on a machine that is busy.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    ServerKilled,
    /// SIGSTOP: it holds whatever it held, and says nothing.
    ServerStopped,
    EtcdMemberKilled,
    /// A server's packets are dropped, whoever they are from or to.
    ServerCutOff,
    /// The same, but only between it and the database, until it has withdrawn.
    ServerCutFromDatabase,
    PrimaryKilled,
}

const FAULTS: [Fault; 6] = [
    Fault::ServerKilled,
    Fault::EtcdMemberKilled,
    Fault::ServerCutOff,
    Fault::ServerStopped,
    Fault::ServerCutFromDatabase,
    Fault::PrimaryKilled,
];

/// A machine with a server on it.
struct Place<'b> {
    host: Host,
    port: Port<'b>,
    address: String,
    server: Option<Server>,
}

/// All machines.
struct Depot<'b> {
    places: Vec<Place<'b>>,
    database: Pair,
    etcd: Etcd,
}

impl<'b> Depot<'b> {
    fn start(bridge: &'b Bridge) -> Self {
        let place = |number: usize| {
            let host = Host::new();
            let ip = format!("10.77.0.{}", 10 + number);
            let port = bridge.plug(&host.network, "lan", &[&format!("{ip}/24")]);
            Place {
                host,
                port,
                address: format!("{ip}:50051"),
                server: None,
            }
        };
        let mut depot = Self {
            places: (0..SERVERS).map(place).collect(),
            database: Pair::start(),
            etcd: Etcd::start_at(CORE, 3),
        };
        for number in 0..SERVERS {
            depot.serve(number);
        }
        depot.await_whole();
        depot
    }

    fn serve(&mut self, number: usize) {
        let (store, registry) = (self.database.url(), self.etcd.addresses());
        let place = &mut self.places[number];
        let server = place.host.serve(&[
            "--name",
            NAME,
            "--address",
            &place.address,
            "--store",
            &store,
            "--registry",
            "etcd",
            "--registry-address",
            &registry,
            "--register-ttl",
            "6",
            "--register-interval",
            "2",
        ]);
        place.server = Some(server);
    }

    /// Waits until each server serves and can be found.
    fn await_whole(&self) {
        for place in &self.places {
            eventually("a server that serves", || {
                let health = place.host.run(&["health", "--server", &place.address]);
                (health.code == Some(0)).then_some(())
            });
        }
        eventually("all servers in etcd", || {
            let known = self.known();
            let mut places = self.places.iter();
            places
                .all(|place| known.contains(&place.address))
                .then_some(())
        });
    }

    /// What etcd knows of servers.
    fn known(&self) -> String {
        let known = self.etcd.pairs(&format!("/micro/registry/{NAME}/"));
        known.into_iter().map(|(_, server)| server).collect()
    }

    /// Lets `fault` befall what is the `number`th of its kind, and mends it.
    fn suffer(&mut self, fault: Fault, number: usize) {
        let place = &self.places[number];
        match fault {
            Fault::ServerKilled => {
                self.places[number].server.take().unwrap().kill();
                thread::sleep(FAULT);
                self.serve(number);
            }
            Fault::ServerStopped => {
                let server = place.server.as_ref().unwrap();
                server.signal(Signal::STOP);
                thread::sleep(FAULT);
                server.signal(Signal::CONT);
            }
            Fault::EtcdMemberKilled => {
                self.etcd.kill(number);
                thread::sleep(FAULT);
                self.etcd.up();
            }
            Fault::ServerCutOff => {
                place.port.mute();
                thread::sleep(FAULT);
                place.port.unmute();
            }
            Fault::ServerCutFromDatabase => {
                let [one, other] = self.database.ports();
                place.host.network.filter(&format!(
                    "table inet cut {{
                       chain output {{
                         type filter hook output priority 0
                         tcp dport {{ {one}, {other} }} drop
                       }}
                       chain input {{
                         type filter hook input priority 0
                         tcp sport {{ {one}, {other} }} drop
                       }}
                     }}
                    "
                ));
                let begun = Instant::now();
                eventually("the server's withdrawal", || {
                    (!self.known().contains(&place.address)).then_some(())
                });
                thread::sleep(FAULT.saturating_sub(begun.elapsed()));
                place.host.network.unfilter();
            }
            Fault::PrimaryKilled => {
                let took = self.database.fail_over();
                eprintln!("  promoted {took:.1?} after the primary was killed");
                thread::sleep(FAULT);
                self.database.replace_killed();
            }
        }
        self.await_whole();
    }
}

/// A client that finds its server through etcd.
fn client(addresses: &str) -> Client {
    client_of(etcd(addresses), NAME, TIMEOUT)
}

/// What they have seen.
struct Seen {
    acknowledged: Acknowledged,
    followed: Vec<String>,
    listed: Vec<Consignment>,
    pauses: [(&'static str, Vec<Pauses>); 3],
}

/// What clients see that go on all the while, until `stop`.
async fn witness(etcd: &str, stop: &AtomicBool) -> Seen {
    let end = AtomicU64::new(0);
    let writing = async {
        let creating = (0..WRITERS).map(|_| witnesses::create(client(etcd), stop));
        let done = join(join_all(creating), witnesses::load(client(etcd), stop)).await;
        let listed = witnesses::list(client(etcd)).await;
        end.store(listed.len() as u64, Ordering::Relaxed);
        (done, listed)
    };
    let following = witnesses::follow(client(etcd), &end);
    let (((created, loaded), listed), (followed, over_follow)) =
        Box::pin(join(writing, following)).await;
    let (mut acknowledged, over_load) = loaded;
    let mut over_create = Vec::new();
    for (ids, pauses) in created {
        acknowledged.extend(ids);
        over_create.push(pauses);
    }
    Seen {
        acknowledged,
        followed,
        listed,
        pauses: [
            ("create", over_create),
            ("load", vec![over_load]),
            ("follow", vec![over_follow]),
        ],
    }
}

impl Seen {
    fn check(&self) {
        let sequences = self.listed.iter().map(|one| one.sequence);
        assert!(sequences.eq(1..=self.listed.len() as u64), "gapless");
        let ids: HashSet<_> = self.listed.iter().map(|one| &one.id).collect();
        assert_eq!(ids.len(), self.listed.len(), "none twice");
        for (id, sequence) in &self.acknowledged {
            let place = usize::try_from(*sequence).unwrap() - 1;
            let stored = self.listed.get(place).map(|one| &one.id);
            assert_eq!(stored, Some(id), "acknowledged as {sequence}");
        }
        let listed = self.listed.iter().map(|one| &one.id);
        assert!(self.followed.iter().eq(listed), "followed as it is listed");
    }

    /// The longest pause of each sort of client for each kind of fault, whose times are given.
    fn tell(&self, faults: &[(Fault, Instant, Instant)]) {
        let (acknowledged, stored) = (self.acknowledged.len(), self.listed.len());
        eprintln!("{acknowledged} acknowledged, {stored} stored");
        let mut table: BTreeMap<Fault, (usize, [Duration; 3])> = BTreeMap::new();
        for (fault, begun, ended) in faults {
            let (times, longest) = table.entry(*fault).or_default();
            *times += 1;
            for (longest, (_, pauses)) in longest.iter_mut().zip(&self.pauses) {
                let all = pauses.iter().flat_map(|one| &one.0);
                let here = all.filter(|pause| (*begun..*ended).contains(&pause.ended));
                let longest_here = here.map(|pause| pause.ended - pause.begun).max();
                *longest = (*longest).max(longest_here.unwrap_or_default());
            }
        }
        eprintln!("the longest pause that a client saw, in ms:");
        for (fault, (times, longest)) in table {
            let longest = longest.map(|pause| pause.as_millis());
            let said: Vec<_> = (self.pauses.iter().zip(longest))
                .map(|((who, _), pause)| format!("{who} {pause}"))
                .collect();
            eprintln!(
                "  {:<24} {times} times: {}",
                format!("{fault:?}"),
                said.join(", ")
            );
        }
    }
}

fn suffer_all(bridge: &Bridge, time: Duration) {
    let mut depot = Depot::start(bridge);
    let (etcd, stop) = (depot.etcd.addresses(), Arc::new(AtomicBool::new(false)));
    let stopping = Arc::clone(&stop);
    let witnesses = thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(witness(&etcd, &stopping))
    });
    thread::sleep(CALM * 2);
    let begun = Instant::now();
    let mut suffered = Vec::new();
    for (round, fault) in FAULTS.into_iter().cycle().enumerate() {
        if round >= FAULTS.len() && begun.elapsed() >= time {
            break;
        }
        // Each time another one of its kind.
        let number = (round + round / FAULTS.len()) % SERVERS;
        eprintln!("{:.1?}: {fault:?}, number {number}", begun.elapsed());
        let from = Instant::now();
        depot.suffer(fault, number);
        thread::sleep(CALM);
        suffered.push((fault, from, Instant::now()));
        if witnesses.is_finished() {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let seen = witnesses.join().unwrap();
    seen.tell(&suffered);
    seen.check();
}

#[test]
#[ignore = "needs PostgreSQL, etcd and network namespaces"]
fn faults_one_after_another_are_noticed_by_no_client() {
    let seconds = setting("SHIPPY_TEST_REPLICAS_SECONDS").unwrap_or(60);
    let bridge = Bridge::new();
    let core = Host::new();
    bridge.plug(&core.network, "lan", &[&format!("{CORE}/24")]);
    core.network
        .inside(|| suffer_all(&bridge, Duration::from_secs(seconds)));
}
