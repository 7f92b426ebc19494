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

    pub(super) fn has(&self, place: usize) -> bool {
        self.answers.contains(&place) || self.additional.contains(&place)
    }

    /// Whether all of the answers of `other` are among its own.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other.answers.is_subset(&self.answers)
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
mod tests;
