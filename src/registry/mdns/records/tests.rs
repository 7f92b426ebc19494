use simple_dns::QCLASS;

use super::*;
use crate::registry::Instance;

const HOST: &str = "shippy-1.local";
const INSTANCE: &str = "Shippy-1._SHIPPY._tcp.local";
const SERVICE: &str = "_shippy._tcp.local";

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Of a server that is announced over IPv4 and has an IPv6 address as well.
fn records() -> Records {
    let record = Record::new(&Instance::depot(), &[]).unwrap();
    let (told, other) = (ips(&["10.0.0.5", "10.0.0.6"]), ips(&["2001:db8::5"]));
    Records::new("shippy-1", &record, 7, &told, &other).unwrap()
}

fn asking(questions: &[(&'static str, QTYPE)]) -> Packet<'static> {
    let mut packet = Packet::new_query(7);
    let class = QCLASS::CLASS(CLASS::IN);
    let question = |&(name, kind)| Question::new(Name::new_unchecked(name), kind, class, false);
    packet.questions = questions.iter().map(question).collect();
    packet
}

fn of(kind: TYPE) -> QTYPE {
    QTYPE::TYPE(kind)
}

/// The types of the answers to a question, and of what is said in addition.
fn told(query: &Packet) -> [Vec<TYPE>; 2] {
    let records = records();
    let bytes = records.message(&records.answering(query)).unwrap();
    let packet = Packet::parse(&bytes).unwrap();
    assert!(packet.has_flags(PacketFlag::RESPONSE | PacketFlag::AUTHORITATIVE_ANSWER));
    assert_eq!((packet.id(), packet.questions.len()), (0, 0));
    [&packet.answers, &packet.additional_records]
        .map(|records| records.iter().map(|one| one.rdata.type_code()).collect())
}

#[test]
fn who_asks_for_servers_is_told_all_of_one() {
    use TYPE::{A, PTR, SRV, TXT};
    let all = [vec![PTR], vec![SRV, TXT, A, A]];
    assert_eq!(told(&asking(&[(SERVICE, of(PTR))])), all);
    assert_eq!(told(&asking(&[("_Shippy._TCP.Local", QTYPE::ANY)])), all);
    let place = [vec![SRV], vec![A, A]];
    assert_eq!(told(&asking(&[(INSTANCE, of(SRV))])), place);
    let both = [vec![SRV, TXT], vec![A, A]];
    assert_eq!(told(&asking(&[(INSTANCE, QTYPE::ANY)])), both);
    assert_eq!(
        told(&asking(&[(EVERY_SERVICE, of(PTR))])),
        [vec![PTR], vec![]]
    );
}

#[test]
fn who_asks_for_a_host_is_told_the_addresses_of_the_version_meant() {
    use TYPE::{A, AAAA, HINFO, NSEC, TXT};
    assert_eq!(told(&asking(&[(HOST, of(A))])), [vec![A, A], vec![]]);
    assert_eq!(told(&asking(&[(HOST, of(AAAA))])), [vec![AAAA], vec![]]);
    assert_eq!(
        told(&asking(&[(HOST, QTYPE::ANY)])),
        [vec![A, A, AAAA], vec![]]
    );
    // What is not there is said not to be.
    assert_eq!(told(&asking(&[(HOST, of(HINFO))])), [vec![NSEC], vec![]]);
    assert_eq!(
        told(&asking(&[(HOST, of(TXT)), (INSTANCE, of(A))])),
        [vec![NSEC, NSEC], vec![]]
    );
}

#[test]
fn others_names_are_not_answered() {
    for name in ["_other._tcp.local", "shippy-2.local", "local", ""] {
        let query = asking(&[(name, QTYPE::ANY), (name, of(TYPE::PTR))]);
        assert!(records().answering(&query).is_empty(), "{name}");
    }
    let mut query = asking(&[(SERVICE, of(TYPE::PTR))]);
    query.questions[0].qclass = QCLASS::CLASS(CLASS::CH);
    assert!(records().answering(&query).is_empty());
}

#[test]
fn what_is_known_for_long_enough_is_not_said() {
    let records = records();
    let mut query = asking(&[(SERVICE, of(TYPE::PTR))]);
    query.answers = vec![records.all[POINTER].clone()];
    for (ttl, is_known) in [
        (OTHER_TTL, true),
        (OTHER_TTL / 2, true),
        (OTHER_TTL / 2 - 1, false),
    ] {
        query.answers[0].ttl = ttl;
        assert_eq!(records.answering(&query).is_empty(), is_known, "{ttl}");
    }
}

#[test]
fn an_announcement_takes_the_place_of_an_earlier_one_and_a_goodbye_takes_it_back() {
    let records = records();
    let message = records.message(&records.announcement()).unwrap();
    let said = Packet::parse(&message).unwrap().answers;
    let ttls: Vec<u32> = said.iter().map(|record| record.ttl).collect();
    assert_eq!(ttls, [4_500, 120, 4_500, 120, 120]);
    // All but the pointer, which is every server's.
    let flushes: Vec<bool> = said.iter().map(|record| record.cache_flush).collect();
    assert_eq!(flushes, [false, true, true, true, true]);
    let goodbye = records.goodbye().unwrap();
    let taken_back = Packet::parse(&goodbye).unwrap().answers;
    assert_eq!(taken_back, said);
    assert!(taken_back.iter().all(|record| record.ttl == 0));
}

#[test]
fn a_reply_to_who_knows_no_multicast_dns_is_plain_dns() {
    let records = records();
    let query = asking(&[(SERVICE, of(TYPE::PTR)), ("other.local", of(TYPE::A))]);
    let bytes = records.reply(&query, &records.answering(&query)).unwrap();
    let reply = Packet::parse(&bytes).unwrap();
    assert_eq!((reply.id(), reply.questions.len()), (7, 1));
    assert_eq!(reply.questions[0].qname.to_string(), SERVICE);
    let mut all = reply.answers.iter().chain(&reply.additional_records);
    assert!(all.all(|record| record.ttl == LEGACY_TTL && !record.cache_flush));
    assert_eq!(super::super::message::answers(Some(7), &bytes).len(), 1);
}

#[test]
fn what_is_not_there_is_told_by_a_map_of_what_is() {
    let records = records();
    let query = asking(&[(HOST, of(TYPE::HINFO))]);
    let bytes = records.message(&records.answering(&query)).unwrap();
    let packet = Packet::parse(&bytes).unwrap();
    let RData::NSEC(nsec) = &packet.answers[0].rdata else {
        panic!("{packet:?}")
    };
    // A and AAAA, the types 1 and 28 (RFC 4034 §4.1.2).
    assert_eq!(*nsec.type_bit_maps[0].bitmap, [0x40, 0, 0, 0x08]);
}

#[test]
fn of_many_addresses_as_many_are_said_as_are_read() {
    let record = Record::new(&Instance::depot(), &[]).unwrap();
    let many: Vec<IpAddr> = (0..200)
        .map(|last| IpAddr::from([10, 0, 0, last]))
        .collect();
    let records = Records::new("shippy-1", &record, 7, &many, &[]).unwrap();
    let message = records.message(&records.announcement()).unwrap();
    assert_eq!(
        Packet::parse(&message).unwrap().answers.len(),
        3 + ADDRESSES_MAX
    );
}
