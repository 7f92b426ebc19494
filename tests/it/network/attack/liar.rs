//! Somebody on the network who says what is not so by multicast DNS, and listens to what he is told then.

use std::{
    io::{ErrorKind, Read as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::support::{eventually_after, host::Host};

/// The types of records (RFC 1035 §3.2.2, RFC 2782).
const A: u16 = 1;
const PTR: u16 = 12;
const TXT: u16 = 16;
const SRV: u16 = 33;
const PORT: u16 = 5353;
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// After so many messages the liar pauses, so that two processors have time for others: some thousand a second.
const BURST: usize = 8;
const PAUSE: Duration = Duration::from_millis(1);

/// A server that is announced and not there.
#[derive(Debug, Clone)]
pub(super) struct Fake {
    pub(super) id: String,
    pub(super) register: String,
    pub(super) kind: &'static str,
    pub(super) tls: bool,
    pub(super) ip: Ipv4Addr,
    pub(super) port: u16,
    pub(super) ttl: u32,
    /// Bytes of its TXT record that say nothing.
    pub(super) padding: usize,
    /// Whether a PTR record leads to it.
    pub(super) is_pointed_at: bool,
    /// The instance's and the host's name, where that is not made of the id.
    pub(super) label: Option<String>,
    /// A pair before all others in its TXT record.
    pub(super) extra: String,
}

impl Fake {
    /// One that claims to keep `register`.
    pub(super) fn new(register: &str, ip: Ipv4Addr, port: u16) -> Self {
        Self {
            id: format!("liar-{port}"),
            register: register.to_owned(),
            kind: "single",
            tls: false,
            ip,
            port,
            ttl: 120,
            padding: 0,
            is_pointed_at: true,
            label: None,
            extra: String::new(),
        }
    }

    /// The answer to the question `id` that describes it (RFC 6763 §12.1).
    pub(super) fn answer(&self, id: u16) -> Vec<u8> {
        let service = ["_shippy", "_tcp", "local"];
        let tls = u8::from(self.tls);
        let label = self
            .label
            .clone()
            .unwrap_or_else(|| format!("{}-{tls}", self.id));
        let instance = name(&[&[&*label][..], &service].concat());
        let host = name(&[&label, "local"]);
        let mut pairs = vec![
            self.extra.clone(),
            "txtvers=1".to_owned(),
            format!("id={}-{tls}", self.id),
            "service=go.micro.srv.consignment".to_owned(),
            "version=1".to_owned(),
            format!("register={}", self.register),
            format!("kind={}", self.kind),
            format!("tls={tls}"),
        ];
        pairs.retain(|pair| !pair.is_empty());
        pairs
            .extend((0..self.padding / 200).map(|number| format!("x{number}={}", "y".repeat(200))));
        let place = [&[0, 0, 0, 0][..], &self.port.to_be_bytes(), &host].concat();
        let mut records = vec![
            self.record(&instance, SRV, &place),
            self.record(&instance, TXT, &texts(&pairs)),
            self.record(&host, A, &self.ip.octets()),
        ];
        if self.is_pointed_at {
            records.insert(0, self.record(&name(&service), PTR, &instance));
        }
        let count = u16::try_from(records.len()).unwrap().to_be_bytes();
        let header = [
            &id.to_be_bytes()[..],
            &[0x84, 0, 0, 0],
            &count,
            &[0, 0, 0, 0],
        ]
        .concat();
        [header, records.concat()].concat()
    }

    fn record(&self, owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap();
        [
            owner,
            &kind.to_be_bytes(),
            &[0, 1],
            &self.ttl.to_be_bytes(),
            &length.to_be_bytes(),
            data,
        ]
        .concat()
    }
}

/// A message as long as may be of addresses of hosts that nobody asked for, to be remembered for 68 years; `number` makes
/// the hosts others.
pub(super) fn hosts(number: usize) -> Vec<u8> {
    const HOSTS: u16 = 300;
    let fake = Fake {
        ttl: i32::MAX.unsigned_abs(),
        ..Fake::new("", Ipv4Addr::UNSPECIFIED, 0)
    };
    let host = |place| name(&[&format!("{number:x}-{place:x}"), "x"]);
    let records = (0..HOSTS).flat_map(|place| fake.record(&host(place), A, &[10, 77, 0, 9]));
    let header = [
        &[0, 0, 0x84, 0, 0, 0][..],
        &HOSTS.to_be_bytes(),
        &[0, 0, 0, 0],
    ]
    .concat();
    header.into_iter().chain(records).collect()
}

/// A message as long as may be that asks for every server, again and again.
pub(super) fn questions() -> Vec<u8> {
    const QUESTIONS: u16 = 1_400;
    const FIRST: [u8; 2] = [0xc0, 12];
    let kind_and_class = [PTR.to_be_bytes(), [0, 1]].concat();
    let asked = (1..QUESTIONS).flat_map(|_| [&FIRST[..], &kind_and_class].concat());
    let header = [&[0, 0, 0, 0][..], &QUESTIONS.to_be_bytes(), &[0; 6]].concat();
    let service = name(&["_shippy", "_tcp", "local"]);
    [header, service, kind_and_class.clone()]
        .concat()
        .into_iter()
        .chain(asked)
        .collect()
}

fn name(labels: &[&str]) -> Vec<u8> {
    [texts(labels), vec![0]].concat()
}

/// Each with its length before it, as labels and character strings are (RFC 1035 §3.1 and §3.3).
fn texts(texts: &[impl AsRef<str>]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    texts.iter().flat_map(|one| text(one.as_ref())).collect()
}

/// A liar at work, until he is told to end.
pub(super) struct Liar {
    said: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Liar {
    /// Says `says(n)` to everybody on and on, n from 0, and all of `answers(id)` to whoever asks the question `id` from a
    /// port of his own.
    pub(super) fn start(
        host: &Host,
        ip: Ipv4Addr,
        mut says: impl FnMut(usize) -> Vec<u8> + Send + 'static,
        mut answers: impl FnMut(u16) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Self {
        let mut liar = Self::silent();
        let socket = host.network.inside(|| socket(ip));
        let asked = socket.try_clone().unwrap();
        let (said, is_over) = (Arc::clone(&liar.said), Arc::clone(&liar.is_over));
        liar.threads.push(thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let number = said.load(Ordering::Relaxed);
                // What a queue has no room for is lost, as it is on a network.
                let _ = socket.send_to(&says(number), (GROUP, PORT));
                said.fetch_add(1, Ordering::Relaxed);
                if number % BURST == BURST - 1 {
                    thread::sleep(PAUSE);
                }
            }
        }));
        liar.answer(asked, move |id, from, socket| {
            for answer in answers(id) {
                let _ = socket.send_to(&answer, from);
            }
        });
        liar
    }

    /// Says nothing but `fakes`, to those who ask, at once.
    pub(super) fn first(host: &Host, ip: Ipv4Addr, fakes: Vec<Fake>) -> Self {
        let mut liar = Self::silent();
        let socket = host.network.inside(|| socket(ip));
        liar.answer(socket, move |id, from, socket| {
            for fake in &fakes {
                let _ = socket.send_to(&fake.answer(id), from);
            }
        });
        liar
    }

    fn silent() -> Self {
        Self {
            said: Arc::default(),
            is_over: Arc::default(),
            threads: Vec::new(),
        }
    }

    fn answer(
        &mut self,
        socket: UdpSocket,
        mut answer: impl FnMut(u16, SocketAddr, &UdpSocket) + Send + 'static,
    ) {
        let is_over = Arc::clone(&self.is_over);
        self.threads.push(thread::spawn(move || {
            let mut buffer = [0; 9_000];
            while !is_over.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let is_question = length > 12 && buffer[2] & 0x80 == 0;
                if is_question && from.port() != PORT {
                    answer(u16::from_be_bytes([buffer[0], buffer[1]]), from, &socket);
                }
            }
        }));
    }

    /// How many messages he has said to everybody.
    pub(super) fn said(&self) -> usize {
        self.said.load(Ordering::Relaxed)
    }

    /// Waits until he has said so many.
    pub(super) fn await_said(&self, count: usize) {
        eventually_after(
            "lies",
            || self.said(),
            || (self.said() >= count).then_some(()),
        );
    }

    pub(super) fn end(self) {
        drop(self);
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A socket on the multicast DNS port that has joined the group at `ip`.
fn socket(ip: Ipv4Addr) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    socket.bind(&everywhere.into()).unwrap();
    socket.join_multicast_v4(&GROUP, &ip).unwrap();
    socket.set_multicast_if_v4(&ip).unwrap();
    socket.set_multicast_ttl_v4(255).unwrap();
    let socket = UdpSocket::from(socket);
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    socket
}

/// Somebody who accepts connections, says nothing, and keeps what he is told.
pub(super) struct Recorder {
    pub(super) port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    pub(super) fn start(host: &Host, ip: Ipv4Addr) -> Self {
        let listener = host.network.inside(|| TcpListener::bind((ip, 0)).unwrap());
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let keep = Arc::clone(&heard);
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let keep = Arc::clone(&keep);
                thread::spawn(move || {
                    let mut buffer = [0; 4_096];
                    loop {
                        match stream.read(&mut buffer) {
                            Ok(0) => return,
                            Ok(length) => keep.lock().unwrap().extend(&buffer[..length]),
                            Err(error) if error.kind() == ErrorKind::Interrupted => {}
                            Err(_) => return,
                        }
                    }
                });
            }
        });
        Self { port, heard }
    }

    pub(super) fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}
