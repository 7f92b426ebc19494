//! What an attack costs the honest, beside what the same work costs them that has nothing to do with the server: both
//! share the cores of one machine. And how soon all is as it was when it is over.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    attacker::{Attacker, Done, Target},
    calm::{Calm, Watch},
    floods::{RAPID_RESET, STREAM_OPEN},
    honest::{Fared, Honest},
    is_normal,
    together::{all_at_once, by_tls},
    way::Way,
};
use crate::support::{Server, folder, shippy, unconfigured};

/// How long each is measured; the first of them warms up.
const MEASURED: Duration = Duration::from_secs(8);
/// The time in which a spinner spins once.
const TURN: Duration = Duration::from_millis(10);
/// How soon after an attack all is to be as before.
const NORMAL_AGAIN: Duration = Duration::from_secs(5);
/// How often that is tried: a busy machine stands still at times.
const TRIES: usize = 3;

/// Begins a flood.
type Flood = fn(&Target) -> Vec<Attacker>;

/// Runs `work` while something spins for each of `shares` of a core's time.
fn beside_spinners<T>(shares: &[f64], work: impl FnOnce() -> T) -> T {
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        for share in shares {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    while begun.elapsed() < TURN.mul_f64(share.min(1.0)) {
                        std::hint::spin_loop();
                    }
                    thread::sleep(TURN.saturating_sub(begun.elapsed()));
                }
            });
        }
        let result = work();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// A server that is built as it is shipped, where `SHIPPY_BENCH_BINARY` names one: what a flood costs it says nothing
/// otherwise.
fn serve(home: &Path, way: &Way) -> Server {
    let built = shippy(home);
    let binary = std::env::var_os("SHIPPY_BENCH_BINARY");
    let binary = binary.unwrap_or_else(|| built.get_program().to_owned());
    let mut command = Command::new(binary);
    unconfigured(&mut command, home);
    let store = format!("sqlite:{}", home.join("register.db").display());
    command.args(["serve", "--registry", "static", "--store", &store]);
    command.args(way.serve_args());
    Server::spawn(command, home)
}

fn measured(server: &Server, way: &Way) -> Fared {
    let honest = Honest::start_at(way.endpoint(server), None);
    thread::sleep(MEASURED);
    honest.stop()
}

fn attacked(server: &Server, way: &Way, flood: Flood) -> (Fared, Vec<Done>) {
    let attackers = flood(&way.target(server));
    let fared = measured(server, way);
    (fared, attackers.into_iter().map(Attacker::stop).collect())
}

/// How soon after a flood all is as in `calm`, and what to say of it.
fn normal_again(watch: &mut Watch<'_>, calm: &Calm, mut flood: impl FnMut()) -> String {
    let mut tried = Vec::new();
    loop {
        let again = watch.until(calm);
        if again.all().is_some_and(|took| took <= NORMAL_AGAIN) {
            return format!("normal again {again}");
        }
        tried.push(again);
        assert!(
            tried.len() < TRIES,
            "not within {NORMAL_AGAIN:?}: {tried:?}"
        );
        flood();
    }
}

fn measure(name: &str, way: &Way, home: &Path, flood: Flood) {
    let server = &serve(home, way);
    measured(server, way);
    let alone = measured(server, way);
    // The allocator keeps some of what a first flood took, which the next one is not to add to.
    attacked(server, way, flood);
    let mut watch = Watch::new(server, way);
    let calm = watch.calm();
    let (beside, done) = attacked(server, way, flood);
    let normal = normal_again(&mut watch, &calm, || drop(attacked(server, way, flood)));
    let shares: Vec<_> = done.iter().map(|done| done.cpu).collect();
    let spun = beside_spinners(&shares, || measured(server, way));
    for done in &done {
        println!(
            "{}: {} a second",
            done.name,
            done.times / MEASURED.as_secs()
        );
    }
    println!(
        "{name}: {:.0} creates a second beside it, {:.0} beside spinners of the same {:.0} % of a core, {:.0} alone; \
         asked again {} times; {} MiB at most; {normal}, from {calm}\n",
        beside.per_second,
        spun.per_second,
        shares.iter().sum::<f64>() * 100.0,
        alone.per_second,
        beside.again,
        server.memory_kib("VmHWM:") / 1024,
    );
    is_normal(server, home, &way.ask_args());
}

#[test]
#[ignore = "needs some minutes of a machine for itself"]
fn the_rate_of_the_honest_beside_floods_and_beside_a_spinner() {
    let one: [(&str, Flood); 3] = [
        ("rapid reset", |target| {
            vec![Attacker::start(target.clone(), RAPID_RESET)]
        }),
        ("streams opened", |target| {
            vec![Attacker::start(target.clone(), STREAM_OPEN)]
        }),
        ("all at once", all_at_once),
    ];
    for (name, flood) in one {
        measure(name, &Way::in_clear(), folder().path(), flood);
    }
    let home = folder();
    measure("by TLS", &Way::by_tls(home.path()), home.path(), by_tls);
}
