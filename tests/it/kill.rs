//! A server that is killed at any moment keeps what it has acknowledged: every consignment once, byte for byte.
//!
//! `SHIPPY_TEST_KILL_ROUNDS` says how often it is killed, `SHIPPY_TEST_KILL_SEED` repeats a history's choices.

use std::{
    collections::{BTreeMap, HashSet},
    env,
    error::Error as _,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::future::join_all;
use prost::Message as _;
use shippy::{
    consignment::{ServerFields, canonical, micros, new_id},
    proto::{
        Consignment, Container, ListRequest, Position,
        shipping_service_client::ShippingServiceClient,
    },
};
use tonic::{Code, transport::Channel};

use crate::support::{Server, folder, run};

type Client = ShippingServiceClient<Channel>;

/// What takes milliseconds, while everything else runs too: a server that never answers fails the test.
const ANSWER: Duration = Duration::from_secs(60);
/// Those who create at the same time, each over a connection of its own.
const CLIENTS: u64 = 32;
/// A server lives at most so long after its clients have begun.
const LONGEST_LIFE_MILLIS: u64 = 400;
/// The whole register is read in every so many rounds, and what is new in the others.
const FULL_CHECK_EVERY: u64 = 10;

/// A number from the environment.
pub(crate) fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// Choices that a seed repeats (`SplitMix64`).
pub(crate) struct Dice(u64);

impl Dice {
    /// Those that `seed` says.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of 0 to `sides` - 1.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.roll(length as u64)).unwrap()
    }
}

/// What the clients know.
#[derive(Default)]
pub(crate) struct Known {
    sent: Vec<Consignment>,
    /// The canonical encodings of all that was sent.
    contents: HashSet<Bytes>,
    /// The canonical encoding of what the server said it has stored, by where it said.
    pub(crate) acknowledged: BTreeMap<u64, Bytes>,
}

pub(crate) type Shared = Arc<Mutex<Known>>;

fn encoding(consignment: &Consignment) -> Bytes {
    canonical(&mut consignment.clone())
}

/// A consignment that nobody has sent.
pub(crate) fn fresh(dice: &mut Dice) -> Consignment {
    let container = |_| Container {
        customer_id: format!("customer-{}", dice.roll(1_000)),
        ..Container::default()
    };
    let containers = (0..3).map(container).collect();
    Consignment {
        id: new_id(),
        description: "goods ".repeat(dice.index(60)),
        weight: i32::try_from(dice.roll(10_000)).unwrap(),
        containers,
        ..Consignment::default()
    }
}

/// New, or sent before and perhaps under way at this moment, with the same contents or with others.
fn choose(dice: &mut Dice, known: &Shared) -> Consignment {
    let mut known = known.lock().unwrap();
    let sent = known.sent.len();
    let chosen = if sent > 0 && dice.roll(4) == 0 {
        let mut again = known.sent[dice.index(sent)].clone();
        again.weight += i32::from(dice.roll(4) == 0);
        again
    } else {
        fresh(dice)
    };
    if known.contents.insert(encoding(&chosen)) {
        known.sent.push(chosen.clone());
    }
    chosen
}

/// What `work` comes to, which is to come to an end.
pub(crate) async fn answer<T>(what: &str, work: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(ANSWER, work).await;
    answer.unwrap_or_else(|_| panic!("not within {ANSWER:?}: {what}"))
}

/// Creates one after another until the server is gone.
async fn create_on(mut client: Client, mut dice: Dice, known: Shared) {
    loop {
        let consignment = choose(&mut dice, &known);
        let created = client.create_consignment(consignment.clone());
        match answer("an answer to a create", created).await {
            Ok(reply) => {
                let stored = reply.into_inner().consignment.unwrap();
                assert_eq!(encoding(&stored), encoding(&consignment));
                let mut known = known.lock().unwrap();
                let place = known.acknowledged.entry(stored.sequence);
                let known = place.or_insert_with(|| encoding(&stored));
                assert_eq!(*known, encoding(&stored), "one place for each");
            }
            Err(status) if status.code() == Code::AlreadyExists => {}
            // Made on this side of the wire, so the server has gone.
            Err(status) if status.source().is_some() => return,
            Err(status) => panic!("refused by a living server: {status}"),
        }
    }
}

/// Lets the clients create until the server is killed at a moment that the dice choose, which is one after it has
/// acknowledged something where it `must_acknowledge`.
pub(crate) async fn live_and_be_killed(
    server: Server,
    dice: &mut Dice,
    known: &Shared,
    must_acknowledge: bool,
) {
    let acknowledged = || known.lock().unwrap().acknowledged.len();
    let before = acknowledged();
    let mut creating = Vec::new();
    for _ in 0..CLIENTS {
        let client = answer("a connection to create over", server.connect()).await;
        let own_dice = Dice(dice.roll(u64::MAX));
        creating.push(tokio::spawn(create_on(client, own_dice, Arc::clone(known))));
    }
    let acknowledging = async {
        while must_acknowledge && acknowledged() == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    answer("an acknowledgement", acknowledging).await;
    tokio::time::sleep(Duration::from_millis(dice.roll(LONGEST_LIFE_MILLIS))).await;
    server.kill();
    for client in answer("the end of all who create", join_all(creating)).await {
        client.unwrap();
    }
}

/// Checks what comes after the sequence number `after`, and returns the last.
pub(crate) async fn check(server: &Server, known: &Shared, after: u64) -> u64 {
    let all = list(server, after).await;
    let known = known.lock().unwrap();
    let mut last = after;
    let mut ids = HashSet::new();
    for listed in all {
        let consignment = Consignment::decode(listed.clone()).unwrap();
        last += 1;
        assert_eq!(consignment.sequence, last, "gapless");
        let body = encoding(&consignment);
        let mut whole = body.to_vec();
        ServerFields::default().write(
            &mut whole,
            last,
            micros(&consignment.created_at.unwrap()),
            "",
        );
        assert_eq!(listed, whole, "byte for byte");
        assert!(
            known.contents.contains(&body),
            "never sent: {consignment:?}"
        );
        if let Some(acknowledged) = known.acknowledged.get(&last) {
            assert_eq!(body, acknowledged, "as acknowledged: {consignment:?}");
        }
        assert!(ids.insert(consignment.id), "stored once");
    }
    let acknowledged = known.acknowledged.last_key_value();
    let acknowledged = acknowledged.map_or(0, |(&sequence, _)| sequence);
    assert!(
        acknowledged <= last,
        "{acknowledged} was acknowledged, {last} is the last"
    );
    last
}

pub(crate) async fn list(server: &Server, after: u64) -> Vec<Bytes> {
    let after = Position {
        register: server.register.clone(),
        sequence: after,
    };
    let request = ListRequest {
        after: Some(after),
        ..ListRequest::default()
    };
    let mut client = answer("a connection to list over", server.connect()).await;
    let listing = client.list_consignments(request);
    let mut chunks = answer("a list", listing).await.unwrap().into_inner();
    let mut listed = Vec::new();
    while let Some(chunk) = answer("a list's chunk", chunks.message()).await.unwrap() {
        listed.extend(chunk.consignments);
    }
    listed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_being_killed_at_any_moment() {
    let rounds = setting("SHIPPY_TEST_KILL_ROUNDS").unwrap_or(5);
    let seed = setting("SHIPPY_TEST_KILL_SEED").unwrap_or_else(own_seed);
    eprintln!("SHIPPY_TEST_KILL_ROUNDS={rounds} SHIPPY_TEST_KILL_SEED={seed}");
    let mut dice = Dice(seed);
    let known = Shared::default();
    let home = folder();
    let mut last = 0;
    for round in 1..=rounds {
        let server = Server::start(home.path());
        let from = if round % FULL_CHECK_EVERY == 0 {
            0
        } else {
            last
        };
        last = check(&server, &known, from).await;
        // One that is killed at once may acknowledge nothing; on a slow machine that would be all of them.
        live_and_be_killed(server, &mut dice, &known, round % 2 == 1).await;
    }
    let server = Server::start(home.path());
    last = check(&server, &known, 0).await;
    assert!(server.stop().success());
    let acknowledged = known.lock().unwrap().acknowledged.len();
    eprintln!("{acknowledged} acknowledged, {last} stored");
}

#[test]
fn a_killed_server_leaves_its_log_and_the_next_start_reads_it() {
    let home = folder();
    let server = Server::start(home.path());
    let created = run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
    server.kill();
    let log = home.path().join("register.db-wal");
    assert!(log.metadata().unwrap().len() > 0);
    let server = Server::start(home.path());
    let listed = run(&mut server.ask(home.path(), &["list", "-o", "ndjson"])).exits(0);
    assert!(listed.stdout.contains(created.stdout.trim()), "{listed:?}");
    assert!(server.stop().success());
    assert!(!log.exists(), "a server that ends by itself leaves none");
}

/// Another seed each time.
pub(crate) fn own_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_micros()).unwrap()
}
