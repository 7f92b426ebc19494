//! What must hold of any datagram that comes as a question or a reply.

use std::net::{IpAddr, Ipv4Addr};

use simple_dns::Packet;

use super::{
    SERVICE_TYPE,
    found::{Found, Sighting},
    group::MESSAGE_MAX,
    interfaces::link,
    message,
    records::Records,
    txt::Record,
};
use crate::registry::{Instance, Kind, Preference, fuzz::check};

const LOOPBACK: u32 = 1;
const LAN: u32 = 2;

/// Reads `data` as a question for a server: the answer is a message that can be sent and read, to the group and to whoever
/// knows no multicast DNS, and has no more than the server announces and denies.
pub(crate) fn query(data: &[u8]) {
    let Some(query) = message::query(data) else {
        return;
    };
    let depot = Instance {
        id: "1".to_owned(),
        name: "depot".to_owned(),
        version: "1".to_owned(),
        addresses: Vec::new(),
        register: "1".to_owned(),
        kind: Kind::Single,
        tls: false,
        preference: Preference::default(),
    };
    let record = Record::new(&depot, &[]).unwrap();
    let ip = [IpAddr::from([10, 0, 0, 5])];
    let records = Records::new("shippy-1", &record, 7, &ip, &[]).unwrap();
    let choice = records.answering(&query);
    for message in [records.message(&choice), records.reply(&query, &choice)] {
        let message = message.unwrap();
        assert!(message.len() < MESSAGE_MAX);
        let said = Packet::parse(&message).unwrap();
        assert!(said.answers.len() + said.additional_records.len() <= records.len());
        assert_eq!(said.answers.is_empty(), choice.is_empty());
    }
}

/// Reads `data` as a datagram: what it describes can be announced in the same words, and leads to no address of this
/// machine when it comes from the network.
pub(crate) fn reply(data: &[u8]) {
    let id = data.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    for message::Answer {
        record,
        port,
        addresses,
    } in message::answers(Some(id), data)
    {
        let found = [LOOPBACK, LAN].map(|heard_on| {
            let sighting = Sighting {
                record: record.clone(),
                port,
                places: addresses.iter().map(|&ip| (ip, heard_on)).collect(),
                heard_on: vec![heard_on],
            };
            noted(&sighting)
        });
        check_record(&record);
        if let [_, Some(instance)] = found {
            let is_local = |text: &String| text.starts_with("127.") || text.starts_with("[::1]");
            assert!(!instance.addresses.iter().any(is_local), "{instance:?}");
        }
    }
}

/// Reads `data` as the TXT record of an announcement that is sound otherwise.
pub(crate) fn txt(data: &[u8]) {
    const PTR: u16 = 12;
    const SRV: u16 = 33;
    const TXT: u16 = 16;
    const A: u16 = 1;
    let texts = &data[..data.len().min(1_300)];
    let (instance, host) = (labels("a._shippy._tcp.local."), labels("a.local."));
    // An authoritative answer with four records and nothing else.
    let header = [0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    let place = [&[0, 0, 0, 0, 0xc3, 0x83][..], &host].concat();
    let datagram = [
        header.to_vec(),
        record(&labels(SERVICE_TYPE), PTR, &instance),
        record(&instance, SRV, &place),
        record(&host, A, &[10, 0, 0, 5]),
        record(&instance, TXT, texts),
    ];
    reply(&datagram.concat());
}

/// What is found by `sighting`; a second one like it is no news.
fn noted(sighting: &Sighting) -> Option<Instance> {
    let links = [
        link(LOOPBACK, true, &[(Ipv4Addr::LOCALHOST, 8)]),
        link(LAN, false, &[(Ipv4Addr::new(10, 0, 0, 9), 24)]),
    ];
    let mut found = Found::new(&sighting.record.service);
    let instance = found.note(sighting, &links)?;
    check(&instance);
    assert_eq!(found.note(sighting, &links), None);
    Some(instance)
}

/// Whoever reads `record` could have announced it, within what a TXT record holds.
fn check_record(record: &Record) {
    let announced = Record::new(
        &Instance {
            id: record.id.clone(),
            name: record.service.clone(),
            version: record.version.clone(),
            addresses: Vec::new(),
            register: record.register.clone(),
            kind: record.kind,
            tls: record.tls,
            preference: Preference::default(),
        },
        &record.spelled_out,
    );
    assert_eq!(announced.as_ref(), Ok(record));
    let pairs = record.pairs();
    let raw: Vec<_> = (pairs.iter())
        .map(|(key, value)| (key.as_bytes(), Some(value.as_bytes())))
        .collect();
    assert!(
        raw.iter()
            .all(|(key, value)| key.len() + 1 + value.map_or(0, <[u8]>::len) <= 255)
    );
    assert_eq!(Record::parse(&raw).as_ref(), Some(record));
}

/// A name on the wire (RFC 1035 §3.1).
fn labels(name: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat();
    name.split('.').flat_map(label).collect()
}

/// A resource record on the wire (RFC 1035 §4.1.3), for two minutes.
fn record(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    const CLASS_AND_TTL: [u8; 6] = [0, 1, 0, 0, 0, 120];
    let length = u16::try_from(data.len()).unwrap();
    [
        name,
        &kind.to_be_bytes(),
        &CLASS_AND_TTL,
        &length.to_be_bytes(),
        data,
    ]
    .concat()
}
