//! Whether multicast DNS works on this machine, found out by using it: each interface is asked on, and listened on for
//! our own question, which comes back to whoever has joined the group there, and for others.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use futures_util::future::join_all;
use simple_dns::{CLASS, Name, Packet, QCLASS, QTYPE, Question, TYPE};
use tokio::time::{Instant, sleep_until};

use super::{
    SERVICE_TYPE,
    group::{MESSAGE_MAX, Member, listener},
    interfaces::{self, Link, Reach},
    message,
    query::Socket,
    records::EVERY_SERVICE,
};

/// The pauses between questions, as one may be lost: the last of them is repeated.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
];
/// Most interfaces that are looked at, and most speakers that are remembered on each.
const LINKS_MAX: usize = 32;
const SPEAKERS_MAX: usize = 64;

/// How multicast DNS fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The UDP port.
    pub port: Port,
    /// What came of asking, by the interface and the version of IP. Those that are down are not among them.
    pub echoes: Vec<Echo>,
}

/// Whether the UDP port of multicast DNS can be listened on beside whoever does so already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// It can.
    Shared,
    /// Somebody holds it and shares it with nobody.
    Held,
    /// It cannot, for this reason.
    Failed(String),
}

/// What came of asking on one interface over one version of IP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// The interface's name.
    pub link: String,
    /// The address that was asked from.
    pub from: IpAddr,
    /// Whether the question could be sent.
    pub sent: Sent,
    /// Whether it came back; `None` where nobody could listen for it.
    pub heard: Option<bool>,
    /// Who answered it.
    pub answered: BTreeSet<IpAddr>,
    /// Which other machines were heard to say anything.
    pub others: BTreeSet<IpAddr>,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It was sent.
    Yes,
    /// The kernel does not let it out, which a firewall has it do (`EPERM`).
    Forbidden,
    /// It could not be sent, for this reason.
    Failed(String),
}

/// Tries for `time` how multicast DNS on the UDP port `port` fares on every interface that is up.
pub async fn diagnose(port: u16, time: Duration) -> Diagnosis {
    let until = Instant::now() + time;
    let links = interfaces::links(Reach::Everywhere).unwrap_or_default();
    let own: BTreeSet<IpAddr> = links.iter().flat_map(Link::ips).collect();
    let echoes = links.iter().take(LINKS_MAX).flat_map(|link| {
        let v4 = link.ipv4().next().map(IpAddr::V4);
        // Linux routes no IPv6 multicast on loopback.
        let v6 = link.ipv6().filter(|_| !link.loopback).map(IpAddr::V6);
        v4.into_iter().chain(v6).map(move |from| (link, from))
    });
    let shared = shared(port);
    let echoes = echoes.map(|(link, from)| echo(link, from, port, until, &own));
    let echoes = join_all(echoes).await;
    Diagnosis {
        port: shared,
        echoes,
    }
}

/// Binds the port as responders and browsers do, and lets it go again.
fn shared(port: u16) -> Port {
    match listener(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))) {
        Ok(_) => Port::Shared,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Port::Held,
        Err(error) => Port::Failed(error.to_string()),
    }
}

/// Asks on `link` from the address `from` again and again until it is `until`; `own` are this machine's addresses.
async fn echo(
    link: &Link,
    from: IpAddr,
    port: u16,
    until: Instant,
    own: &BTreeSet<IpAddr>,
) -> Echo {
    let mut echo = Echo {
        link: link.name.clone(),
        from,
        sent: Sent::Failed("nothing was sent".to_owned()),
        heard: None,
        answered: BTreeSet::new(),
        others: BTreeSet::new(),
    };
    let member = Member::join(link, from.is_ipv4(), port).ok();
    let opened = Socket::open(from, link.index, port);
    let opened = opened.and_then(|socket| Ok((socket.udp.local_addr()?, socket)));
    match (opened, question()) {
        (Ok((ours, socket)), Ok(question)) => {
            echo.heard = member.as_ref().map(|_| false);
            let talk = Talk {
                socket,
                ours,
                question,
                member,
            };
            talk.listen(&mut echo, until, own).await;
        }
        (Err(error), _) => echo.sent = Sent::Failed(error.to_string()),
        (_, Err(error)) => echo.sent = Sent::Failed(error.to_string()),
    }
    echo
}

/// Asking on one interface.
struct Talk {
    socket: Socket,
    /// Where it asks from.
    ours: SocketAddr,
    question: Vec<u8>,
    /// What hears what is said to all.
    member: Option<Member>,
}

impl Talk {
    async fn listen(&self, echo: &mut Echo, until: Instant, own: &BTreeSet<IpAddr>) {
        let mut pauses = PAUSES.into_iter();
        let mut pause = Duration::ZERO;
        let mut next = Instant::now();
        let (mut answer, mut said) = (vec![0; MESSAGE_MAX], vec![0; MESSAGE_MAX]);
        while Instant::now() < until {
            tokio::select! {
                () = sleep_until(next.min(until)) => {
                    echo.note_sent(self.socket.send(&self.question));
                    pause = pauses.next().unwrap_or(pause);
                    next = Instant::now() + pause;
                }
                Ok((_, sender)) = self.socket.udp.recv_from(&mut answer) => {
                    remember(&mut echo.answered, sender.ip());
                }
                Some((length, sender)) = received(self.member.as_ref(), &mut said) => {
                    if is_same(sender, self.ours) && said[..length] == self.question {
                        echo.heard = Some(true);
                    } else if !own.contains(&sender.ip()) {
                        remember(&mut echo.others, sender.ip());
                    }
                }
            }
        }
    }
}

impl Echo {
    /// One that went out once shows that it can.
    fn note_sent(&mut self, result: io::Result<usize>) {
        self.sent = match result {
            Ok(_) => Sent::Yes,
            Err(_) if self.sent == Sent::Yes => return,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Sent::Forbidden,
            Err(error) => Sent::Failed(error.to_string()),
        };
    }
}

/// Without the scope, which one of both may lack.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip(), one.port()) == (other.ip(), other.port())
}

fn remember(speakers: &mut BTreeSet<IpAddr>, speaker: IpAddr) {
    if speakers.len() < SPEAKERS_MAX {
        speakers.insert(speaker);
    }
}

/// The next datagram; `None` when it was none. It never comes where nobody listens.
async fn received(member: Option<&Member>, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    match member {
        Some(member) => member.hear(buffer).await.ok(),
        None => std::future::pending().await,
    }
}

/// Asks for shippy's servers, and for everything, so that whoever is there is heard.
fn question() -> Result<Vec<u8>, simple_dns::SimpleDnsError> {
    let mut packet = Packet::new_query(message::chance());
    for name in [SERVICE_TYPE.trim_end_matches('.'), EVERY_SERVICE] {
        let (kind, class) = (QTYPE::TYPE(TYPE::PTR), QCLASS::CLASS(CLASS::IN));
        let question = Question::new(Name::new(name)?, kind, class, false);
        packet.questions.push(question);
    }
    packet.build_bytes_vec()
}
