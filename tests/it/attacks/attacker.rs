//! One who does the same thing again and again, from many addresses, at a rate that is given.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::ATTACK;
use crate::support::{
    eventually,
    http2::{PREFACE, SETTINGS, frame},
};

/// How often it does some of what it does.
const TICK: Duration = Duration::from_millis(10);
/// What it keeps for a connection that takes no more.
const KEPT: usize = 64 * 1024;

/// What it does.
#[derive(Clone, Copy)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// What each connection begins with.
    pub(super) first: fn() -> Vec<u8>,
    /// What is sent with the number of a stream that was not used before.
    pub(super) each: fn(u32) -> Vec<u8>,
    /// How often a second, over all connections.
    pub(super) rate: u32,
    pub(super) connections: usize,
    /// After how often a connection is given up for a new one.
    pub(super) renewed_after: u32,
}

/// Whom it is done to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// Where it is done by TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }
}

/// It at work, on a thread of its own.
pub(super) struct Attacker {
    attack: Attack,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    thread: JoinHandle<Duration>,
    begun: Instant,
}

/// What it did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    pub(super) name: &'static str,
    pub(super) times: u64,
    /// The share of one core that it took.
    pub(super) cpu: f64,
}

impl Attacker {
    pub(super) fn start(target: impl Into<Target>, attack: Attack) -> Self {
        let target = target.into();
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let shared = (Arc::clone(&stop), Arc::clone(&done));
        let thread = thread::spawn(move || {
            run(&target, attack, &shared.0, &shared.1);
            clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
        });
        Self {
            attack,
            stop,
            done,
            thread,
            begun: Instant::now(),
        }
    }

    /// How often it has done it.
    pub(super) fn times(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until it has gone on for as long as an attack does, and has done as much as it can in that time on a slow
    /// machine.
    #[track_caller]
    pub(super) fn goes_on(&self) {
        let least = u64::from(self.attack.rate) * ATTACK.as_secs() / 20;
        eventually(self.attack.name, || {
            (self.times() >= least && self.begun.elapsed() >= ATTACK).then_some(())
        });
    }

    pub(super) fn stop(self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        let took = self.begun.elapsed();
        let cpu = self.thread.join().unwrap();
        Done {
            name: self.attack.name,
            times: self.done.load(Ordering::Relaxed),
            cpu: cpu.as_secs_f64() / took.as_secs_f64(),
        }
    }
}

/// A connection from `127.0.0.x`, whose x comes from `number`.
pub(super) fn connect(server: SocketAddr, number: usize) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let last = 2 + number % 250;
    let from = Ipv4Addr::new(127, 0, 0, u8::try_from(last).unwrap());
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}

/// What a connection of HTTP/2 begins with.
pub(super) fn hello() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

pub(super) fn nothing() -> Vec<u8> {
    Vec::new()
}

/// What is said over a connection, be it by TLS.
trait Wire: Read + Write {}

impl<W: Read + Write> Wire for W {}

/// A connection under attack.
struct Line {
    wire: Box<dyn Wire>,
    /// What is to be sent yet.
    out: Vec<u8>,
    stream_id: u32,
    times: u32,
}

impl Line {
    fn open(target: &Target, attack: &Attack) -> Option<Self> {
        /// Over all attackers, so that each has other addresses.
        static OPENED: AtomicUsize = AtomicUsize::new(0);
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let stream = connect(target.address, number).ok()?;
        stream.set_nonblocking(true).ok()?;
        let wire: Box<dyn Wire> = match &target.tls {
            None => Box::new(stream),
            Some(config) => {
                let name = "shippy".try_into().unwrap();
                let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
                Box::new(StreamOwned::new(connection, stream))
            }
        };
        Some(Self {
            wire,
            out: (attack.first)(),
            stream_id: 1,
            times: 0,
        })
    }

    /// Sends what it takes and reads what there is; `None` when it has ended.
    fn pump(&mut self) -> Option<()> {
        let passed = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
        while !self.out.is_empty() {
            match self.wire.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if passed(&error) => break,
                Err(_) => return None,
            }
        }
        let mut heard = [0; 16 * 1024];
        loop {
            match self.wire.read(&mut heard) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if passed(&error) => return Some(()),
                Err(_) => return None,
            }
        }
    }
}

fn run(target: &Target, attack: Attack, stop: &AtomicBool, done: &AtomicU64) {
    let mut lines: Vec<Option<Line>> = (0..attack.connections).map(|_| None).collect();
    let begun = Instant::now();
    let mut owed = 0.0;
    let mut paid = 0.0;
    while !stop.load(Ordering::Relaxed) {
        owed = f64::max(owed, begun.elapsed().as_secs_f64() * f64::from(attack.rate));
        for place in &mut lines {
            if place.is_none() {
                *place = Line::open(target, &attack);
            }
            let Some(line) = place else {
                continue;
            };
            #[expect(clippy::cast_precision_loss, reason = "some dozens")]
            let share = ((owed - paid) / attack.connections as f64).ceil().max(0.0);
            let mut now = 0.0;
            while now < share && line.out.len() < KEPT && line.times < attack.renewed_after {
                line.out.extend((attack.each)(line.stream_id));
                line.stream_id += 2;
                line.times += 1;
                now += 1.0;
                done.fetch_add(1, Ordering::Relaxed);
            }
            paid += now;
            let is_over = line.pump().is_none();
            if is_over || (line.times >= attack.renewed_after && line.out.is_empty()) {
                *place = None;
            }
        }
        // What it could not do in time it does not make up for.
        paid = f64::max(paid, owed - f64::from(attack.rate) / 10.0);
        thread::sleep(TICK);
    }
}
