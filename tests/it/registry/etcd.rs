//! etcd: what go-micro sees, failing over between members, logging in, TLS, watches that go on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use shippy::registry::{
    Instance, Kind, Registry,
    access::{Access, Tenure, User},
    etcd::Etcd as EtcdRegistry,
};

use super::{Ground, all, all_become, instance, kept::Service, next_instance};
use crate::support::{Server, etcd::Etcd, eventually, folder, free_address, own_name, run, shippy};

mod refusals;

contract_holds!(Etcd, "needs etcd");
is_kept!(Etcd, "needs etcd");

fn registry(addresses: &str, user: Option<User>) -> Arc<dyn Registry> {
    let addresses: Vec<String> = addresses.split(',').map(str::to_owned).collect();
    let access = Access::new(&addresses, 1, None).unwrap();
    Arc::new(EtcdRegistry::new(&access, user, Tenure::default()).unwrap())
}

impl Ground for Etcd {
    fn start() -> Self {
        Self::start(1)
    }

    fn registry(&self) -> Arc<dyn Registry> {
        registry(&self.addresses(), None)
    }
}

impl Service for Etcd {
    fn not_yet() -> Self {
        Self::stopped(1)
    }

    fn up(&mut self) {
        self.up();
    }

    fn down(&mut self) {
        self.down();
    }

    fn lose(&mut self) {
        self.lose();
    }

    fn place(&self) -> (&'static str, String) {
        ("etcd", self.addresses())
    }
}

/// Where go-micro's clients look for the service `name`.
fn prefix(name: &str) -> String {
    format!("/micro/registry/{name}/")
}

/// The key of the one server of the service `name`, and what it holds, once that is there.
#[track_caller]
fn announced(etcd: &Etcd, name: &str) -> (String, String) {
    let pairs = eventually("a server in etcd", || {
        Some(etcd.pairs(&prefix(name))).filter(|pairs| !pairs.is_empty())
    });
    let [pair] = &pairs[..] else {
        panic!("{pairs:?}");
    };
    pair.clone()
}

#[test]
#[ignore = "needs etcd"]
fn a_go_micro_client_reads_where_the_server_is() {
    let (etcd, home, name) = (Etcd::start(1), folder(), own_name());
    let mut command = etcd.shippy(home.path(), &["serve", "--name", &name, "--id", "depot"]);
    let advertise = ["--store", "memory:", "--advertise", "depot.example:50051"];
    command.args(["--server-version", "latest"]).args(advertise);
    let server = Server::spawn(command, home.path());
    let (key, value) = announced(&etcd, &name);
    let service: serde_json::Value = serde_json::from_str(&value).unwrap();
    let node = &service["nodes"][0];
    let id = node["id"].as_str().unwrap();
    assert!(id.starts_with(&format!("{name}-depot-")), "{id}");
    assert_eq!(key, format!("{}{id}", prefix(&name)));
    assert_eq!(service["name"], *name);
    assert_eq!(service["version"], "latest");
    assert_eq!(node["address"], "depot.example:50051");
    for key in ["protocol", "server", "transport"] {
        assert_eq!(node["metadata"][key], "grpc");
    }
    assert_eq!(node["metadata"]["register"], *server.register);
}

#[test]
#[ignore = "needs etcd"]
fn go_micros_settings_say_where_etcd_is_and_how_long_a_server_is_kept() {
    let (etcd, home, name) = (Etcd::start(1), folder(), own_name());
    let configured = |args: &[&str]| {
        let mut command = shippy(home.path());
        command.args(args).env("MICRO_SERVER_NAME", &name);
        command.env("MICRO_REGISTRY", "etcd");
        command.env("MICRO_REGISTRY_ADDRESS", etcd.addresses());
        command.env("MICRO_REGISTER_TTL", "20s");
        command.env("MICRO_REGISTER_INTERVAL", "7");
        command
    };
    let serve = ["serve", "--store", "memory:"];
    let start = || Server::spawn(configured(&serve), home.path());
    let _server = Server::without_warnings(start);
    run(&mut configured(&["list"])).exits(0);
    let leases = etcd.call("/v3/lease/leases", "", &serde_json::json!({}));
    let asked = etcd.call("/v3/lease/timetolive", "", &leases["leases"][0]);
    assert_eq!(asked["grantedTTL"], "20", "{leases} {asked}");
}

#[test]
#[ignore = "needs etcd"]
fn an_open_server_is_announced_at_addresses_that_others_reach() {
    let (etcd, home, name) = (Etcd::start(1), folder(), own_name());
    let serve = ["serve", "--lan", "--name", &name, "--store", "memory:"];
    let server = Server::spawn(etcd.shippy(home.path(), &serve), home.path());
    let (_, value) = announced(&etcd, &name);
    let service: serde_json::Value = serde_json::from_str(&value).unwrap();
    let address = service["nodes"][0]["address"].as_str().unwrap();
    let address: std::net::SocketAddr = address.parse().unwrap();
    assert!(!address.ip().is_unspecified(), "{address}");
    assert_eq!(address.port(), server.address.port());
    etcd.lists(home.path(), &name);
}

#[tokio::test]
#[ignore = "needs etcd"]
async fn what_others_keep_under_the_name_is_passed_over() {
    let etcd = Etcd::start(1);
    let announced = instance(50_051);
    let name = &announced.name;
    for (key, value) in [
        ("a", "no JSON"),
        ("b", "{}"),
        (
            "c",
            r#"{"name":"NAME","version":"latest","metadata":null,"endpoints":[],"nodes":[{"id":"NAME-1","address":"127.0.0.1:1","metadata":{"protocol":"grpc"}}]}"#,
        ),
        ("zz", "[]"),
    ] {
        etcd.put(
            &format!("{}{key}", prefix(name)),
            &value.replace("NAME", name),
        );
    }
    let server = etcd.registry();
    server.announce(&announced).await.unwrap();
    all_become(
        &*etcd.registry(),
        &announced.name,
        std::slice::from_ref(&announced),
    )
    .await;
}

#[tokio::test]
#[ignore = "needs etcd"]
async fn a_key_that_somebody_takes_away_comes_back() {
    let etcd = Etcd::start(1);
    let announced = instance(50_051);
    let server = etcd.registry();
    announce_in_the_end(&*server, &announced).await;
    next_instance(&mut server.find(&announced.name)).await;
    let key = etcd.pairs(&prefix(&announced.name))[0].0.clone();
    let is_back = || async {
        while etcd.pairs(&prefix(&announced.name)).is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    for _ in 0..2 {
        let mut comes_back = false;
        for _ in 0..5 {
            // The server watches its key soon after it has announced itself; what went before that has to go again.
            tokio::time::sleep(super::NEVER).await;
            etcd.put(&key, "");
            etcd.delete(&key);
            // Long before it is renewed, which is every 30 s.
            comes_back = tokio::time::timeout(Duration::from_secs(4), is_back())
                .await
                .is_ok();
            if comes_back {
                break;
            }
        }
        assert!(comes_back);
    }
}

/// Announces `instance`. Where the leader is the member that fails, the others may elect one for longer than the first
/// try lasts; the announcement goes on.
async fn announce_in_the_end(server: &dyn Registry, instance: &Instance) {
    if let Err(error) = server.announce(instance).await {
        assert!(error.is_tried_again(), "{error}");
    }
}

#[tokio::test]
#[ignore = "needs etcd"]
async fn any_member_will_do() {
    let mut etcd = Etcd::start(3);
    let dead = free_address();
    let addresses = format!("{dead},{}", etcd.addresses());
    let client = registry(&addresses, None);
    let announced = instance(50_051);
    let server = registry(&addresses, None);
    announce_in_the_end(&*server, &announced).await;
    let mut search = client.find(&announced.name);
    assert_eq!(next_instance(&mut search).await, announced);
    for member in 0..3 {
        etcd.kill(member);
        let late = Instance {
            name: announced.name.clone(),
            ..instance(50_052)
        };
        let second = registry(&addresses, None);
        announce_in_the_end(&*second, &late).await;
        assert_eq!(
            next_instance(&mut search).await,
            late,
            "with member {member} down"
        );
        second.withdraw().await.unwrap();
        assert_eq!(
            next_instance(&mut client.find(&announced.name)).await,
            announced
        );
        etcd.up();
    }
    server.withdraw().await.unwrap();
    assert_eq!(all(&*client, &announced.name).await, []);
}

#[tokio::test]
#[ignore = "needs etcd"]
async fn a_member_that_hangs_is_passed_over() {
    let etcd = Etcd::start(3);
    let announced = instance(50_051);
    let (server, client) = (etcd.registry(), etcd.registry());
    announce_in_the_end(&*server, &announced).await;
    let mut search = client.find(&announced.name);
    assert_eq!(next_instance(&mut search).await, announced);
    // The one that all are connected to.
    etcd.freeze(0);
    let found = next_instance(&mut etcd.registry().find(&announced.name)).await;
    assert_eq!(found, announced);
    let late = Instance {
        name: announced.name.clone(),
        ..instance(50_052)
    };
    let second = etcd.registry();
    announce_in_the_end(&*second, &late).await;
    assert_eq!(next_instance(&mut search).await, late);
    server.withdraw().await.unwrap();
    all_become(&*client, &announced.name, &[late]).await;
}

#[tokio::test]
#[ignore = "needs etcd"]
async fn without_a_majority_what_was_known_is_still_found() {
    let mut etcd = Etcd::start(3);
    let announced = instance(50_051);
    let server = etcd.registry();
    announce_in_the_end(&*server, &announced).await;
    next_instance(&mut etcd.registry().find(&announced.name)).await;
    etcd.kill(0);
    etcd.kill(1);
    let found = next_instance(&mut etcd.registry().find(&announced.name)).await;
    assert_eq!(found, announced);
}

#[tokio::test]
#[ignore = "needs etcd"]
async fn a_search_goes_on_over_restarts_compaction_and_loss() {
    let mut etcd = Etcd::start(1);
    let first = instance(50_051);
    let named = |port| Instance {
        name: first.name.clone(),
        ..instance(port)
    };
    let server = etcd.registry();
    announce_in_the_end(&*server, &first).await;
    let client = etcd.registry();
    let mut search = client.find(&first.name);
    assert_eq!(next_instance(&mut search).await, first);
    // What comes is found although the search sleeps through it, and its history is gone by then.
    let second = named(50_052);
    let other = etcd.registry();
    announce_in_the_end(&*other, &second).await;
    etcd.compact();
    assert_eq!(next_instance(&mut search).await, second);
    etcd.down();
    etcd.up();
    let third = named(50_053);
    let another = etcd.registry();
    announce_in_the_end(&*another, &third).await;
    etcd.compact();
    assert_eq!(next_instance(&mut search).await, third);
    // A cluster that begins anew counts from 1 again.
    etcd.down();
    etcd.lose();
    etcd.up();
    let fourth = named(50_054);
    let last = etcd.registry();
    announce_in_the_end(&*last, &fourth).await;
    while next_instance(&mut search).await != fourth {}
}

#[tokio::test]
#[ignore = "needs etcd"]
async fn beside_a_dead_replica_a_living_one_serves_at_once() {
    let (etcd, home) = (Etcd::start(1), folder());
    let living = Server::start(home.path());
    let name = own_name();
    let replica = |address: String| Instance {
        name: name.clone(),
        addresses: vec![address],
        register: living.register.clone(),
        kind: Kind::Shared,
        tls: false,
        ..instance(1)
    };
    let (one, two) = (etcd.registry(), etcd.registry());
    one.announce(&replica(free_address())).await.unwrap();
    two.announce(&replica(living.address.to_string()))
        .await
        .unwrap();
    // Every other command asks the dead one first, and a busy machine holds up only a few.
    let mut times: Vec<_> = (0..12)
        .map(|_| {
            let begun = Instant::now();
            run(&mut etcd.shippy(home.path(), &["list", "--name", &name])).exits(0);
            begun.elapsed()
        })
        .collect();
    times.sort();
    assert!(times[9] < Duration::from_millis(1_500), "{times:?}");
}
