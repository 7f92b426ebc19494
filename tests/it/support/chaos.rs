//! A way to a server on which connections fare badly: slow, cut, swallowed, or a byte at a time.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// How a connection fares.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    /// As it should.
    Good,
    /// What is said arrives so much later.
    Late(Duration),
    /// It is closed once so many bytes have passed, either way.
    Cut(usize),
    /// Nothing passes any more after so many bytes, either way, and neither side is told.
    Swallowed(usize),
    /// Each byte goes by itself.
    Trickled,
}

/// Passes on what is said to a port of this machine, and back. It goes on as long as the tests do.
pub(crate) struct Chaos {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Chaos {
    /// The connection with the number `n`, counted from 0, fares as `fate(n)` has it.
    pub(crate) fn before(
        server: SocketAddr,
        fate: impl Fn(usize) -> Fate + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let fate = fate(count.fetch_add(1, Ordering::Relaxed));
                if let Ok(far) = TcpStream::connect(server) {
                    pass(&near, &far, fate);
                }
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn pass(near: &TcpStream, far: &TcpStream, fate: Fate) {
    let passed = Arc::new(AtomicUsize::new(0));
    for (from, to) in [(near, far), (far, near)] {
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        to.set_nodelay(true).unwrap();
        let passed = Arc::clone(&passed);
        thread::spawn(move || {
            if pump(&from, &to, fate, &passed).is_none() {
                // One that waits for the other side is woken.
                for stream in [from, to] {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
        });
    }
}

/// `None` when the connection has to end, both ways.
fn pump(mut from: &TcpStream, mut to: &TcpStream, fate: Fate, passed: &AtomicUsize) -> Option<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).ok().filter(|&length| length > 0)?;
        let bytes = &buffer[..length];
        let before = passed.fetch_add(length, Ordering::Relaxed);
        let until = |limit: usize| &bytes[..length.min(limit.saturating_sub(before))];
        match fate {
            Fate::Good => to.write_all(bytes).ok()?,
            Fate::Late(by) => {
                thread::sleep(by);
                to.write_all(bytes).ok()?;
            }
            Fate::Cut(limit) => {
                to.write_all(until(limit)).ok()?;
                if before + length >= limit {
                    return None;
                }
            }
            Fate::Swallowed(limit) => to.write_all(until(limit)).ok()?,
            Fate::Trickled => {
                for byte in bytes {
                    to.write_all(&[*byte]).ok()?;
                }
            }
        }
    }
}
