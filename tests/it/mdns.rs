//! Servers announce themselves by multicast DNS and are found: the real thing, on loopback and in network namespaces.
//!
//! All share one UDP port, which no other program of this machine uses; a service name apiece keeps them apart.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant as Clock},
};

use futures_util::StreamExt;
use shippy::registry::{Instance, Kind, Preference, Registry, RegistryError, mdns::Mdns};
use uuid::Uuid;

use crate::support::SOON;

mod namespaces;
mod peer;
mod wire;

/// Not 5353: what these tests say is for them alone.
pub(crate) const PORT: u16 = 25_353;
/// How long to wait for what must not come. A server that is there answers in a hundredth of it.
const NEVER: Duration = Duration::from_millis(700);

/// A server that listens at `addresses`, of a service that is its own.
fn instance(addresses: &[&str]) -> Instance {
    let id = Uuid::now_v7().to_string();
    Instance {
        name: format!("test.{id}"),
        id,
        version: "0.1.0".to_owned(),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        register: Uuid::now_v7().to_string(),
        kind: Kind::Single,
        tls: true,
        preference: Preference::default(),
    }
}

/// The first thing that a search for `name` yields.
async fn first(registry: &Mdns, name: &str) -> Result<Instance, RegistryError> {
    let mut search = registry.find(name);
    let found = tokio::time::timeout(SOON, search.next()).await;
    found
        .unwrap_or_else(|_| panic!("{name} not found within {SOON:?}"))
        .expect("a search does not end")
}

/// Whatever a search for `name` yields within `time`.
async fn all_within(time: Duration, registry: &Mdns, name: &str) -> Vec<Instance> {
    let mut found = Vec::new();
    let mut search = registry.find(name);
    let collect = async {
        while let Some(result) = search.next().await {
            found.push(result.expect("the interfaces take questions"));
        }
    };
    tokio::time::timeout(time, collect)
        .await
        .expect_err("a search does not end");
    found
}

#[tokio::test]
async fn an_announced_server_is_found_as_it_is() {
    let server = Mdns::on_loopback(PORT);
    let announced = instance(&["127.0.0.1:50051"]);
    server.announce(&announced).await.unwrap();
    let found = first(&Mdns::on_loopback(PORT), &announced.name)
        .await
        .unwrap();
    assert_eq!(found, announced);
}

#[tokio::test]
async fn a_server_on_ipv6_loopback_alone_is_found() {
    let server = Mdns::on_loopback(PORT);
    let announced = instance(&["[::1]:50051"]);
    server.announce(&announced).await.unwrap();
    let found = first(&Mdns::on_loopback(PORT), &announced.name)
        .await
        .unwrap();
    assert_eq!(found.addresses, ["[::1]:50051"]);
}

#[tokio::test]
async fn a_search_that_waits_sees_a_server_come() {
    let late = instance(&["127.0.0.1:50051"]);
    let client = Mdns::on_loopback(PORT);
    let mut search = client.find(&late.name);
    assert!(tokio::time::timeout(NEVER, search.next()).await.is_err());
    let server = Mdns::on_loopback(PORT);
    server.announce(&late).await.unwrap();
    let found = tokio::time::timeout(SOON, search.next())
        .await
        .expect("found soon");
    assert_eq!(found.unwrap().unwrap(), late);
}

#[tokio::test]
async fn a_withdrawn_server_is_not_found() {
    let server = Mdns::on_loopback(PORT);
    let announced = instance(&["127.0.0.1:50051"]);
    server.announce(&announced).await.unwrap();
    server.withdraw().await.unwrap();
    assert_eq!(
        all_within(NEVER, &Mdns::on_loopback(PORT), &announced.name).await,
        []
    );
    server.withdraw().await.unwrap();
    server.announce(&announced).await.unwrap();
    first(&Mdns::on_loopback(PORT), &announced.name)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_that_comes_and_goes_is_found_by_those_who_wait_for_it() {
    let server = Mdns::on_loopback(PORT);
    let announced = instance(&["127.0.0.1:50051"]);
    let client = Mdns::on_loopback(PORT);
    for _ in 0..3 {
        let mut search = client.find(&announced.name);
        // Long enough for the browse to run, which remembers what it has heard.
        assert!(tokio::time::timeout(NEVER, search.next()).await.is_err());
        server.announce(&announced).await.unwrap();
        let found = tokio::time::timeout(SOON, search.next()).await;
        assert_eq!(found.expect("found soon").unwrap().unwrap(), announced);
        server.withdraw().await.unwrap();
    }
}

#[tokio::test]
async fn withdrawing_what_was_never_announced_does_nothing() {
    Mdns::on_loopback(PORT).withdraw().await.unwrap();
}

#[tokio::test]
async fn two_servers_of_one_service_are_both_found() {
    let one = instance(&["127.0.0.1:50051"]);
    let two = Instance {
        name: one.name.clone(),
        ..instance(&["127.0.0.1:50052"])
    };
    let servers = [Mdns::on_loopback(PORT), Mdns::on_loopback(PORT)];
    servers[0].announce(&one).await.unwrap();
    servers[1].announce(&two).await.unwrap();
    let client = Mdns::on_loopback(PORT);
    let mut search = client.find(&one.name);
    let both = async { [search.next().await, search.next().await] };
    let found = tokio::time::timeout(SOON, both)
        .await
        .expect("both found soon");
    let ids: BTreeSet<String> = found
        .into_iter()
        .map(|found| found.unwrap().unwrap().id)
        .collect();
    assert_eq!(ids, BTreeSet::from([one.id, two.id]));
}

#[tokio::test]
async fn a_server_of_another_service_is_not_found() {
    let server = Mdns::on_loopback(PORT);
    let announced = instance(&["127.0.0.1:50051"]);
    server.announce(&announced).await.unwrap();
    let other = announced.name.to_uppercase();
    assert_eq!(
        all_within(NEVER, &Mdns::on_loopback(PORT), &other).await,
        []
    );
}

#[tokio::test]
async fn a_second_search_does_not_wait_for_the_rate_limit_of_multicast_answers() {
    let server = Mdns::on_loopback(PORT);
    let announced = instance(&["127.0.0.1:50051"]);
    server.announce(&announced).await.unwrap();
    let client = Mdns::on_loopback(PORT);
    first(&client, &announced.name).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..9 {
        let start = Clock::now();
        first(&client, &announced.name).await.unwrap();
        times.push(start.elapsed());
    }
    // The limit, which is a second, would hold up each of them, and a busy machine only a few.
    times.sort();
    assert!(times[4] < Duration::from_millis(500), "{times:?}");
}

#[tokio::test]
async fn an_instance_that_has_said_all_does_not_come_again() {
    let server = Mdns::on_loopback(PORT);
    let announced = instance(&["127.0.0.1:50051"]);
    server.announce(&announced).await.unwrap();
    let mut search = Mdns::on_loopback(PORT).find(&announced.name);
    let found = tokio::time::timeout(SOON, search.next()).await;
    assert_eq!(found.expect("found soon").unwrap().unwrap(), announced);
    // Long enough for several answers and the browse's own.
    let again = tokio::time::timeout(Duration::from_millis(1_500), search.next()).await;
    assert!(again.is_err(), "{again:?}");
}

#[tokio::test]
async fn what_cannot_be_announced_is_refused_with_the_reason() {
    let server = Mdns::on_loopback(PORT);
    let long = Instance {
        name: "n".repeat(300),
        ..instance(&["127.0.0.1:50051"])
    };
    let error = server.announce(&long).await.unwrap_err().to_string();
    assert!(error.contains("200 bytes"), "{error}");
    let nowhere = server
        .announce(&instance(&[]))
        .await
        .unwrap_err()
        .to_string();
    assert!(nowhere.contains("no address"), "{nowhere}");
}

#[test]
fn people_are_told_what_is_asked_and_where() {
    assert_eq!(
        Mdns::on_loopback(PORT).describe(),
        "mDNS (_shippy._tcp.local.) port 25353 on lo"
    );
    assert!(
        Mdns::new()
            .describe()
            .starts_with("mDNS (_shippy._tcp.local.) on lo")
    );
}
