//! The question that is asked for servers (RFC 6762 §5), and what is read of questions and answers.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use simple_dns::{
    CLASS, Name, OPCODE, Packet, QCLASS, QTYPE, Question, RCODE, ResourceRecord, SimpleDnsError,
    TYPE,
    rdata::{RData, TXT},
};

use super::{SERVICE_TYPE, found::Sighting, txt::Record};

/// Most instances looked for in one reply: a legal message of 9,000 bytes holds fewer that are complete.
const INSTANCES_MAX: usize = 64;
/// Most questions in a message: who has many asks a few, and 1,480 may be pointers to one name that is long.
const QUESTIONS_MAX: usize = 256;

/// One instance that a reply describes in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) record: Record,
    pub(super) port: u16,
    pub(super) addresses: Vec<IpAddr>,
}

impl Answer {
    /// It, heard on the interface `link`.
    pub(super) fn heard_on(self, link: u32) -> Sighting {
        Sighting {
            record: self.record,
            port: self.port,
            places: self.addresses.into_iter().map(|ip| (ip, link)).collect(),
            heard_on: vec![link],
        }
    }
}

/// A number that others do not know.
pub(super) fn chance() -> u16 {
    let [.., high, low] = *uuid::Uuid::now_v7().as_bytes();
    u16::from_be_bytes([high, low])
}

/// The question that `bytes` are; `None` when they are none, or malformed.
pub(super) fn query(bytes: &[u8]) -> Option<Packet<'_>> {
    let packet = parse(bytes, false)?;
    // RFC 6762 §18.3: what is no standard query is to be ignored.
    (packet.opcode() == OPCODE::StandardQuery).then_some(packet)
}

/// Reads a response, or a query; `None` when it is the other, or malformed.
///
/// Which it is, and whether it can hold as much as it says, is seen before anything is made of it: a flood is to cost little.
fn parse(bytes: &[u8], is_response: bool) -> Option<Packet<'_>> {
    /// The least that a question takes, and a record, the name being that of the root.
    const QUESTION: usize = 5;
    const RECORD: usize = 11;
    let header: &[u8; 12] = bytes.first_chunk()?;
    let count = |at| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    let records = count(6) + count(8) + count(10);
    if (header[2] & 0x80 != 0) != is_response
        || count(4) > QUESTIONS_MAX
        || header.len() + QUESTION * count(4) + RECORD * records > bytes.len()
    {
        return None;
    }
    let malformed =
        |error: &SimpleDnsError| tracing::trace!(%error, "a malformed message is ignored");
    Packet::parse(bytes).inspect_err(malformed).ok()
}

/// A query with this `id` for the instances of the service type.
pub(super) fn question(id: u16) -> Result<Vec<u8>, SimpleDnsError> {
    let name = Name::new(SERVICE_TYPE.trim_end_matches('.'))?;
    let mut packet = Packet::new_query(id);
    // Not the QU bit: a query from another port than 5353 is answered by unicast because of that port (§6.7).
    packet.questions.push(Question::new(
        name,
        QTYPE::TYPE(TYPE::PTR),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet.build_bytes_vec()
}

/// The instances that the reply to query `id` describes, or a response to the group; none when it is neither, or
/// malformed.
///
/// PTR records count in the answer section, SRV, TXT and address records wherever they stand (§12.1 of RFC 6763 asks
/// responders to add them). An instance that lacks one is left out.
pub(super) fn answers(id: Option<u16>, bytes: &[u8]) -> Vec<Answer> {
    let Some(packet) = parse(bytes, true) else {
        return Vec::new();
    };
    // RFC 6762 §18.3 and §18.11: such are to be ignored.
    if (packet.opcode(), packet.rcode()) != (OPCODE::StandardQuery, RCODE::NoError) {
        return Vec::new();
    }
    // RFC 6762 §6.7 asks that the id be repeated; a responder that keeps to §18.1 alone sends zero.
    if id.is_some_and(|id| ![id, 0].contains(&packet.id())) {
        return Vec::new();
    }
    let records = Records::index(&packet);
    let service = labels_of(SERVICE_TYPE);
    let instances = packet
        .answers
        .iter()
        .filter_map(|record| match &record.rdata {
            RData::PTR(instance) if is_said(record) && labels(&record.name) == service => {
                let instance = labels(&instance.0);
                (instance.get(1..) == Some(&service[..])).then_some(instance)
            }
            _ => None,
        });
    let described = instances.take(INSTANCES_MAX).filter_map(|instance| {
        let answer = records.describe(&instance);
        let (name, is_sound) = (instance[0].escape_ascii(), answer.is_some());
        tracing::trace!(%name, is_sound, "an announcement is heard");
        answer
    });
    described.collect()
}

/// Whether `record` is said to be. A time to live of zero is a goodbye (RFC 6762 §10.1), no announcement.
fn is_said(record: &ResourceRecord) -> bool {
    record.class == CLASS::IN && record.ttl > 0
}

/// A name's labels, in lower case: names are compared without case (RFC 1035 §2.3.3).
type Labels = Vec<Vec<u8>>;

fn labels(name: &Name) -> Labels {
    name.as_bytes().map(<[u8]>::to_ascii_lowercase).collect()
}

fn labels_of(name: &str) -> Labels {
    name.trim_end_matches('.')
        .split('.')
        .map(|label| label.to_ascii_lowercase().into_bytes())
        .collect()
}

/// A reply's records by name.
#[derive(Default)]
struct Records<'a> {
    services: HashMap<Labels, (u16, Labels)>,
    texts: HashMap<Labels, &'a TXT<'a>>,
    addresses: HashMap<Labels, Vec<IpAddr>>,
}

impl<'a> Records<'a> {
    fn index(packet: &'a Packet<'a>) -> Self {
        let mut records = Self::default();
        for record in packet.answers.iter().chain(&packet.additional_records) {
            records.add(record);
        }
        records
    }

    fn add(&mut self, record: &'a ResourceRecord<'a>) {
        if !is_said(record) {
            return;
        }
        let mut at = |ip| {
            self.addresses
                .entry(labels(&record.name))
                .or_default()
                .push(ip);
        };
        match &record.rdata {
            RData::A(a) => at(IpAddr::V4(Ipv4Addr::from_bits(a.address))),
            RData::AAAA(aaaa) => at(IpAddr::V6(Ipv6Addr::from_bits(aaaa.address))),
            RData::SRV(srv) => {
                self.services
                    .insert(labels(&record.name), (srv.port, labels(&srv.target)));
            }
            RData::TXT(txt) => {
                self.texts.insert(labels(&record.name), txt);
            }
            _ => {}
        }
    }

    fn describe(&self, instance: &Labels) -> Option<Answer> {
        let (port, host) = self.services.get(instance)?;
        let pairs: Vec<_> = self.texts.get(instance)?.iter_raw().collect();
        Some(Answer {
            record: Record::parse(&pairs)?,
            port: *port,
            addresses: self.addresses.get(host)?.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
