//! What an attack costs the honest, beside what the same work costs them that has nothing to do with the server: both
//! share the cores of one machine.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    attacker::{Attack, Attacker, Done},
    floods::{RAPID_RESET, STREAM_OPEN},
    honest::{Fared, Honest},
    is_normal,
};
use crate::support::{Server, folder, shippy, unconfigured};

/// How long each is measured; the first of them warms up.
const MEASURED: Duration = Duration::from_secs(8);
/// The time in which a spinner spins once.
const TURN: Duration = Duration::from_millis(10);

/// Runs `work` while something spins for `share` of a core's time.
fn beside_a_spinner<T>(share: f64, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                while begun.elapsed() < TURN.mul_f64(share.min(1.0)) {
                    std::hint::spin_loop();
                }
                thread::sleep(TURN.saturating_sub(begun.elapsed()));
            }
        });
        let result = work();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// A server that is built as it is shipped, where `SHIPPY_BENCH_BINARY` names one: what a flood costs it says nothing
/// otherwise.
fn serve(home: &Path) -> Server {
    let built = shippy(home);
    let binary = std::env::var_os("SHIPPY_BENCH_BINARY");
    let binary = binary.unwrap_or_else(|| built.get_program().to_owned());
    let mut command = Command::new(binary);
    unconfigured(&mut command, home);
    let store = format!("sqlite:{}", home.join("register.db").display());
    command.args(["serve", "--registry", "static", "--store", &store]);
    Server::spawn(command, home)
}

fn measured(server: &Server) -> Fared {
    let honest = Honest::start(server, None);
    thread::sleep(MEASURED);
    honest.stop()
}

fn attacked(server: &Server, attack: Attack) -> (Fared, Done) {
    let attacker = Attacker::start(server.address, attack);
    let fared = measured(server);
    (fared, attacker.stop())
}

#[test]
#[ignore = "needs a minute of a machine for itself"]
fn the_rate_of_the_honest_beside_floods_and_beside_a_spinner() {
    for attack in [RAPID_RESET, STREAM_OPEN] {
        let home = folder();
        let server = serve(home.path());
        measured(&server);
        let alone = measured(&server);
        let (beside, done) = attacked(&server, attack);
        let spun = beside_a_spinner(done.cpu, || measured(&server));
        println!(
            "{}, {} a second: {:.0} creates a second beside it, {:.0} beside a spinner of the same {:.0} % of a core, \
             {:.0} alone; asked again {} times; {} MiB at most",
            attack.name,
            done.times / MEASURED.as_secs(),
            beside.per_second,
            spun.per_second,
            done.cpu * 100.0,
            alone.per_second,
            beside.again,
            server.memory_kib("VmHWM:") / 1024,
        );
        is_normal(&server, home.path(), &[]);
    }
}
