//! Networks of our own: namespaces joined by virtual cables, so that nothing is said on a real network.
//!
//! Run as root with `cargo test --test it -- --ignored namespace`.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant as Clock},
};

use shippy::registry::{Registry, RegistryError, mdns::Mdns};
use simple_dns::{Packet, PacketFlag};
use socket2::{Domain, SockRef, Socket, Type};

use super::{NEVER, PORT, SOON, all_within, first, instance};
use crate::support::{eventually, namespace::Namespace, within};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

impl Namespace {
    /// Runs the future that `work` returns on a runtime inside.
    fn run_async<T: Send, F: Future<Output = T>>(&self, work: impl FnOnce() -> F + Send) -> T {
        self.inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(work())
        })
    }

    /// Announces a server at `addresses`; its service's name, and what keeps it announced.
    fn announce(&self, addresses: &[&str]) -> (String, Mdns) {
        let announced = instance(addresses);
        self.run_async(|| async move {
            let server = Mdns::with_port(PORT);
            server.announce(&announced).await.unwrap();
            (announced.name, server)
        })
    }

    /// Waits until `expected` are the addresses of the service `name` that are known here after a while.
    #[track_caller]
    fn hears(&self, name: &str, expected: &[&str]) {
        let deadline = Clock::now() + SOON;
        loop {
            let found = self.addresses_of(name);
            if found == expected {
                return;
            }
            assert!(Clock::now() < deadline, "{found:?}, not {expected:?}");
        }
    }

    /// The addresses that are known of the service `name` after a while.
    fn addresses_of(&self, name: &str) -> Vec<String> {
        let found =
            self.run_async(|| async { all_within(NEVER, &Mdns::with_port(PORT), name).await });
        found
            .into_iter()
            .next_back()
            .map(|instance| instance.addresses)
            .unwrap_or_default()
    }
}

/// A socket at the multicast DNS port of `ip`.
fn speaker(ip: Ipv4Addr) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from((ip, PORT)).into()).unwrap();
    UdpSocket::from(socket)
}

/// A socket on the multicast DNS port that has joined the group on the interfaces of `members` alone.
fn bystander(members: &[Ipv4Addr]) -> UdpSocket {
    let socket = speaker(Ipv4Addr::UNSPECIFIED);
    for member in members {
        socket.join_multicast_v4(&GROUP, member).unwrap();
    }
    socket.set_read_timeout(Some(NEVER)).unwrap();
    socket
}

#[test]
#[ignore = "needs root and network namespaces"]
fn namespace_a_server_on_loopback_never_answers_the_network() {
    let (here, there) = (Namespace::with_loopback(), Namespace::with_loopback());
    here.connect("cable", "10.77.0.1/24", &there, "10.77.0.2/24");
    // Another process that joins the group has the kernel hand its datagrams to sockets that have not.
    let _joined = here.inside(|| bystander(&[Ipv4Addr::new(10, 77, 0, 1)]));
    let unjoined = here.inside(|| bystander(&[Ipv4Addr::LOCALHOST]));
    let (closed, _server) = here.announce(&["127.0.0.1:50051"]);
    while unjoined.recv(&mut [0; 9_000]).is_ok() {}

    assert_eq!(there.addresses_of(&closed), [""; 0]);
    assert!(
        unjoined.recv(&mut [0; 9_000]).is_ok(),
        "the question must have got as far as that"
    );
    assert!(!there.inside(|| answers_by_unicast(Ipv4Addr::new(10, 77, 0, 1))));

    here.hears(&closed, &["127.0.0.1:50051"]);
    let (open, _server) = here.announce(&["0.0.0.0:50052"]);
    there.hears(&open, &["10.77.0.1:50052"]);
}

const QUESTION: &[u8] = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x07_shippy\x04_tcp\x05local\0\0\x0c\0\x01";

/// Whether a question that is sent to `host` itself instead of the group (RFC 6762 §5.5) is answered.
fn answers_by_unicast(host: Ipv4Addr) -> bool {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(NEVER)).unwrap();
    socket.send_to(QUESTION, (host, PORT)).unwrap();
    socket.recv(&mut [0; 9_000]).is_ok()
}

#[test]
#[ignore = "needs root and network namespaces"]
fn namespace_each_interface_hears_of_its_own_addresses() {
    let (server, left, right) = (
        Namespace::with_loopback(),
        Namespace::with_loopback(),
        Namespace::with_loopback(),
    );
    server.connect("left", "10.77.1.1/24", &left, "10.77.1.2/24");
    server.connect("right", "10.77.2.1/24", &right, "10.77.2.2/24");
    server.add_address("left", "fd77:1::1/64");
    left.add_address("left", "fd77:1::2/64");

    let (ipv4, _first) = server.announce(&["0.0.0.0:50051"]);
    left.hears(&ipv4, &["10.77.1.1:50051"]);
    right.hears(&ipv4, &["10.77.2.1:50051"]);
    let mut own = eventually("all of its own addresses", || {
        Some(server.addresses_of(&ipv4)).filter(|own| own.len() == 3)
    });
    own[1..].sort();
    assert_eq!(
        own,
        ["127.0.0.1:50051", "10.77.1.1:50051", "10.77.2.1:50051"]
    );

    let (both, _second) = server.announce(&["[::]:50052"]);
    left.hears(&both, &["10.77.1.1:50052", "[fd77:1::1]:50052"]);
    right.hears(&both, &["10.77.2.1:50052"]);

    let (held, _third) = server.announce(&["10.77.2.1:50053"]);
    right.hears(&held, &["10.77.2.1:50053"]);
    assert_eq!(left.addresses_of(&held), [""; 0]);

    let (published, _fourth) = server.announce(&["203.0.113.9:50054"]);
    left.hears(&published, &["203.0.113.9:50054"]);
    right.hears(&published, &["203.0.113.9:50054"]);
}

#[test]
#[ignore = "needs root and network namespaces"]
fn namespace_without_ipv6_all_works() {
    let (here, there) = (Namespace::new(), Namespace::new());
    for side in [&here, &there] {
        side.inside(|| std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap());
        side.ip(&["link", "set", "lo", "up"]);
    }
    here.connect("cable", "10.77.3.1/24", &there, "10.77.3.2/24");
    let (name, server) = here.announce(&["[::]:50051"]);
    there.hears(&name, &["10.77.3.1:50051"]);
    here.run_async(|| async { server.withdraw().await.unwrap() });
    assert_eq!(there.addresses_of(&name), [""; 0]);
}

#[test]
#[ignore = "needs root and network namespaces"]
fn namespace_without_an_interface_is_said_at_once_and_mended_when_one_comes_up() {
    let here = Namespace::new();
    let announced = instance(&["0.0.0.0:50051"]);
    let attempt = || async {
        let registry = Mdns::with_port(PORT);
        let error = registry.announce(&announced).await.unwrap_err();
        assert!(matches!(error, RegistryError::NoMulticast(_)), "{error}");
        let error = first(&registry, &announced.name).await.unwrap_err();
        assert!(matches!(error, RegistryError::NoMulticast(_)), "{error}");
        assert!(
            registry.describe().contains("no network interface"),
            "{}",
            registry.describe()
        );
        registry
    };
    let server = within(Duration::from_secs(1), || here.run_async(attempt));

    here.ip(&["link", "set", "lo", "up"]);
    // The responder looks for new interfaces every 5 s.
    eventually("announced on the interface that came up", || {
        (!here.addresses_of(&announced.name).is_empty()).then_some(())
    });
    here.run_async(|| async { server.withdraw().await.unwrap() });
}

#[test]
#[ignore = "needs root and network namespaces"]
fn namespace_a_firewall_that_drops_unicast_replies_leaves_the_browse() {
    let (here, there) = (Namespace::with_loopback(), Namespace::with_loopback());
    here.connect("cable", "10.77.4.1/24", &there, "10.77.4.2/24");
    // What a desktop firewall does: multicast DNS may come in on its own port, all else only when it is related.
    let rule = format!("-A INPUT -i cable -p udp ! --dport {PORT} -j DROP");
    let mut iptables = there.command("iptables");
    assert!(iptables.args(rule.split(' ')).status().unwrap().success());
    let (name, _server) = here.announce(&["0.0.0.0:50051"]);
    let found = there.run_async(|| async { first(&Mdns::with_port(PORT), &name).await.unwrap() });
    assert_eq!(found.addresses, ["10.77.4.1:50051"]);
}

/// Two joined by a cable, `10.77.5.1` and `10.77.5.2`, and a member of the group on the second.
fn overheard() -> (Namespace, Namespace, UdpSocket) {
    let (here, there) = (Namespace::with_loopback(), Namespace::with_loopback());
    here.connect("cable", "10.77.5.1/24", &there, "10.77.5.2/24");
    let member = there.inside(|| bystander(&[Ipv4Addr::new(10, 77, 5, 2)]));
    (here, there, member)
}

/// Waits until `member` hears a response of the server at 10.77.5.1 of which `is_meant` is true.
fn overhears(member: &UdpSocket, what: &str, is_meant: impl Fn(&Packet) -> bool) {
    let server = Ipv4Addr::new(10, 77, 5, 1);
    eventually(what, || {
        let mut buffer = [0; 9_000];
        let (length, sender) = member.recv_from(&mut buffer).ok()?;
        let packet = Packet::parse(&buffer[..length]).unwrap();
        let is_response = packet.has_flags(PacketFlag::RESPONSE) && !packet.answers.is_empty();
        (sender.ip() == server && is_response && is_meant(&packet)).then_some(())
    });
}

fn is_goodbye(packet: &Packet) -> bool {
    packet.answers.iter().all(|record| record.ttl == 0)
}

#[test]
#[ignore = "needs root, network namespaces and nftables"]
fn namespace_what_could_not_be_announced_is_announced_later() {
    let (here, _there, member) = overheard();
    here.filter("table inet wall {\n chain out {\n  type filter hook output priority 0\n  oifname cable drop\n }\n}\n");
    // It is found on loopback.
    let (_, _server) = here.announce(&["0.0.0.0:50051"]);
    // For longer than two announcements take.
    for _ in 0..3 {
        assert!(member.recv(&mut [0; 9_000]).is_err());
    }
    here.unfilter();
    overhears(&member, "the announcement", |packet| !is_goodbye(packet));
}

#[test]
#[ignore = "needs root and network namespaces"]
fn namespace_an_address_that_is_gone_is_taken_back() {
    let (here, _there, member) = overheard();
    here.add_address("cable", "10.77.5.9/24");
    let (_, _server) = here.announce(&["10.77.5.9:50051"]);
    overhears(&member, "the announcement", |packet| !is_goodbye(packet));
    here.ip(&["address", "del", "10.77.5.9/24", "dev", "cable"]);
    overhears(&member, "the goodbye", is_goodbye);
}

/// An address of `there` that is in no network of `here`, which knows the way to it.
fn elsewhere(here: &Namespace, there: &Namespace) -> Ipv4Addr {
    there.ip(&["address", "add", "203.0.113.9/32", "dev", "lo"]);
    here.ip(&["route", "add", "203.0.113.9/32", "dev", "cable"]);
    Ipv4Addr::new(203, 0, 113, 9)
}

/// Asks for servers from `from`, on the cable.
fn ask(there: &Namespace, from: Ipv4Addr) -> UdpSocket {
    let socket = there.inside(|| UdpSocket::bind((from, 0)).unwrap());
    let cable = Ipv4Addr::new(10, 77, 5, 2);
    SockRef::from(&socket).set_multicast_if_v4(&cable).unwrap();
    socket.set_read_timeout(Some(NEVER)).unwrap();
    socket.send_to(QUESTION, (GROUP, PORT)).unwrap();
    socket
}

#[test]
#[ignore = "needs root and network namespaces"]
fn namespace_who_claims_to_be_elsewhere_is_not_told_himself() {
    let (here, there, member) = overheard();
    let elsewhere = elsewhere(&here, &there);
    let (_, _server) = here.announce(&["0.0.0.0:50051"]);
    let mut buffer = [0; 9_000];
    let near = ask(&there, Ipv4Addr::new(10, 77, 5, 2));
    assert!(near.recv(&mut buffer).is_ok());
    // Until both announcements are over.
    while member.recv(&mut buffer).is_ok() {}
    let far = ask(&there, elsewhere);
    overhears(&member, "the answer", |packet| !is_goodbye(packet));
    assert!(far.recv(&mut buffer).is_err());
}

#[test]
#[ignore = "needs root and network namespaces"]
fn namespace_who_answers_from_elsewhere_is_not_believed() {
    let (here, there, member) = overheard();
    let elsewhere = elsewhere(&here, &there);
    let near = Ipv4Addr::new(10, 77, 5, 2);
    let (name, server) = there.announce(&["0.0.0.0:50051"]);
    let mut answer = [0; 9_000];
    let length = ask(&there, near).recv(&mut answer).unwrap();
    let answer = [&[0, 0], &answer[2..length]].concat();
    there.run_async(|| async { server.withdraw().await.unwrap() });
    for (from, believed) in [(near, &["10.77.5.2:50051"][..]), (elsewhere, &[])] {
        let liar = there.inside(|| speaker(from));
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    if let Ok((_, asker)) = member.recv_from(&mut [0; 9_000]) {
                        liar.send_to(&answer, asker).unwrap();
                    }
                }
            });
            let found = here.addresses_of(&name);
            is_over.store(true, Ordering::Relaxed);
            assert_eq!(found, believed, "from {from}");
        });
    }
}
