//! Followed lists beside many writers, over a killed and a stopped server: no gap and no repeat.
//!
//! `SHIPPY_TEST_FOLLOW_SECONDS` says for how long.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use futures_util::future::join_all;
use rustix::process::Signal;
use shippy::{
    backend,
    client::{Client, Options},
    consignment::new_id,
    proto::{Consignment, Container},
};

use crate::{
    cli::serve_with,
    running::Running,
    support::{Server, eventually_after, folder, free_address, own_name, run},
};

/// Those who create at the same time, each over a connection of its own.
const WRITERS: usize = 64;
/// Consignments are spread over so many vessels, customers and origins.
const VALUES: u64 = 7;
/// A server that is started again is there long before.
const TIMEOUT: Duration = Duration::from_secs(60);

/// `shippy list --follow` with conditions, and what it has printed.
struct Follower {
    running: Running,
    printed: JoinHandle<Vec<String>>,
    /// The sequence number of the last line.
    reached: Arc<AtomicU64>,
    is_wanted: fn(&Consignment) -> bool,
}

impl Follower {
    fn start(
        home: &Path,
        server: &Server,
        args: &[&str],
        is_wanted: fn(&Consignment) -> bool,
    ) -> Self {
        let mut command = server.ask(home, &["list", "--follow", "-o", "ndjson"]);
        command.args(["--timeout", "60s"]).args(args);
        let mut running = Running::start(&mut command);
        let stdout = BufReader::new(running.child.stdout.take().unwrap());
        let reached = Arc::new(AtomicU64::new(0));
        let reports = Arc::clone(&reached);
        let printed = thread::spawn(move || {
            let mut lines = Vec::new();
            for line in stdout.lines() {
                let line = line.unwrap();
                reports.store(parse(&line).sequence, Ordering::Relaxed);
                lines.push(line);
            }
            lines
        });
        Self {
            running,
            printed,
            reached,
            is_wanted,
        }
    }

    /// Waits until it has printed what it should of `all`, ends it, and compares.
    fn check(self, all: &[String]) {
        let wanted: Vec<_> = all
            .iter()
            .filter(|line| (self.is_wanted)(&parse(line)))
            .collect();
        let last = wanted.last().map_or(0, |line| parse(line).sequence);
        eventually_after(
            "the follower's last line",
            || self.reached.load(Ordering::Relaxed),
            || (self.reached.load(Ordering::Relaxed) >= last).then_some(()),
        );
        self.running.signal(Signal::INT);
        self.running.end().exits(0);
        let printed = self.printed.join().unwrap();
        assert!(!wanted.is_empty(), "the writers got nowhere");
        for (place, (printed, wanted)) in printed.iter().zip(&wanted).enumerate() {
            assert_eq!(printed, *wanted, "line {place}");
        }
        assert_eq!(printed.len(), wanted.len());
    }
}

fn parse(line: &str) -> Consignment {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// What the writers are told, and tell.
#[derive(Default)]
struct Work {
    stop: AtomicBool,
    /// How many consignments they have created.
    created: AtomicU64,
}

impl Work {
    /// Waits until each writer has created some more, on a machine of any speed, so that there are some of every sort.
    fn await_more(&self) {
        let enough = self.created.load(Ordering::Relaxed) + 2 * VALUES * WRITERS as u64;
        eventually_after(
            "more is created",
            || self.created.load(Ordering::Relaxed),
            || (self.created.load(Ordering::Relaxed) >= enough).then_some(()),
        );
    }
}

/// Creates one after another until it is told to stop, whatever happens to the server.
async fn write(address: &str, number: u64, work: &Work) -> u64 {
    let options = Options {
        name: "any".into(),
        register: None,
        timeout: TIMEOUT,
        tls: None,
        token: None,
        is_named: true,
    };
    let mut client = Client::new(backend::fixed(vec![address.to_owned()]), options);
    let mut created = 0;
    while !work.stop.load(Ordering::Relaxed) {
        let kind = (number + created) % VALUES;
        let consignment = Consignment {
            id: new_id(),
            vessel_id: format!("vessel-{kind}"),
            containers: vec![Container {
                customer_id: format!("customer-{}", (number + created / 3) % VALUES),
                ..Container::default()
            }],
            ..Consignment::default()
        };
        client.create(&consignment).await.unwrap();
        created += 1;
        work.created.fetch_add(1, Ordering::Relaxed);
    }
    created
}

/// All writers at work; how many they have created.
fn write_all(address: String, work: Arc<Work>) -> JoinHandle<u64> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    thread::spawn(move || {
        let writers = (0..WRITERS as u64).map(|number| write(&address, number, &work));
        runtime.block_on(join_all(writers)).into_iter().sum()
    })
}

#[test]
fn followers_miss_nothing_and_repeat_nothing() {
    let seconds = env::var("SHIPPY_TEST_FOLLOW_SECONDS").map_or(3, |text| text.parse().unwrap());
    let phase = Duration::from_secs(seconds) / 3;
    let home = folder();
    let name = own_name();
    // One that nobody else takes while the server is away.
    let address = free_address();
    let restart = || serve_with(home.path(), &name, &["--address", &address]);
    let mut server = restart();
    let work = Arc::new(Work::default());
    let writers = write_all(address.clone(), Arc::clone(&work));
    let pass = || {
        thread::sleep(phase);
        work.await_more();
    };
    let follow = |server: &Server, args: &[&str], is_wanted| {
        Follower::start(home.path(), server, args, is_wanted)
    };
    let mut followers = vec![
        follow(&server, &[], |_| true),
        follow(&server, &["--vessel", "vessel-3"], |one| {
            one.vessel_id == "vessel-3"
        }),
    ];
    pass();
    server.kill();
    server = restart();
    // One that begins when much is there already, and meets two conditions at once.
    let both = ["--vessel", "vessel-2", "--customer", "customer-5"];
    followers.push(follow(&server, &both, |one| {
        one.vessel_id == "vessel-2" && one.containers[0].customer_id == "customer-5"
    }));
    pass();
    assert!(server.stop().success());
    server = restart();
    pass();
    work.stop.store(true, Ordering::Relaxed);
    let created = writers.join().unwrap();

    let listed = run(&mut server.ask(home.path(), &["list", "-o", "ndjson"])).exits(0);
    let all: Vec<_> = listed.stdout.lines().map(str::to_owned).collect();
    let sequences = all.iter().map(|line| parse(line).sequence);
    assert!(sequences.eq(1..=created), "{created} were acknowledged");
    for follower in followers {
        follower.check(&all);
    }
    eprintln!("{created} created");
}
