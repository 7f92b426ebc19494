//! A server that may open no more files.

use std::{
    collections::BTreeSet,
    fs, io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use shippy::registry::{
    Registry as _,
    mdns::{self, Mdns},
};
use simple_dns::Packet;
use socket2::{Domain, Socket, Type};

use super::{ATTACK, attacker::connect, is_normal};
use crate::support::{SOON, Server, eventually, folder, own_name, run, shippy};

/// Lets `process` open as many files as it has open and `more`; what it was let before.
fn let_open(process: Pid, more: usize) -> Rlimit {
    let open = fs::read_dir(format!("/proc/{}/fd", process.as_raw_nonzero())).unwrap();
    let number = |file: io::Result<fs::DirEntry>| file.unwrap().file_name().into_string();
    let open: BTreeSet<u64> = open
        .map(|file| number(file).unwrap().parse().unwrap())
        .collect();
    // A file gets the least number that is free, which the limit is for.
    let limit = Rlimit {
        current: (0..).filter(|number| !open.contains(number)).nth(more),
        maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
    };
    prlimit(Some(process), Resource::Nofile, limit).unwrap()
}

fn warnings(server: &Server) -> u64 {
    let log = server.logged();
    log.matches("could not accept a connection").count() as u64
}

/// What of the processor's time `process` has taken, in ticks of 10 ms (proc(5)).
fn ticks(process: Pid) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<_> = fields.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_descriptors_waits_says_so_seldom_and_goes_on() {
    let home = folder();
    let server = Server::start(home.path());
    // Busy, so that its place is not given up.
    let mut client = server.connect().await;
    let list = shippy::proto::ListRequest {
        follow: true,
        ..Default::default()
    };
    let mut followed = client.list_consignments(list).await.unwrap().into_inner();
    followed.message().await.unwrap().unwrap();
    let before = let_open(server.pid(), 0);
    let waiting: Vec<_> = (0..20)
        .map(|number| connect(server.address, number).unwrap())
        .collect();
    eventually("a shortage", || (warnings(&server) > 0).then_some(()));
    let (begun, worked) = (Instant::now(), ticks(server.pid()));
    thread::sleep(ATTACK);
    // What is there already goes on.
    followed.message().await.unwrap().unwrap();
    let worked = Duration::from_millis(10 * (ticks(server.pid()) - worked));
    let share = worked.div_duration_f64(begun.elapsed());
    assert!(share < 0.5, "it took {share} of a core to wait");
    let most = 2 + begun.elapsed().as_secs() / 10;
    assert!(warnings(&server) <= most, "{}", server.logged());
    prlimit(Some(server.pid()), Resource::Nofile, before).unwrap();
    is_normal(&server, home.path(), &[]);
    drop(waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_descriptors_stays_announced() {
    let home = folder();
    let name = own_name();
    let mut command = shippy(home.path());
    command.args(["serve", "--store", "memory:", "--name", &name]);
    command.args(["--log-level", "debug"]);
    let listener = listener();
    let server = Server::spawn(command, home.path());
    eventually("a look that failed", || {
        // Whatever it has let go of meanwhile.
        let_open(server.pid(), 0);
        let is_said = server.logged().contains("could not list the network");
        is_said.then_some(())
    });
    thread::sleep(ATTACK);
    let mut buffer = [0; 9_000];
    while let Ok(length) = listener.recv(&mut buffer) {
        let packet = Packet::parse(&buffer[..length]).unwrap();
        let is_ours = buffer[..length]
            .windows(name.len())
            .any(|text| text == name.as_bytes());
        let is_gone = packet.answers.iter().any(|record| record.ttl == 0);
        assert!(!(is_ours && is_gone), "it said goodbye");
    }
    let mut search = Mdns::new().find(&name);
    let found = tokio::time::timeout(SOON, search.next()).await;
    let found = found.expect("it answers").unwrap().unwrap();
    assert_eq!(found.addresses, [server.address.to_string()]);
}

/// Who hears what is said by multicast DNS on loopback.
fn listener() -> UdpSocket {
    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    let at = SocketAddr::from((GROUP, mdns::PORT));
    socket.bind(&at.into()).unwrap();
    let joined = socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST);
    joined.unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}

#[test]
fn idle_connections_are_closed_where_there_are_no_descriptors_for_others() {
    let home = folder();
    let server = Server::start(home.path());
    let_open(server.pid(), 10);
    let idle: Vec<_> = (0..100)
        .map(|number| connect(server.address, number).unwrap())
        .collect();
    eventually("a shortage", || (warnings(&server) > 0).then_some(()));
    run(&mut server.ask(
        home.path(),
        &["create", "consignment.json", "--timeout", "60s"],
    ))
    .exits(0);
    drop(idle);
}

#[test]
fn a_limit_of_files_that_is_too_low_is_told_with_what_it_allows() {
    let home = folder();
    let mut command = std::process::Command::new("sh");
    let shippy = shippy(home.path());
    command.args(["-c", "ulimit -n 400; exec \"$0\" \"$@\""]);
    command.arg(shippy.get_program()).arg("serve");
    crate::support::unconfigured(&mut command, home.path());
    command.args(["--store", "memory:", "--name", &own_name()]);
    let server = Server::spawn(command, home.path());
    let log = server.logged();
    assert!(log.contains("may open 400 files"), "{log}");
    // What is open beside them, by multicast DNS among others, and by each worker.
    let workers = thread::available_parallelism().unwrap().get().div_ceil(2);
    let takes = format!("takes {} connections", 400 - 96 - 64 - 4 * workers);
    assert!(log.contains(&takes), "{log}");
    let idle: Vec<_> = (0..500)
        .map(|number| connect(server.address, number).unwrap())
        .collect();
    run(&mut server.ask(
        home.path(),
        &["create", "consignment.json", "--timeout", "60s"],
    ))
    .exits(0);
    assert_eq!(warnings(&server), 0, "{}", server.logged());
    drop(idle);
}

#[test]
fn a_soft_limit_of_files_is_raised_as_far_as_is_needed() {
    let home = folder();
    let server = Server::start_with(home.path(), |command| {
        command.args(["--max-connections", "1500"]);
    });
    let limits = format!("/proc/{}/limits", server.pid().as_raw_nonzero());
    let limits = fs::read_to_string(limits).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(3)
        .unwrap()
        .parse()
        .unwrap();
    assert!(soft >= 1500 + 96 + 64, "{limits}");
}
