//! A collector that is not there, or does not answer, is no trouble for those who are served.

use std::{
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::{ENDPOINT, Server, collector, folder, to};
use crate::{
    security::Authority,
    support::{answer, collector::Collector, eventually, free_address},
};

const AWAY: &str = "could not export traces to ";

/// Creates a consignment.
#[track_caller]
fn create(server: &Server) {
    let json = ["Content-Type: application/json"];
    answer::send(server.address, "POST", "/v1/consignments", &json, "{}").is(201);
}

/// Closes each connection to `address` at once, and counts them.
struct Closer {
    closed: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    running: Option<JoinHandle<()>>,
}

impl Closer {
    fn start(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (closed, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, stops) = (Arc::clone(&closed), Arc::clone(&stop));
        let running = thread::spawn(move || {
            while !stops.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok(_) => {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => thread::yield_now(),
                }
            }
        });
        Self {
            closed,
            stop,
            running: Some(running),
        }
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.running.take().map(JoinHandle::join);
    }
}

#[test]
fn one_that_is_away_is_warned_of_once_and_told_of_when_it_is_back() {
    let home = folder();
    let address = free_address();
    let closer = Closer::start(&address);
    let server = Server::start_with(home.path(), to(&address));
    // Each export is tried four times.
    eventually("several exports have failed", || {
        create(&server);
        (closer.closed.load(Ordering::Relaxed) > 12).then_some(())
    });
    let told = |text: &str| server.logged().matches(text).count();
    eventually("it is warned of", || (told(AWAY) > 0).then_some(()));
    drop(closer);
    let collector = Collector::start(&address);
    eventually("spans are exported", || {
        create(&server);
        collector.spans().pop()
    });
    let back = format!("traces are exported to {address} again; ");
    eventually("that is told", || (told(&back) > 0).then_some(()));
    assert_eq!(
        (told(AWAY), told(&back), told("WARN")),
        (1, 1, 1),
        "{}",
        server.logged()
    );
    assert!(!server.logged().contains("again; 0 spans"));
}

#[test]
fn one_that_does_not_answer_holds_nothing_up_and_the_queue_has_an_end() {
    let home = folder();
    // What connects waits in its backlog.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let server = Server::start_with(home.path(), |command| {
        to(&address)(command);
        command.env("OTEL_BSP_MAX_QUEUE_SIZE", "8");
        command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "600000");
    });
    for _ in 0..40 {
        create(&server);
    }
    let log = server.log.clone();
    assert!(server.stop().success());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.contains("ended before all traces were exported"),
        "{log}"
    );
}

/// Connections to `listener`, which stay open and are never answered, until `is_enough`.
fn leave_unanswered(listener: &TcpListener, is_enough: impl Fn() -> bool) -> Vec<TcpStream> {
    listener.set_nonblocking(true).unwrap();
    let mut open = Vec::new();
    eventually("an export has failed", || {
        open.extend(listener.accept().map(|(stream, _)| stream));
        is_enough().then_some(())
    });
    assert!(!open.is_empty());
    open
}

/// A server for whose collector at `address` somebody else is at first, who says nothing and does not hang up either; then
/// comes the one that `takes_over`.
fn is_exported_to_after_silence(
    address: &str,
    change: impl FnOnce(&mut Command),
    takes_over: impl FnOnce() -> Collector,
) {
    let home = folder();
    let silent = TcpListener::bind(address).unwrap();
    let server = Server::start_with(home.path(), |command| {
        to(address)(command);
        command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "300");
        change(command);
    });
    let told = |text: &str| server.logged().matches(text).count();
    create(&server);
    let _open = leave_unanswered(&silent, || told(AWAY) > 0);
    drop(silent);
    let collector = takes_over();
    eventually("spans are exported", || {
        create(&server);
        collector.spans().pop()
    });
    let before = eventually("that is told", || {
        let log = server.logged();
        log.split_once("again; ")
            .map(|(before, _)| before.to_owned())
    });
    // On a machine that stands still there may be more of them later.
    assert_eq!(before.matches("WARN").count(), 1, "{before}");
}

#[test]
fn one_that_falls_silent_is_connected_to_anew() {
    let address = free_address();
    is_exported_to_after_silence(&address, |_| {}, || Collector::start(&address));
}

#[test]
fn one_that_never_begins_with_tls_is_connected_to_anew() {
    let home = folder();
    let authority = Authority::new(home.path(), "authority");
    let pair = authority.server(home.path(), "localhost");
    let address = free_address();
    let (_, port) = address.rsplit_once(':').unwrap();
    let secure = |command: &mut Command| {
        command.env(ENDPOINT, format!("https://localhost:{port}"));
        command.env("OTEL_EXPORTER_OTLP_CERTIFICATE", &authority.file);
    };
    is_exported_to_after_silence(&address, secure, || {
        Collector::start_tls(&address, &pair.certificate, &pair.key)
    });
}

#[test]
fn what_a_collector_has_no_time_for_is_counted() {
    let (home, collector) = (folder(), collector());
    let server = Server::start_with(home.path(), |command| {
        to(&collector.address)(command);
        command.env("OTEL_BSP_MAX_QUEUE_SIZE", "2");
        command.env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2");
        // Only what is full is sent.
        command.env("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    });
    let lost = format!(
        " spans were lost, as more came than {} takes",
        collector.address
    );
    // Of two spans each; as many are on their way at most and wait.
    collector.hold(true);
    for _ in 0..4 {
        create(&server);
    }
    collector.hold(false);
    eventually("that some are lost is told", || {
        server.logged().contains(&lost).then_some(())
    });
    assert_eq!(server.logged().matches("WARN").count(), 1);
}

#[test]
fn what_has_ended_is_exported_before_the_server_ends() {
    let (home, collector) = (folder(), collector());
    let server = Server::start_with(home.path(), |command| {
        to(&collector.address)(command);
        command.env("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    });
    create(&server);
    assert!(collector.spans().is_empty());
    assert!(server.stop().success());
    let mut names: Vec<_> = (collector.spans().into_iter())
        .map(|span| span.name)
        .collect();
    names.sort();
    assert_eq!(names, ["POST /v1/consignments", "commit"]);
}
