//! What a server says by multicast DNS, message by message. Each test has a UDP port to itself.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use shippy::registry::{Registry, mdns::Mdns};
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE,
    rdata::{A, RData},
};
use socket2::{Domain, Socket, Type};

use super::{NEVER, SOON, instance};
use crate::support::eventually;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const SERVICE: &str = "_shippy._tcp.local";

/// Somebody on loopback who speaks from the port `port` of multicast DNS; a member of the group, or not.
fn speaker(port: u16, is_member: bool) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    let at = if is_member {
        GROUP
    } else {
        Ipv4Addr::LOCALHOST
    };
    socket.bind(&SocketAddr::from((at, port)).into()).unwrap();
    if is_member {
        let joined = socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST);
        joined.unwrap();
    }
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

/// The records of the next response that `socket` hears, additional ones included; `None` when there is none in time.
fn next(socket: &UdpSocket) -> Option<Vec<ResourceRecord<'static>>> {
    let mut buffer = [0; 9_000];
    loop {
        let length = socket.recv(&mut buffer).ok()?;
        let packet = Packet::parse(&buffer[..length]).unwrap();
        if packet.has_flags(PacketFlag::RESPONSE) {
            let all = packet.answers.into_iter().chain(packet.additional_records);
            return Some(all.map(ResourceRecord::into_owned).collect());
        }
    }
}

fn heard(socket: &UdpSocket) -> Vec<ResourceRecord<'static>> {
    next(socket).expect("somebody speaks")
}

fn kinds(records: &[ResourceRecord]) -> Vec<TYPE> {
    (records.iter())
        .map(|record| record.rdata.type_code())
        .collect()
}

/// A server on `port` whose two announcements (RFC 6762 §8.3) `member` has heard; what they say.
async fn announced(port: u16, member: &UdpSocket) -> (Mdns, Vec<ResourceRecord<'static>>) {
    let server = Mdns::on_loopback(port);
    let announced = instance(&["127.0.0.1:50051"]);
    server.announce(&announced).await.unwrap();
    let [first, second] = [heard(member), heard(member)];
    assert_eq!(first, second);
    assert_eq!(kinds(&first), [TYPE::PTR, TYPE::SRV, TYPE::TXT, TYPE::A]);
    (server, first)
}

fn ask(socket: &UdpSocket, port: u16, name: &Name, by_unicast: bool, also: &[ResourceRecord]) {
    let mut packet = Packet::new_query(0);
    let class = QCLASS::CLASS(CLASS::IN);
    let question = Question::new(name.clone(), QTYPE::ANY, class, by_unicast);
    packet.questions.push(question);
    packet.name_servers = also.to_vec();
    let bytes = packet.build_bytes_vec().unwrap();
    socket.send_to(&bytes, (GROUP, port)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_an_answer_to_himself_alone_gets_one() {
    const PORT: u16 = 25_354;
    let member = speaker(PORT, true);
    let (_server, said) = announced(PORT, &member).await;
    let alone = speaker(PORT, false);
    ask(&alone, PORT, &Name::new_unchecked(SERVICE), true, &[]);
    assert_eq!(heard(&alone), said);
    member.set_read_timeout(Some(NEVER)).unwrap();
    assert_eq!(next(&member), None);
    // Who does not ask for that is answered together with all others.
    member.set_read_timeout(Some(SOON)).unwrap();
    ask(&alone, PORT, &Name::new_unchecked(SERVICE), false, &[]);
    assert_eq!(heard(&member), said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_defended() {
    const PORT: u16 = 25_355;
    let member = speaker(PORT, true);
    let (_server, said) = announced(PORT, &member).await;
    // RFC 6762 §8.1: with what is to be announced under that name.
    let other = A {
        address: Ipv4Addr::new(127, 0, 0, 2).to_bits(),
    };
    let host = &said[3].name;
    let wanted = ResourceRecord::new(host.clone(), CLASS::IN, 120, RData::A(other));
    let prober = speaker(PORT, false);
    member.set_nonblocking(true).unwrap();
    // Whoever takes it hears of it within 250 ms, for which it is not said again.
    let defence = eventually("the defence", || {
        ask(&prober, PORT, host, false, std::slice::from_ref(&wanted));
        next(&member)
    });
    assert_eq!(defence, said[3..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_withdrawn_takes_back_all_that_it_said() {
    const PORT: u16 = 25_356;
    let member = speaker(PORT, true);
    let (server, said) = announced(PORT, &member).await;
    server.withdraw().await.unwrap();
    let taken_back = heard(&member);
    assert_eq!(taken_back, said);
    assert!(taken_back.iter().all(|record| record.ttl == 0));
    drop(server);
    member.set_read_timeout(Some(NEVER)).unwrap();
    assert_eq!(next(&member), None);
}
