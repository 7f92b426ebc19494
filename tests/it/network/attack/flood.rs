//! Floods that never let up: what is said is more than anybody can take in, on and on.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    LIAR, MEMORY_MAX, Scene,
    liar::{Fake, Liar, hosts, questions},
};
use crate::support::{
    Server, eventually_after,
    memory::{peak, run_measured},
};

/// 625 messages a second, most of them of 8 KB.
const EVERY: Duration = Duration::from_micros(1_600);
/// As many as that makes in a minute.
const MESSAGES: usize = 37_500;
/// How much more a server may take than it did before, in KiB.
const GROWTH_MAX: u64 = 32 * 1024;

/// Hosts that nobody asked for, to be remembered for 68 years, servers that are not there, and as many questions as fit.
fn flood(number: usize) -> Vec<u8> {
    match number % 8 {
        6 => Fake::new(
            &format!("{number:08x}-0000-7000-8000-000000000000"),
            LIAR,
            9,
        )
        .answer(0),
        7 => questions(),
        _ => hosts(number),
    }
}

/// Has `flood` said to all on the network.
fn flooded(scene: &Scene) -> Liar {
    let begun = Instant::now();
    let says = move |number: usize| {
        let message = flood(number);
        let due = begun + EVERY * u32::try_from(number).unwrap();
        thread::sleep(due.saturating_duration_since(Instant::now()));
        message
    };
    Liar::start(&scene.liar, LIAR, says, |_| Vec::new())
}

/// Fails the test when `server`, which took `before`, has grown; what it has taken at most.
#[track_caller]
fn bounded(server: &Server, before: u64) -> u64 {
    let most = peak(server.pid()).unwrap();
    assert!(most < before + GROWTH_MAX, "{before} KiB, then {most} KiB");
    most
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_a_flood_that_never_lets_up_fills_no_memory_and_hides_no_server() {
    let scene = Scene::new();
    let server = scene.depot.serve(&["--lan"]);
    scene.until(0, &["create", "consignment.json"]);
    let before = peak(server.pid()).unwrap();
    let begun = Instant::now();
    let liar = flooded(&scene);
    liar.await_said(500);
    // Looks out for copies of its register while that goes on.
    let late = scene.depot.serve(&["--lan", "--name", "late"]);
    let mut client = 0;
    eventually_after(
        "the flood",
        || liar.said(),
        || {
            for server in [&server, &late] {
                bounded(server, before);
            }
            let chosen = ["--register", &server.register, "--timeout", "20s"];
            let mut list = scene.office.shippy(&[&["list"], &chosen[..]].concat());
            let (listed, most) = run_measured(&mut list);
            listed.exits(0);
            client = client.max(most);
            (liar.said() >= MESSAGES).then_some(())
        },
    );
    let [most, late_most] = [&server, &late].map(|server| bounded(server, before));
    eprintln!(
        "a server: {before} KiB before, {most} KiB after {} messages in {:.0?}; one that came meanwhile: {late_most} KiB; \
         a client: {client} KiB",
        liar.said(),
        begun.elapsed(),
    );
    assert!(client < MEMORY_MAX, "{client} KiB");
    liar.end();
    scene.office.finds_again();
    for server in [server, late] {
        assert!(server.stop().success());
    }
    scene.office.finds_none();
}
