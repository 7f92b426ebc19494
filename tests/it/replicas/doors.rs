//! Two doors to one server stand for two servers of one register.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    time::Duration,
};

use prost::Message as _;
use shippy::{
    client::Client,
    proto::{CHUNK_RECORDS, Consignment, CreateChunk, ListRequest, Outcome, outcome},
};
use tokio::sync::mpsc;

use super::{
    TIMEOUT, client, client_of, etcd as through, fresh, many,
    proxy::{Door, Proxy},
    timed,
};
use crate::{
    running::Printing,
    support::{Server, etcd::Etcd, folder, free_address, run, shippy},
};

/// What befalls the door that a client uses, again and again.
const FAULTS: [Door; 4] = [Door::Shut, Door::Stuck, Door::Shut, Door::Stuck];

/// Two doors to a server.
struct Doors([Proxy; 2]);

impl Doors {
    async fn to(server: &Server) -> Self {
        Self::to_address(server.address).await
    }

    async fn to_address(server: SocketAddr) -> Self {
        Self([Proxy::before(server).await, Proxy::before(server).await])
    }

    fn addresses(&self) -> Vec<String> {
        self.0.iter().map(|door| door.address.clone()).collect()
    }

    fn client(&self) -> Client {
        client(self.addresses())
    }

    fn at(&self, address: &str) -> &Proxy {
        let mut doors = self.0.iter();
        doors.find(|door| door.address == address).unwrap()
    }

    fn set_all(&self, door: Door) {
        for one in &self.0 {
            one.set(door);
        }
    }
}

#[tokio::test]
async fn clients_spread_over_servers_that_answer_for_one_register() {
    let home = folder();
    let server = Server::start(home.path());
    let doors = Doors::to(&server).await;
    let mut asked: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..40 {
        let health = doors.client().health().await.unwrap();
        *asked.entry(health.address).or_default() += 1;
    }
    // Each is expected 20 times with a standard deviation of 3.2.
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked.values().all(|times| *times >= 4), "{asked:?}");
}

#[tokio::test]
async fn a_client_keeps_to_one_server_as_long_as_it_answers() {
    let home = folder();
    let server = Server::start(home.path());
    let doors = Doors::to(&server).await;
    let mut client = doors.client();
    let address = client.health().await.unwrap().address;
    for _ in 0..20 {
        client.create(&fresh()).await.unwrap();
        assert_eq!(client.health().await.unwrap().address, address);
    }
}

#[tokio::test]
async fn a_create_goes_on_with_another_server() {
    let home = folder();
    let server = Server::start(home.path());
    let doors = Doors::to(&server).await;
    let mut client = doors.client();
    for door in FAULTS {
        let before = client.health().await.unwrap().address;
        doors.at(&before).set(door);
        let created = timed(&format!("a create, {door:?}"), client.create(&fresh())).await;
        assert!(created.unwrap().created);
        assert_ne!(client.health().await.unwrap().address, before);
        doors.set_all(Door::Open);
    }
}

#[tokio::test]
async fn a_new_client_passes_a_server_over_that_does_not_answer() {
    let home = folder();
    let server = Server::start(home.path());
    let doors = Doors::to(&server).await;
    for door in FAULTS {
        doors.0[0].set(door);
        // About every other would ask the first one.
        for _ in 0..4 {
            let mut client = doors.client();
            let what = format!("a first create, {door:?}");
            let created = timed(&what, client.create(&fresh())).await;
            assert!(created.unwrap().created);
            let address = client.health().await.unwrap().address;
            assert_eq!(address, doors.0[1].address);
        }
        doors.set_all(Door::Open);
    }
}

#[tokio::test]
async fn a_server_that_was_away_is_used_again_when_the_other_goes() {
    let home = folder();
    let server = Server::start(home.path());
    let doors = Doors::to(&server).await;
    let mut client = doors.client();
    doors.set_all(Door::Shut);
    let mending = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        doors.0[1].set(Door::Open);
    };
    let consignment = fresh();
    let (created, ()) = tokio::join!(client.create(&consignment), mending);
    created.unwrap();
    doors.0[0].set(Door::Open);
    doors.0[1].set(Door::Shut);
    client.create(&fresh()).await.unwrap();
    let address = client.health().await.unwrap().address;
    assert_eq!(address, doors.0[0].address);
}

/// Chunks of consignments that are numbered from 0.
fn chunk(number: usize) -> CreateChunk {
    let records = (0..CHUNK_RECORDS).map(|place| Consignment {
        id: format!("tea-{}", number * CHUNK_RECORDS + place),
        ..Consignment::default()
    });
    CreateChunk {
        consignments: records
            .map(|record| record.encode_to_vec().into())
            .collect(),
    }
}

fn is_stored(outcome: &Outcome) -> bool {
    use outcome::Result;
    [Result::Created as i32, Result::AlreadyThere as i32].contains(&outcome.result)
}

#[tokio::test]
async fn a_bulk_load_goes_on_with_another_server() {
    let home = folder();
    let server = Server::start(home.path());
    let doors = Doors::to(&server).await;
    let (sender, chunks) = mpsc::channel(1);
    let sending = async move {
        let mut number = 0;
        while sender.send(chunk(number)).await.is_ok() {
            number += 1;
        }
    };
    let sending = tokio::spawn(sending);
    let mut client = doors.client();
    let mut load = client.load(chunks);
    let mut answered = 0;
    for door in FAULTS {
        // Whichever it uses fails while chunks are under way.
        for place in 0..2 {
            for _ in 0..20 {
                let outcomes = load.next().await.unwrap().unwrap();
                assert!(outcomes.iter().all(is_stored));
                answered += outcomes.len();
            }
            doors.0[place].set(door);
            let what = format!("a load's next answers, {door:?}");
            timed(&what, async {
                // What had been answered before the door failed may still be there to be read.
                for _ in 0..20 {
                    answered += load.next().await.unwrap().unwrap().len();
                }
            })
            .await;
            doors.set_all(Door::Open);
        }
    }
    drop(load);
    sending.await.unwrap();
    let listed = listed(&mut client).await;
    assert!(listed.len() >= answered);
    let ids: HashSet<&String> = listed.iter().map(|one| &one.id).collect();
    assert_eq!(ids.len(), listed.len(), "none twice");
    assert!((0..answered).all(|number| ids.contains(&format!("tea-{number}"))));
}

/// All that is there, whose sequence numbers have no gap.
async fn listed(client: &mut Client) -> Vec<Consignment> {
    let mut listing = client.list(ListRequest::default());
    let mut listed = Vec::new();
    while let Some(chunk) = listing.next().await.unwrap() {
        for encoded in chunk.consignments {
            let consignment = Consignment::decode(encoded).unwrap();
            listed.push(consignment);
            assert_eq!(listed.last().unwrap().sequence, listed.len() as u64);
        }
    }
    listed
}

#[tokio::test]
async fn a_followed_list_goes_on_with_another_server() {
    let home = folder();
    let server = Server::start(home.path());
    let doors = Doors::to(&server).await;
    let mut reader = doors.client();
    let mut writer = client(vec![server.address.to_string()]);
    let mut listing = reader.list(ListRequest {
        follow: true,
        ..ListRequest::default()
    });
    let mut last = 0;
    for door in FAULTS {
        for failing in &doors.0 {
            failing.set(door);
            let id = writer.create(&fresh()).await.unwrap();
            let id = id.consignment.unwrap().id;
            let what = format!("a followed list's next, {door:?}");
            timed(&what, async {
                loop {
                    let chunk = listing.next().await.unwrap().unwrap();
                    for encoded in chunk.consignments {
                        let consignment = Consignment::decode(encoded).unwrap();
                        last += 1;
                        assert_eq!(consignment.sequence, last, "no gap, no repeat");
                        if consignment.id == id {
                            return;
                        }
                    }
                }
            })
            .await;
            failing.set(Door::Open);
        }
    }
    assert_eq!(last, 2 * FAULTS.len() as u64);
}

#[tokio::test]
#[ignore = "needs etcd"]
async fn a_client_goes_on_although_the_registry_is_away() {
    let home = folder();
    let mut etcd = Etcd::start(1);
    let address = free_address();
    let doors = Doors::to_address(address.parse().unwrap()).await;
    let addresses = etcd.addresses();
    let registry = ["--registry", "etcd", "--registry-address", &addresses];
    let server = Server::start_with(home.path(), |serve| {
        serve.args(["--address", &address]).args(registry);
        serve.args(["--advertise", &doors.addresses().join(",")]);
    });
    let name = server.ready.split(' ').nth(2).unwrap();
    let mut client = client_of(through(&addresses), name, TIMEOUT);
    client.create(&fresh()).await.unwrap();
    etcd.down();
    for door in FAULTS {
        let before = client.health().await.unwrap().address;
        doors.at(&before).set(door);
        let what = format!("a create, {door:?}, without etcd");
        let created = timed(&what, client.create(&fresh())).await;
        assert!(created.unwrap().created);
        assert_ne!(client.health().await.unwrap().address, before);
        doors.set_all(Door::Open);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_go_on_with_another_server() {
    const RECORDS: usize = 50_000;

    let home = folder();
    let server = Server::start(home.path());
    let doors = Doors::to(&server).await;
    let servers = doors.addresses().join(",");
    let asking = |args: &[&str]| {
        let mut command = shippy(home.path());
        command.args(args).args(["--server", &servers]);
        // What a machine that is busy with other tests may need; a door that is stuck is left long before.
        command.args(["--timeout", "60s"]);
        Printing::start(&mut command)
    };
    let follow = asking(&["list", "--follow", "-o", "ndjson"]);
    let mut total = 0;
    for door in FAULTS {
        for failing in &doors.0 {
            // A load of its own for each fault: how fast it goes changes nothing.
            let path = many(home.path(), &format!("load-{total}"), RECORDS);
            let create = asking(&["create", &path]);
            create.await_lines(2_000);
            failing.set(door);
            let (created, ids) = create.end();
            created.exits(0).says(&["created"]);
            assert_eq!(ids.lines().count(), RECORDS);
            failing.set(Door::Open);
            total += RECORDS;
        }
    }

    let listed = run(&mut server.ask(home.path(), &["list", "-o", "ndjson"])).exits(0);
    assert_eq!(listed.stdout.lines().count(), total);
    follow.await_lines(total);
    let printed = follow.interrupt();
    assert!(
        printed == listed.stdout,
        "the same without a gap or a repeat"
    );
}
