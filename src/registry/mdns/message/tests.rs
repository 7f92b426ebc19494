use proptest::prelude::*;
use simple_dns::{
    PacketFlag,
    rdata::{A, PTR, SRV},
};

use super::*;

const ID: u16 = 0x2a17;
const INSTANCE: &str = "shippy-1._shippy._tcp.local";

fn name(text: &str) -> Name<'_> {
    Name::new_unchecked(text)
}

fn record<'a>(owner: &'a str, ttl: u32, data: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(name(owner), CLASS::IN, ttl, data)
}

fn pointer(ttl: u32) -> ResourceRecord<'static> {
    record("_SHIPPY._tcp.local", ttl, RData::PTR(PTR(name(INSTANCE))))
}

/// What a responder adds to its answer: SRV, TXT and A.
fn additionals() -> Vec<ResourceRecord<'static>> {
    let mut txt = TXT::new();
    for pair in [
        "txtvers=1",
        "id=one",
        "service=s",
        "version=1",
        "register=0f",
        "kind=single",
        "tls=0",
    ] {
        txt.add_string(pair).unwrap();
    }
    let srv = SRV {
        priority: 0,
        weight: 0,
        port: 50051,
        target: name("Shippy-1.local"),
    };
    let address = Ipv4Addr::LOCALHOST.to_bits();
    vec![
        record("shippy-1._shippy._TCP.local", 10, RData::SRV(srv)),
        record(INSTANCE, 10, RData::TXT(txt)),
        record("shippy-1.local", 10, RData::A(A { address })),
    ]
}

fn reply(id: u16, answers: Vec<ResourceRecord>, additionals: Vec<ResourceRecord>) -> Vec<u8> {
    let mut packet = Packet::new_reply(id);
    packet.answers = answers;
    packet.additional_records = additionals;
    packet.build_bytes_vec_compressed().unwrap()
}

#[test]
fn a_question_asks_for_the_service_type() {
    let bytes = question(ID).unwrap();
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.id(), ID);
    assert!(!packet.has_flags(PacketFlag::RESPONSE));
    assert_eq!(packet.questions[0].qname.to_string(), "_shippy._tcp.local");
    assert!(!packet.questions[0].unicast_response);
}

#[test]
fn a_reply_is_read_whatever_the_case_of_its_names() {
    let found = answers(Some(ID), &reply(ID, vec![pointer(10)], additionals()));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].record.id.as_str(), found[0].port), ("one", 50051));
    assert_eq!(found[0].addresses, [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    assert_eq!(
        answers(Some(ID), &reply(0, vec![pointer(10)], additionals())),
        found
    );
}

#[test]
fn what_is_no_reply_to_the_question_is_ignored() {
    let none: [Answer; 0] = [];
    assert_eq!(
        answers(Some(ID), &reply(ID + 1, vec![pointer(10)], additionals())),
        none,
        "another's id"
    );
    assert_eq!(
        answers(Some(ID), &reply(ID, vec![], additionals())),
        none,
        "no pointer"
    );
    assert_eq!(
        answers(Some(ID), &reply(ID, vec![pointer(0)], additionals())),
        none,
        "a goodbye"
    );
    let mut question = Packet::new_query(ID);
    question.answers = vec![pointer(10)];
    question.additional_records = additionals();
    assert_eq!(
        answers(Some(ID), &question.build_bytes_vec().unwrap()),
        none,
        "a question"
    );
}

#[test]
fn an_instance_that_lacks_a_record_is_left_out() {
    for missing in 0..additionals().len() {
        let mut fewer = additionals();
        let gone = fewer.remove(missing);
        assert_eq!(
            answers(Some(ID), &reply(ID, vec![pointer(10)], fewer)),
            [],
            "without {gone:?}"
        );
    }
}

#[test]
fn a_reply_full_of_pointers_yields_a_bounded_number() {
    let found = answers(Some(ID), &reply(ID, vec![pointer(10); 500], additionals()));
    assert_eq!(found.len(), INSTANCES_MAX);
}

#[test]
fn a_reply_full_of_pointers_to_nothing_is_not_looked_through() {
    let nothing = "nothing._shippy._tcp.local";
    let nothing = record("_shippy._tcp.local", 10, RData::PTR(PTR(name(nothing))));
    for (count, found) in [(INSTANCES_MAX - 1, 1), (INSTANCES_MAX, 0)] {
        let mut pointers = vec![nothing.clone(); count];
        pointers.push(pointer(10));
        let reply = reply(ID, pointers, additionals());
        assert_eq!(answers(Some(ID), &reply).len(), found, "after {count}");
    }
}

#[test]
fn a_reply_that_reports_an_error_or_is_of_another_kind_is_ignored() {
    let sound = reply(ID, vec![pointer(10)], additionals());
    assert_eq!(answers(Some(ID), &sound).len(), 1);
    // The opcode is in the first byte of the flags, the response code in the second (RFC 1035 §4.1.1).
    for (at, bits) in [(2, 0x10), (2, 0x20), (3, 0x02), (3, 0x03)] {
        let mut other = sound.clone();
        other[at] |= bits;
        assert_eq!(answers(Some(ID), &other), [], "{bits:#x} at {at}");
    }
}

#[test]
fn a_pointer_of_another_class_or_to_another_service_is_ignored() {
    let mut chaos = pointer(10);
    chaos.class = CLASS::CH;
    assert_eq!(
        answers(Some(ID), &reply(ID, vec![chaos], additionals())),
        []
    );
    for other in [
        "shippy-1._other._tcp.local",
        "a.shippy-1._shippy._tcp.local",
    ] {
        let mut records = additionals();
        for record in &mut records[..2] {
            record.name = name(other);
        }
        let pointer = record("_shippy._tcp.local", 10, RData::PTR(PTR(name(other))));
        let reply = reply(ID, vec![pointer], records);
        assert_eq!(answers(Some(ID), &reply), [], "{other}");
    }
}

#[test]
fn a_message_with_more_questions_than_anybody_has_is_not_read() {
    let question = question(0).unwrap();
    let mut asked = Packet::parse(&question).unwrap();
    for (count, is_read) in [(QUESTIONS_MAX, true), (QUESTIONS_MAX + 1, false)] {
        asked.questions = vec![asked.questions[0].clone(); count];
        let bytes = asked.build_bytes_vec_compressed().unwrap();
        assert_eq!(query(&bytes).is_some(), is_read, "{count}");
    }
}

proptest! {
    #[test]
    fn no_datagram_upsets_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        answers(Some(ID), &bytes);
    }

    #[test]
    fn no_damage_to_a_reply_upsets_the_reader(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = reply(ID, vec![pointer(10)], additionals());
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        answers(Some(ID), &bytes);
        answers(Some(ID), &bytes[..length.index(bytes.len())]);
    }
}
