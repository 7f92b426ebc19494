//! One who does the same thing again and again, from many addresses, at a rate that is given.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, Socket, Type};

use crate::support::http2::{PREFACE, SETTINGS, frame};

/// How often it does some of what it does.
const TICK: Duration = Duration::from_millis(10);
/// What it keeps for a connection that takes no more.
const KEPT: usize = 64 * 1024;

/// What it does.
#[derive(Clone, Copy)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// What each connection begins with, after its settings.
    pub(super) first: fn() -> Vec<u8>,
    /// What is sent with the number of a stream that was not used before.
    pub(super) each: fn(u32) -> Vec<u8>,
    /// How often a second, over all connections.
    pub(super) rate: u32,
    pub(super) connections: usize,
    /// After how often a connection is given up for a new one.
    pub(super) renewed_after: u32,
}

/// It at work, on a thread of its own.
pub(super) struct Attacker {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    thread: JoinHandle<Duration>,
    begun: Instant,
}

/// What it did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    pub(super) times: u64,
    /// The share of one core that it took.
    pub(super) cpu: f64,
}

impl Attacker {
    pub(super) fn start(server: SocketAddr, attack: Attack) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let shared = (Arc::clone(&stop), Arc::clone(&done));
        let thread = thread::spawn(move || {
            run(server, attack, &shared.0, &shared.1);
            clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
        });
        Self {
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

    pub(super) fn stop(self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        let took = self.begun.elapsed();
        let cpu = self.thread.join().unwrap();
        Done {
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

/// A connection under attack.
struct Line {
    stream: TcpStream,
    /// What is to be sent yet.
    out: Vec<u8>,
    stream_id: u32,
    times: u32,
}

impl Line {
    fn open(server: SocketAddr, number: usize, attack: &Attack) -> Option<Self> {
        let stream = connect(server, number).ok()?;
        stream.set_nonblocking(true).ok()?;
        let out = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &(attack.first)()].concat();
        Some(Self {
            stream,
            out,
            stream_id: 1,
            times: 0,
        })
    }

    /// Sends what it takes and reads what there is; `None` when it has ended.
    fn pump(&mut self) -> Option<()> {
        let passed = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if passed(&error) => break,
                Err(_) => return None,
            }
        }
        let mut heard = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut heard) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if passed(&error) => return Some(()),
                Err(_) => return None,
            }
        }
    }
}

fn run(server: SocketAddr, attack: Attack, stop: &AtomicBool, done: &AtomicU64) {
    let mut lines: Vec<Option<Line>> = (0..attack.connections).map(|_| None).collect();
    let mut opened = 0;
    let begun = Instant::now();
    let mut owed = 0.0;
    let mut paid = 0.0;
    while !stop.load(Ordering::Relaxed) {
        owed = f64::max(owed, begun.elapsed().as_secs_f64() * f64::from(attack.rate));
        for place in &mut lines {
            if place.is_none() {
                *place = Line::open(server, opened, &attack);
                opened += 1;
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
