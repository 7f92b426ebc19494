//! Multicast DNS in the hands of somebody on the network who means harm: noise, floods, and servers that are not there.

use std::{fmt::Write as _, net::Ipv4Addr};

use shippy::escape::acts;

use super::plugged;
use crate::{
    cli::file,
    kill::Dice,
    security::{Authority, token},
    support::{
        Ran,
        host::Host,
        memory::{peak, run_measured},
        namespace::Bridge,
        run_until,
    },
};
use liar::{Fake, Liar, Recorder};

mod flood;
mod liar;

const DEPOT: &str = "10.77.0.1/16";
const OFFICE: &str = "10.77.0.2/16";
const LIAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
const LIARS: &str = "10.77.0.3/16";
/// What neither a server nor a client may take, whatever is said to it, in KiB. Without an attack a server takes 25 MiB
/// in a build without optimizations.
const MEMORY_MAX: u64 = 128 * 1024;
/// Room for a message that names as many servers or registers as any names.
const TEXT_MAX: usize = 8 * 1024;

/// A depot's server, an office that asks, and somebody on the same network.
struct Scene {
    depot: Host,
    office: Host,
    liar: Host,
    _bridge: Bridge,
}

impl Scene {
    fn new() -> Self {
        let bridge = Bridge::new();
        let [depot, office, liar] = [DEPOT, OFFICE, LIARS].map(|ip| plugged(&bridge, &[ip]).0);
        Self {
            depot,
            office,
            liar,
            _bridge: bridge,
        }
    }

    /// What the office's `shippy` with `args` says, which it is asked for until it ends with `code`.
    #[track_caller]
    fn until(&self, code: i32, args: &[&str]) -> Ran {
        run_until(|| self.office.shippy(args), code, &[])
    }
}

fn bytes(dice: &mut Dice, most: usize) -> Vec<u8> {
    let length = dice.index(most + 1);
    let byte = |_| u8::try_from(dice.roll(256)).unwrap();
    (0..length).map(byte).collect()
}

/// A message that makes no sense, of whichever kind.
fn noise(dice: &mut Dice, fake: &Fake) -> Vec<u8> {
    let sound = fake.answer(0);
    match dice.roll(7) {
        0 => bytes(dice, 600),
        1 => {
            let length = dice.index(sound.len());
            sound[..length].to_vec()
        }
        2 => bytes(dice, 9_000),
        3 => vec![0x84; 65_507],
        // A name that goes on with itself (RFC 1035 §4.1.4), and one that goes round by another.
        4 => [
            &[0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0][..],
            &[0xc0, 12, 0, 12, 0, 1],
        ]
        .concat(),
        5 => [
            &[0, 0, 0x84, 0, 0, 0, 255, 255, 255, 255, 255, 255][..],
            &[0xc0, 14, 0xc0, 12],
        ]
        .concat(),
        _ => {
            let mut damaged = sound;
            for _ in 0..4 {
                let at = dice.index(damaged.len());
                damaged[at] ^= 1 << dice.roll(8);
            }
            damaged
        }
    }
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_noise_keeps_nobody_from_a_server() {
    let scene = Scene::new();
    let server = scene.depot.serve(&["--lan"]);
    let mut dice = Dice::new(7);
    let mut also = Dice::new(8);
    let fake = Fake::new(&server.register, LIAR, 9);
    let other = fake.clone();
    let liar = Liar::start(
        &scene.liar,
        LIAR,
        move |_| noise(&mut dice, &fake),
        move |_| (0..50).map(|_| noise(&mut also, &other)).collect(),
    );
    liar.await_said(500);
    // Noise that names another register is a server's like any other, so it is said which one is meant.
    let meant = ["--register", &server.register];
    for _ in 0..3 {
        scene.until(0, &[&["create", "consignment.json"], &meant[..]].concat());
        let list = [&["list", "--timeout", "20s"], &meant[..]].concat();
        let (listed, most) = run_measured(&mut scene.office.shippy(&list));
        listed.exits(0);
        assert!(most < MEMORY_MAX, "{most} KiB");
    }
    assert!(peak(server.pid()).unwrap() < MEMORY_MAX);
    liar.end();
    assert!(server.stop().success());
}

/// The `number`th of many servers that are not there: of registers of their own, or all of `register`.
fn one_of_many(number: usize, register: Option<&str>) -> Fake {
    let own = format!("{number:08x}-0000-7000-8000-000000000000");
    Fake {
        id: format!("fake-{number}"),
        // Of hosts that are not there either.
        ip: Ipv4Addr::new(10, 77, 200, u8::try_from(number % 250).unwrap()),
        ttl: [1, 120, i32::MAX.unsigned_abs()][number % 3],
        padding: 800,
        is_pointed_at: number.is_multiple_of(2),
        ..Fake::new(register.unwrap_or(&own), LIAR, 9)
    }
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_thousands_of_servers_that_are_not_there_hide_none_that_is() {
    const FAKES: usize = 5_000;
    let scene = Scene::new();
    let server = scene.depot.serve(&["--lan"]);
    let before = peak(server.pid()).unwrap();
    // Those who ask are told of a hundred of them.
    let liar = Liar::start(
        &scene.liar,
        LIAR,
        |number| one_of_many(number % FAKES, None).answer(0),
        |id| {
            (0..100)
                .map(|number| one_of_many(2 * number, None).answer(id))
                .collect()
        },
    );
    liar.await_said(FAKES);

    let several = scene.until(5, &["list"]);
    let told = several.stderr.matches("--register ").count();
    assert!(
        (2..=16).contains(&told) && several.stderr.len() < TEXT_MAX,
        "{several:#?}"
    );

    let chosen = ["--register", &server.register, "--timeout", "20s"];
    scene.until(0, &[&["create", "consignment.json"], &chosen[..]].concat());
    scene.until(0, &[&["list"], &chosen[..]].concat());

    let nobodys = ["list", "--register", "abc", "--timeout", "5s"];
    let (missed, most) = run_measured(&mut scene.office.shippy(&nobodys));
    let missed = missed
        .exits(3)
        .says(&["no server found", "and found of that name only", "more"]);
    assert!(missed.stderr.len() < TEXT_MAX, "{missed:#?}");
    let grown = peak(server.pid()).unwrap();
    eprintln!(
        "a server: {before} KiB before, {grown} KiB after {} messages; a client: {most} KiB",
        liar.said()
    );
    assert!(
        most < MEMORY_MAX && grown < MEMORY_MAX,
        "{most}, {grown} KiB"
    );
    liar.end();
    scene.until(0, &["list"]);
    assert!(server.stop().success());
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_servers_that_claim_a_register_do_not_get_what_is_for_it() {
    let scene = Scene::new();
    let server = scene.depot.serve(&["--lan"]);
    // It answers in the name of its own register.
    let another = scene.liar.serve(&["--lan", "--name", "elsewhere"]);
    let silent = Recorder::start(&scene.liar, LIAR);
    let ports = [9, silent.port, another.address.port()];
    let fakes = ports.map(|port| Fake {
        kind: "shared",
        ..Fake::new(&server.register, LIAR, port)
    });
    let liar = Liar::first(&scene.liar, LIAR, fakes.to_vec());
    let mut ids = String::new();
    // Which of them is asked first is chance.
    for count in 1..=64 {
        ids += &scene.until(0, &["create", "consignment.json"]).stdout;
        if count >= 8 && !silent.heard().is_empty() {
            break;
        }
    }
    assert!(!silent.heard().is_empty(), "none of them was asked");
    let listed = scene.until(0, &["list", "-o", "ndjson"]).stdout;
    assert!(ids.lines().all(|id| listed.contains(id)));
    let elsewhere = ["list", "-o", "ndjson", "--name", "elsewhere"];
    liar.end();
    assert_eq!(scene.until(0, &elsewhere).stdout, "");

    // When none but them answers, it is said of each what came of it.
    server.kill();
    let liar = Liar::first(&scene.liar, LIAR, fakes.to_vec());
    let missed = scene.until(3, &["list", "--timeout", "5s"]);
    let addresses = ports.map(|port| format!("{LIAR}:{port}"));
    missed.says(&addresses.each_ref().map(String::as_str));
    liar.end();
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_a_token_goes_to_the_server_that_proves_itself_and_to_no_other() {
    let scene = Scene::new();
    let home = scene.depot.home.path();
    let [ours, theirs] = ["ours", "theirs"].map(|name| Authority::new(home, name));
    let (secret, line) = token(home, "crane", "write");
    let tokens = file(home, "tokens", format!("{line}\n"));
    let secret_file = file(home, "secret", format!("{secret}\n"));
    let pair = ours.server(home, "shippy");
    let server = scene
        .depot
        .serve(&[&["--lan", "--tokens", &tokens], &pair.args()[..]].concat());
    // One with a certificate for the same name, of an authority that nobody here trusts.
    let pair = theirs.server(scene.liar.home.path(), "shippy");
    let impostor = scene
        .liar
        .serve(&[&["--lan", "--name", "elsewhere"], &pair.args()[..]].concat());
    let silent = Recorder::start(&scene.liar, LIAR);
    let register = server.register.clone();
    let fake = |port, tls| Fake {
        tls,
        ..Fake::new(&register, LIAR, port)
    };
    let alien = Fake::new("00000000-0000-7000-8000-000000000000", LIAR, silent.port);
    let liar = Liar::first(
        &scene.liar,
        LIAR,
        vec![
            fake(silent.port, true),
            fake(silent.port, false),
            fake(impostor.address.port(), true),
            alien,
        ],
    );
    let trusting = [
        "--tls-ca",
        &ours.file,
        "--token-file",
        &secret_file,
        "--timeout",
        "20s",
    ];
    let mut ids = String::new();
    for _ in 0..4 {
        ids += &scene
            .until(
                0,
                &[&["create", "consignment.json"], &trusting[..]].concat(),
            )
            .stdout;
    }
    let listed = scene
        .until(0, &[&["list", "-o", "ndjson"], &trusting[..]].concat())
        .stdout;
    assert!(ids.lines().all(|id| listed.contains(id)));

    // Without a way to know the server, the token stays at home.
    let naive = ["create", "consignment.json", "--token-file", &secret_file];
    for _ in 0..4 {
        let refused = scene.office.run(&naive);
        assert!(
            [Some(1), Some(3), Some(5)].contains(&refused.code),
            "{refused:#?}"
        );
    }
    let heard = silent.heard();
    assert!(!heard.is_empty(), "none of them was asked");
    let is_told = heard
        .windows(secret.len())
        .any(|bytes| bytes == secret.as_bytes());
    assert!(!is_told, "a stranger has the token");

    // Where only a stranger answers, it is said why it will not do.
    liar.end();
    server.kill();
    let liar = Liar::first(&scene.liar, LIAR, vec![fake(impostor.address.port(), true)]);
    let missed = scene.until(1, &[&["list"], &trusting[..]].concat());
    missed.says(&["its certificate does not come from the authority"]);
    liar.end();
}

/// Clears the screen, sets the title, reads backwards, and begins a line of its own.
const EVIL: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}1A\u{202e}\r\nshippy: all is well";

#[test]
#[ignore = "needs root and network namespaces"]
fn network_what_is_announced_drives_no_terminal() {
    let scene = Scene::new();
    let server = scene.depot.serve(&["--lan", "--log-level", "trace"]);
    let mut fakes = vec![
        // Evil where nobody may say anything: the instance's and the host's name.
        Fake {
            label: Some(EVIL.into()),
            ..Fake::new(&server.register, LIAR, 9)
        },
        Fake {
            label: Some(EVIL.into()),
            is_pointed_at: false,
            ..Fake::new(&server.register, LIAR, 9)
        },
    ];
    for field in ["id", "register", "version", "service", "kind", "address"] {
        let mut fake = Fake::new(&server.register, LIAR, 9);
        let _ = write!(fake.extra, "{field}={EVIL}");
        fakes.push(fake);
    }
    let said = fakes.clone();
    let liar = Liar::start(
        &scene.liar,
        LIAR,
        move |number| said[number % said.len()].answer(0),
        move |id| fakes.iter().map(|fake| fake.answer(id)).collect(),
    );
    liar.await_said(500);
    let mut told = String::new();
    for args in [
        &["list", "--log-level", "trace", "--timeout", "3s"][..],
        &[
            "list",
            "--log-level",
            "trace",
            "--timeout",
            "3s",
            "--register",
            "abc",
        ],
    ] {
        told += &scene.office.run(args).stderr;
    }
    assert!(told.contains("all is well"), "it was not heard");
    harmless(&told);
    harmless(&server.logged());
    liar.end();
}

/// Fails the test when `text` acts on a terminal, or has a line of somebody else's.
#[track_caller]
fn harmless(text: &str) {
    for line in text.lines() {
        assert!(!line.contains(acts), "{line:?}");
        assert!(!line.starts_with("shippy: all is well"), "{line:?}");
    }
}
