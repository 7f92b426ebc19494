//! DNS: servers that a zone names, which the test writes in the platform's stead.

use std::{
    io::BufRead as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use shippy::{
    backend::{RegistryKind, RegistrySettings},
    registry::{Instance, Preference, Registry, access::Tenure},
};

use super::{Ground, next_instance};
use crate::{
    cli::{serve, serve_with, stored},
    running::Running,
    support::{
        Ran, Server,
        dns::{Dns, Record, Says, address, srv},
        eventually, folder, own_name, run, shippy,
    },
};

mod failures;
mod system;

/// What is looked up.
const NAME: &str = "depot.test";
/// Where its SRV records are.
const SERVICE: &str = "_shippy._tcp.depot.test";
/// The machine that the servers of the tests are on.
const HOST: &str = "node.depot.test";

/// A DNS server that knows that machine.
fn dns() -> Dns {
    let dns = Dns::start();
    dns.set(HOST, &[address("127.0.0.1")]);
    dns
}

/// `shippy` with `args`, which looks `place` up.
fn looking_up(home: &Path, place: &str, args: &[&str]) -> Command {
    let mut command = shippy(home);
    command.args(args).args(["--registry", "dns"]);
    command.args(["--registry-address", place]);
    command
}

/// The same, run to its end.
fn look_up(home: &Path, place: &str, args: &[&str]) -> Ran {
    run(&mut looking_up(home, place, args))
}

/// The SRV record of `server`.
fn record(priority: u16, server: &Server) -> Record {
    srv(priority, server.address.port(), HOST)
}

/// Two servers of one register, whose file was copied: clients cannot tell them from replicas by DNS.
fn two_of_one_register(home: &Path) -> [Server; 2] {
    let [one, two] = two_folders(home);
    let name = own_name();
    let server = serve(&one, &name);
    run(&mut server.ask(&one, &["create", "consignment.json"])).exits(0);
    assert!(server.stop().success());
    std::fs::copy(one.join("register.db"), two.join("register.db")).unwrap();
    // Announced nowhere, so that nobody says what the two are.
    [one, two].map(|folder| serve_with(&folder, &name, &["--registry", "static"]))
}

fn two_folders(home: &Path) -> [PathBuf; 2] {
    ["one", "two"].map(|name| {
        let folder = home.join(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    })
}

/// The registry of the names `addresses`.
fn registry(addresses: &[String]) -> Arc<dyn Registry> {
    let settings = RegistrySettings {
        kind: RegistryKind::Dns,
        addresses: addresses.to_owned(),
        authority: None,
        tenure: Tenure::default(),
    };
    settings.open().unwrap()
}

/// The first `count` servers that are found by the names `addresses`.
async fn find(addresses: &[String], count: usize) -> Vec<Instance> {
    let mut search = registry(addresses).find("any");
    let mut found = Vec::new();
    while found.len() < count {
        found.push(next_instance(&mut search).await);
    }
    found.sort_by_key(|instance| instance.addresses.clone());
    found
}

/// A zone, in which nobody announces anything.
struct Zone(Dns);

impl Ground for Zone {
    fn start() -> Self {
        Self(dns())
    }

    fn registry(&self) -> Arc<dyn Registry> {
        registry(&[self.0.place(NAME)])
    }
}

// The other cases begin with an announcement.
contract_holds!(@each super::dns::Zone, [], withdrawing_what_was_never_announced_does_nothing);

#[test]
fn a_server_is_found_by_its_srv_record() {
    let (dns, home) = (dns(), folder());
    let server = serve(home.path(), &own_name());
    dns.set(SERVICE, &[record(0, &server)]);
    dns.set("_grpc._tcp.depot.test", &[record(0, &server)]);
    let place = dns.place(NAME);
    let created = look_up(home.path(), &place, &["create", "consignment.json"]).exits(0);
    assert_eq!(stored(&server, home.path()), [created.stdout.trim()]);
    look_up(home.path(), &place, &["list"]).exits(0);
    let place = dns.place("_grpc._tcp.depot.test");
    look_up(home.path(), &place, &["list"]).exits(0);
}

#[test]
fn a_server_is_found_by_its_address_and_a_port() {
    let (dns, home) = (dns(), folder());
    let server = serve(home.path(), &own_name());
    // Which is not what is asked for here.
    dns.set("_shippy._tcp.node.depot.test", &[srv(0, 1, HOST)]);
    let place = dns.place(&format!("{HOST}:{}", server.address.port()));
    look_up(home.path(), &place, &["list"]).exits(0);
}

#[tokio::test]
async fn what_dns_says_of_servers_is_what_is_found() {
    let dns = dns();
    let addresses = [
        address("192.0.2.8"),
        address("2001:db8::7"),
        address("192.0.2.7"),
    ];
    dns.set(NAME, &addresses);
    let found = find(&[dns.place(NAME)], 3).await;
    let places: Vec<_> = found.iter().map(|one| one.addresses.join(" ")).collect();
    let expected = ["192.0.2.7:50051", "192.0.2.8:50051", "[2001:db8::7]:50051"];
    assert_eq!(places, expected);
    let found = find(&[dns.place("depot.test:7")], 3).await;
    assert_eq!(found[2].addresses, ["[2001:db8::7]:7"]);

    let weighty = Record::Srv {
        priority: 3,
        weight: 4,
        port: 5,
        target: NAME.into(),
    };
    dns.set(SERVICE, &[weighty, srv(0, 1, "gone.depot.test")]);
    let found = find(&[dns.place(NAME)], 1).await;
    let expected = ["192.0.2.8:5", "192.0.2.7:5", "[2001:db8::7]:5"];
    assert_eq!(found[0].addresses, expected);
    let preference = Preference {
        priority: 3,
        weight: 4,
    };
    assert_eq!(found[0].preference, preference);
}

#[tokio::test]
async fn of_several_names_all_servers_are_found() {
    let dns = dns();
    dns.set("a.depot.test", &[address("192.0.2.7")]);
    dns.set("b.depot.test", &[address("192.0.2.8")]);
    let places = ["a.depot.test", "gone.depot.test", "b.depot.test"].map(|name| dns.place(name));
    let found = find(&places, 2).await;
    let addresses: Vec<_> = found.iter().map(|one| one.addresses.join(" ")).collect();
    assert_eq!(addresses, ["192.0.2.7:50051", "192.0.2.8:50051"]);
}

#[test]
fn more_than_a_datagram_holds_is_asked_for_by_tcp() {
    let (dns, home) = (dns(), folder());
    let server = serve(home.path(), &own_name());
    let mut records: Vec<_> = (0..200).map(|_| srv(1, 1, "gone.depot.test")).collect();
    records.push(record(0, &server));
    dns.say(SERVICE, Says::TooLong(records));
    look_up(home.path(), &dns.place(NAME), &["list"]).exits(0);
}

#[test]
fn servers_of_one_register_are_its_replicas() {
    let (dns, home) = (dns(), folder());
    let [one, two] = two_of_one_register(home.path());
    dns.set(SERVICE, &[record(0, &one), record(0, &two)]);
    let place = dns.place(NAME);
    for _ in 0..4 {
        let listed = look_up(home.path(), &place, &["list"]).exits(0);
        assert!(listed.stdout.contains("vessel001"), "{listed:#?}");
    }
    // DNS goes on naming it.
    one.kill();
    for _ in 0..4 {
        look_up(home.path(), &place, &["list"]).exits(0);
    }
}

#[test]
fn of_several_registers_none_is_taken_until_one_is_chosen() {
    let (dns, home) = (dns(), folder());
    let servers = two_folders(home.path()).map(|folder| serve(&folder, &own_name()));
    dns.set(SERVICE, &servers.each_ref().map(|server| record(0, server)));
    let place = dns.place(NAME);
    // One of them may answer late on a busy machine.
    let ran = eventually("both to answer one command", || {
        let ran = look_up(home.path(), &place, &["list"]);
        (ran.code == Some(5)).then_some(ran)
    });
    let ran = ran.says(&["several registers", "choose one"]);
    for server in &servers {
        let line = format!("--register {}   at {}", server.register, server.address);
        assert!(ran.stderr.contains(&line), "{ran:#?}");
        let chosen = ["create", "consignment.json", "--register", &server.register];
        let created = look_up(home.path(), &place, &chosen).exits(0);
        assert_eq!(stored(server, home.path()), [created.stdout.trim()]);
    }
}

#[test]
fn the_server_with_the_lower_priority_is_asked_first() {
    let (dns, home) = (dns(), folder());
    let [second, first] = two_of_one_register(home.path());
    dns.set(SERVICE, &[record(20, &second), record(10, &first)]);
    let place = dns.place(NAME);
    let asked = || look_up(home.path(), &place, &["health"]).exits(0).stdout;
    let at = |server: &Server| format!(" at {},", server.address);
    // On a busy machine it may answer too late; by chance alone it would be as many with a probability of 1 %.
    let count = (0..16).filter(|_| asked().contains(&at(&first))).count();
    assert!(count >= 13, "{count} of 16");
    let address = at(&second);
    first.kill();
    assert!(asked().contains(&address));
}

#[test]
fn a_followed_list_goes_on_where_dns_says_that_the_server_has_gone() {
    let (dns, home) = (dns(), folder());
    let name = own_name();
    let mut server = serve(home.path(), &name);
    dns.set(SERVICE, &[record(0, &server)]);
    let follow = ["list", "--follow", "-o", "ndjson", "--timeout", "20s"];
    let mut following = Running::start(&mut looking_up(home.path(), &dns.place(NAME), &follow));
    let mut lines = std::io::BufReader::new(following.child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        let create = ["create", "consignment.json"];
        let created = run(&mut server.ask(home.path(), &create)).exits(0);
        let line = lines.next().expect("it does not end").unwrap();
        assert!(line.contains(created.stdout.trim()), "{line}");
        let left = server.address;
        server.kill();
        server = serve(home.path(), &name);
        assert_ne!(server.address, left);
        dns.set(SERVICE, &[record(0, &server)]);
    }
}

#[test]
fn a_name_that_comes_to_be_while_it_is_looked_up_is_found() {
    let (dns, home) = (dns(), folder());
    let server = serve(home.path(), &own_name());
    let list = ["list", "--timeout", "20s"];
    let mut listing = Running::start(&mut looking_up(home.path(), &dns.place(NAME), &list));
    thread::sleep(Duration::from_millis(700));
    assert!(listing.child.try_wait().unwrap().is_none());
    dns.set(SERVICE, &[record(0, &server)]);
    listing.end().exits(0);
}

#[test]
fn a_server_says_that_it_is_for_others_to_announce_it() {
    let home = folder();
    let server = serve_with(home.path(), &own_name(), &["--registry", "dns"]);
    let log = server.logged();
    assert!(log.contains("announces nothing"), "{log}");
    assert!(log.contains("_shippy._tcp.NAME"), "{log}");
    assert!(!log.contains("WARN"), "{log}");
}
