//! A way to the database on which an answer can be lost.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// How long the database has for what it is not heard to answer.
const DONE: Duration = Duration::from_millis(500);

/// Passes on what is said to a port of this machine, and back.
pub(super) struct Proxy {
    pub(super) port: u16,
    loses: Arc<AtomicBool>,
}

impl Proxy {
    pub(super) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            loses: Arc::default(),
        };
        let loses = Arc::clone(&proxy.loses);
        // It ends with the tests.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                let loses = Arc::clone(&loses);
                thread::spawn(move || pass(client, server, &loses));
            }
        });
        proxy
    }

    /// Has the next commit done, and its connection cut before it is answered.
    pub(super) fn lose_an_answer(&self) {
        self.loses.store(true, Ordering::SeqCst);
    }

    /// Whether one has been lost since.
    pub(super) fn has_lost_it(&self) -> bool {
        !self.loses.load(Ordering::SeqCst)
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, loses: &AtomicBool) {
    let (mut back, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut back, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let said = &bytes[..count];
        let commits = said.windows(6).any(|six| six == b"COMMIT");
        let is_lost = commits && loses.swap(false, Ordering::SeqCst);
        if is_lost {
            // Nothing comes back from here on.
            let _ = client.shutdown(Shutdown::Write);
        }
        if server.write_all(said).is_err() {
            break;
        }
        if is_lost {
            thread::sleep(DONE);
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}
