//! The records that a server is announced by (RFC 6763 §4 to §6), and which of them answer a question (RFC 6762 §6).

use std::{borrow::Cow, collections::BTreeSet, net::IpAddr};

use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QTYPE, Question, ResourceRecord, SimpleDnsError, TYPE,
    rdata::{A, AAAA, NSEC, NsecTypeBitMap, PTR, RData, SRV, TXT},
};

use super::{SERVICE_TYPE, txt::Record};

/// What everybody answers who announces anything (RFC 6763 §9).
pub(super) const EVERY_SERVICE: &str = "_services._dns-sd._udp.local";
/// How long records hold in seconds (RFC 6762 §10): those that name a host, and others.
const HOST_TTL: u32 = 120;
const OTHER_TTL: u32 = 4_500;
/// The same for those who do not know multicast DNS (RFC 6762 §6.7).
const LEGACY_TTL: u32 = 10;
/// Most addresses of each version of IP, as many as a reader keeps of all.
const ADDRESSES_MAX: usize = 16;

/// The places of the pointer to the instance, of its SRV record, and of the first address.
const POINTER: usize = 0;
const PLACE: usize = 1;
const ADDRESSES: usize = 3;

/// What is said of a server on one interface over one version of IP.
#[derive(Debug)]
pub(super) struct Records {
    /// First those of the announcement.
    all: Vec<ResourceRecord<'static>>,
    announced: usize,
}

/// What to say: records by their place.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) answers: BTreeSet<usize>,
    /// What whoever asks will ask for next (RFC 6763 §12).
    additional: BTreeSet<usize>,
}

impl Records {
    /// The records of the server `record`, which is called `label`, at `port` of `told`, the addresses of the version of IP
    /// that it is announced over. Those of the `other` version are told to those who ask for them.
    ///
    /// # Errors
    ///
    /// [`SimpleDnsError`] when `label` is no name or a text too long.
    pub(super) fn new(
        label: &str,
        record: &Record,
        port: u16,
        told: &[IpAddr],
        other: &[IpAddr],
    ) -> Result<Self, SimpleDnsError> {
        let service = name(SERVICE_TYPE.trim_end_matches('.'))?;
        let instance = name(&format!("{label}.{service}"))?;
        let host = name(&format!("{label}.local"))?;
        let mut text = TXT::new();
        for (key, value) in record.pairs() {
            text.add_attribute(key, Some(value.as_bytes()))?;
        }
        let place = SRV {
            priority: 0,
            weight: 0,
            port,
            target: host.clone(),
        };
        let pointer = RData::PTR(PTR(instance.clone()));
        let mut all = vec![
            shared(&service, pointer),
            own(&instance, HOST_TTL, RData::SRV(place)),
            own(&instance, OTHER_TTL, RData::TXT(text)),
        ];
        let address = |ip: &IpAddr| own(&host, HOST_TTL, address(*ip));
        all.extend(told.iter().take(ADDRESSES_MAX).map(address));
        let announced = all.len();
        all.push(shared(
            &name(EVERY_SERVICE)?,
            RData::PTR(PTR(service.clone())),
        ));
        all.extend(other.iter().take(ADDRESSES_MAX).map(address));
        let nothing_else = [(&instance, OTHER_TTL), (&host, HOST_TTL)]
            .map(|(name, ttl)| own(name, ttl, nothing_else(name, &all)));
        all.extend(nothing_else);
        Ok(Self { all, announced })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// All that an announcement has (RFC 6762 §8.3).
    pub(super) fn announcement(&self) -> Choice {
        Choice {
            answers: (0..self.announced).collect(),
            additional: BTreeSet::new(),
        }
    }

    /// What answers `query`, but for what it says is known already (RFC 6762 §7.1).
    pub(super) fn answering(&self, query: &Packet) -> Choice {
        let mut choice = Choice::default();
        for (place, record) in self.all.iter().enumerate() {
            let is_asked = |question: &Question| {
                question.qname == record.name
                    && record.match_qclass(question.qclass)
                    && self.is_meant(record, question.qtype)
            };
            let is_known = |known: &ResourceRecord| known == record && known.ttl >= record.ttl / 2;
            if query.questions.iter().any(is_asked) && !query.answers.iter().any(is_known) {
                choice.answers.insert(place);
            }
        }
        if choice.answers.contains(&POINTER) {
            choice.additional.extend(PLACE..self.announced);
        } else if choice.answers.contains(&PLACE) {
            choice.additional.extend(ADDRESSES..self.announced);
        }
        choice
    }

    /// Whether a question of the type `asked` for the name of `record` means that.
    fn is_meant(&self, record: &ResourceRecord, asked: QTYPE) -> bool {
        let is = |record: &ResourceRecord, kind| record.rdata.type_code() == kind;
        match asked {
            QTYPE::ANY => !is(record, TYPE::NSEC),
            // What is not there is said not to be (RFC 6762 §6.1).
            QTYPE::TYPE(kind) if is(record, TYPE::NSEC) && kind != TYPE::NSEC => {
                let mut others = self.all.iter().filter(|other| other.name == record.name);
                !others.any(|other| is(other, kind))
            }
            QTYPE::TYPE(kind) => is(record, kind),
            _ => false,
        }
    }

    /// Whether others may answer as well, so that all should not speak at once (RFC 6762 §6).
    pub(super) fn is_shared(&self, choice: &Choice) -> bool {
        let mut answers = choice.answers.iter().map(|&place| &self.all[place]);
        answers.any(|record| !record.cache_flush)
    }

    /// `choice` as a message to the group.
    pub(super) fn message(&self, choice: &Choice) -> Result<Vec<u8>, SimpleDnsError> {
        self.packet(0, choice, |record| record)
    }

    /// That the server is gone (RFC 6762 §10.1).
    pub(super) fn goodbye(&self) -> Result<Vec<u8>, SimpleDnsError> {
        self.packet(0, &self.announcement(), |record| ResourceRecord {
            ttl: 0,
            ..record
        })
    }

    /// `choice` as a reply to `query`, which was asked from a port of its own (RFC 6762 §6.7).
    pub(super) fn reply(&self, query: &Packet, choice: &Choice) -> Result<Vec<u8>, SimpleDnsError> {
        let legacy = |record: ResourceRecord<'static>| ResourceRecord {
            ttl: record.ttl.min(LEGACY_TTL),
            cache_flush: false,
            ..record
        };
        let mut packet = self.chosen(query.id(), choice, legacy);
        let is_ours = |question: &&Question| {
            let mut answers = choice.answers.iter().map(|&place| &self.all[place]);
            answers.any(|record| record.name == question.qname)
        };
        let asked = query.questions.iter().filter(is_ours).take(self.len());
        packet.questions = asked.cloned().collect();
        packet.build_bytes_vec_compressed()
    }

    fn packet(
        &self,
        id: u16,
        choice: &Choice,
        change: impl Fn(ResourceRecord<'static>) -> ResourceRecord<'static>,
    ) -> Result<Vec<u8>, SimpleDnsError> {
        self.chosen(id, choice, change).build_bytes_vec_compressed()
    }

    fn chosen<'p>(
        &self,
        id: u16,
        choice: &Choice,
        change: impl Fn(ResourceRecord<'static>) -> ResourceRecord<'static>,
    ) -> Packet<'p> {
        let at = |&place: &usize| change(self.all[place].clone());
        let mut packet = Packet::new_reply(id);
        packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
        packet.answers = choice.answers.iter().map(at).collect();
        let additional = choice.additional.difference(&choice.answers);
        packet.additional_records = additional.map(at).collect();
        packet
    }

    /// The time in seconds for which what was said of the record at `place` holds.
    pub(super) fn ttl(&self, place: usize) -> u32 {
        self.all[place].ttl
    }
}

impl Choice {
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// All of its records.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.answers.union(&self.additional).copied()
    }

    /// Adds `other`.
    pub(super) fn add(&mut self, other: Self) {
        self.answers.extend(other.answers);
        self.additional.extend(other.additional);
    }
}

fn name(text: &str) -> Result<Name<'static>, SimpleDnsError> {
    Ok(Name::new(text)?.into_owned())
}

/// A record that others may have beside ours.
fn shared(name: &Name<'static>, data: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(name.clone(), CLASS::IN, OTHER_TTL, data)
}

/// A record that takes the place of what was heard by its name before (RFC 6762 §10.2).
fn own(name: &Name<'static>, ttl: u32, data: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(name.clone(), CLASS::IN, ttl, data).with_cache_flush(true)
}

fn address(ip: IpAddr) -> RData<'static> {
    match ip {
        IpAddr::V4(ip) => RData::A(A {
            address: ip.to_bits(),
        }),
        IpAddr::V6(ip) => RData::AAAA(AAAA {
            address: ip.to_bits(),
        }),
    }
}

/// That `name` has the types that it has in `all` and no other (RFC 6762 §6.1).
fn nothing_else(name: &Name<'static>, all: &[ResourceRecord]) -> RData<'static> {
    let mut bitmap = Vec::new();
    for record in all.iter().filter(|record| record.name == *name) {
        let kind = u16::from(record.rdata.type_code());
        let at = usize::from(kind / 8);
        bitmap.resize(bitmap.len().max(at + 1), 0_u8);
        bitmap[at] |= 0x80 >> (kind % 8);
    }
    RData::NSEC(NSEC {
        next_name: name.clone(),
        type_bit_maps: vec![NsecTypeBitMap {
            window_block: 0,
            bitmap: Cow::Owned(bitmap),
        }],
    })
}

#[cfg(test)]
mod tests {
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
}
