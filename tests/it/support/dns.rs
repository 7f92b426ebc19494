//! A DNS server of the tests' own, whose zone a test writes and changes.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord,
    rdata::{A, AAAA, RData, SRV},
};

use super::{SOON, eventually};

/// How long an answer may be kept. Nobody keeps it longer than a command lasts, which these tests are to show.
const TTL: u32 = 30;
/// How often a listener looks whether it is to end.
const TICK: Duration = Duration::from_millis(20);

/// What the server says of a name.
#[derive(Debug, Clone)]
pub(crate) enum Says {
    /// These records. With none the name is there, and nothing else.
    Records(Vec<Record>),
    /// That this does not fit into a datagram; by TCP the records.
    TooLong(Vec<Record>),
    /// That it has failed.
    Failure,
    /// Nothing.
    Nothing,
}

/// A record of a name.
#[derive(Debug, Clone)]
pub(crate) enum Record {
    /// A or AAAA.
    Address(IpAddr),
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: String,
    },
}

/// A record of a server that listens at `address`.
pub(crate) fn srv(priority: u16, port: u16, target: &str) -> Record {
    Record::Srv {
        priority,
        weight: 0,
        port,
        target: target.to_owned(),
    }
}

/// An address record.
pub(crate) fn address(text: &str) -> Record {
    Record::Address(text.parse().unwrap())
}

type Zone = Arc<Mutex<BTreeMap<String, Says>>>;

/// A DNS server, by UDP and TCP. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    zone: Zone,
    ends: Arc<AtomicBool>,
    listeners: Vec<JoinHandle<()>>,
}

impl Dns {
    /// One on a port of loopback that is free for both.
    pub(crate) fn start() -> Self {
        eventually("a port that is free for both", || {
            let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
            let streams = TcpListener::bind(datagrams.local_addr().unwrap()).ok()?;
            Some(Self::on(datagrams, streams))
        })
    }

    /// One at `address`, where nobody listens.
    pub(crate) fn at(address: &str) -> Self {
        let datagrams = UdpSocket::bind(address).unwrap();
        let streams = TcpListener::bind(address).unwrap();
        Self::on(datagrams, streams)
    }

    fn on(datagrams: UdpSocket, streams: TcpListener) -> Self {
        datagrams.set_read_timeout(Some(TICK)).unwrap();
        streams.set_nonblocking(true).unwrap();
        let (zone, ends) = (Zone::default(), Arc::new(AtomicBool::new(false)));
        let address = datagrams.local_addr().unwrap();
        let (of_datagrams, of_streams) = (Arc::clone(&zone), Arc::clone(&zone));
        let (until, until_too) = (Arc::clone(&ends), Arc::clone(&ends));
        let listeners = vec![
            thread::spawn(move || serve_datagrams(&datagrams, &of_datagrams, &until)),
            thread::spawn(move || serve_streams(&streams, &of_streams, &until_too)),
        ];
        Self {
            address,
            zone,
            ends,
            listeners,
        }
    }

    /// Changes what is said of `name` from now on.
    pub(crate) fn say(&self, name: &str, says: Says) {
        let mut zone = self.zone.lock().unwrap();
        zone.insert(name.to_owned(), says);
    }

    /// The same for a name with `records`.
    pub(crate) fn set(&self, name: &str, records: &[Record]) {
        self.say(name, Says::Records(records.to_vec()));
    }

    /// Where to look up `name` by this server, as --registry-address has it.
    pub(crate) fn place(&self, name: &str) -> String {
        format!("dns://{}/{name}", self.address)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for listener in self.listeners.drain(..) {
            let ended = listener.join();
            assert!(
                ended.is_ok() || thread::panicking(),
                "the DNS server failed"
            );
        }
    }
}

fn serve_datagrams(socket: &UdpSocket, zone: &Zone, ends: &AtomicBool) {
    let mut bytes = [0; 4096];
    while !ends.load(Ordering::Relaxed) {
        // Nothing came, or whoever asked first is gone.
        let Ok((length, from)) = socket.recv_from(&mut bytes) else {
            continue;
        };
        if let Some(reply) = reply(&bytes[..length], zone, false) {
            let _gone = socket.send_to(&reply, from);
        }
    }
}

fn serve_streams(listener: &TcpListener, zone: &Zone, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        let Ok((mut stream, _)) = listener.accept() else {
            thread::sleep(TICK);
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        // Each message is preceded by its length (RFC 1035 §4.2.2). One question a connection is all that is asked.
        let mut length = [0; 2];
        if stream.read_exact(&mut length).is_err() {
            continue;
        }
        let mut bytes = vec![0; u16::from_be_bytes(length).into()];
        if stream.read_exact(&mut bytes).is_err() {
            continue;
        }
        if let Some(reply) = reply(&bytes, zone, true) {
            let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
            let _gone = stream.write_all(&[&length, &*reply].concat());
        }
    }
}

/// The reply to the question in `bytes`, if there is to be one.
fn reply(bytes: &[u8], zone: &Zone, is_long: bool) -> Option<Vec<u8>> {
    let query = Packet::parse(bytes).expect("a DNS message");
    let question = query.questions.first().expect("a question").clone();
    let name = question.qname.to_string().to_lowercase();
    let zone = zone.lock().unwrap();
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE);
    match zone.get(&name) {
        Some(Says::Nothing) => return None,
        Some(Says::Failure) => *reply.rcode_mut() = RCODE::ServerFailure,
        Some(Says::TooLong(_)) if !is_long => reply.set_flags(PacketFlag::TRUNCATION),
        Some(Says::Records(records) | Says::TooLong(records)) => {
            let records = records.iter().map(rdata);
            let asked = records.filter(|data| question.qtype == QTYPE::TYPE(data.type_code()));
            let named = |data| ResourceRecord::new(question.qname.clone(), CLASS::IN, TTL, data);
            reply.answers = asked.map(named).collect();
        }
        // A name with another one beneath it is there itself (RFC 8020).
        None if zone
            .keys()
            .any(|other| other.ends_with(&format!(".{name}"))) => {}
        None => *reply.rcode_mut() = RCODE::NameError,
    }
    reply.questions.push(question);
    Some(reply.build_bytes_vec().unwrap())
}

fn rdata(record: &Record) -> RData<'_> {
    match record {
        Record::Address(IpAddr::V4(ip)) => RData::A(A {
            address: (*ip).into(),
        }),
        Record::Address(IpAddr::V6(ip)) => RData::AAAA(AAAA {
            address: (*ip).into(),
        }),
        Record::Srv {
            priority,
            weight,
            port,
            target,
        } => RData::SRV(SRV {
            priority: *priority,
            weight: *weight,
            port: *port,
            target: Name::new_unchecked(target),
        }),
    }
}
