//! Those who have no token, and do all that they can.

use std::io::Write as _;

use super::{
    ATTACK,
    attacker::{Attack, Attacker, connect},
    floods::{RAPID_RESET, STREAM_OPEN},
    honest::Honest,
    is_normal,
};
use crate::{
    cli::file,
    support::{
        Server, eventually, folder,
        http2::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame, request},
        run, shippy,
    },
};

/// Everybody may watch the server's health, and so keep a request under way.
fn watch(stream: u32) -> Vec<u8> {
    let headers = frame(
        HEADERS,
        END_HEADERS,
        stream,
        &request("/grpc.health.v1.Health/Watch"),
    );
    [headers, frame(DATA, END_STREAM, stream, &[0; 5])].concat()
}

/// A connection that takes nothing of what it asks for.
pub(super) fn without_window() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat()
}

pub(super) fn check(stream: u32) -> Vec<u8> {
    let path = "/grpc.health.v1.Health/Check";
    let headers = frame(HEADERS, END_HEADERS, stream, &request(path));
    [headers, frame(DATA, END_STREAM, stream, &[0; 5])].concat()
}

/// And ask for it, without taking the answer.
const CHECKS: Attack = Attack {
    name: "health checks whose answers are not taken",
    first: without_window,
    each: check,
    rate: 2_000,
    connections: 8,
    renewed_after: 250,
};

#[test]
fn strangers_read_nothing_and_stop_nobody() {
    let home = folder();
    let ran = run(shippy(home.path()).args(["token", "crane", "--scope", "write"])).exits(0);
    let (token, line) = ran.stdout.split_once('\n').unwrap();
    let tokens = file(home.path(), "tokens", line);
    let token_file = file(home.path(), "token", token);
    let server = Server::start_with(home.path(), |command| {
        command.args(["--tokens", &tokens, "--max-connections", "60"]);
    });
    let honest = Honest::start(&server, Some(token));
    // More than there are places, each busy.
    let busy: Vec<_> = (0..100)
        .map(|number| {
            let mut stream = connect(server.address, number).unwrap();
            let said = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &watch(1)].concat();
            let _ = stream.write_all(&said);
            stream
        })
        .collect();
    // The honest are let in beside them, new ones too.
    let late = Honest::start(&server, Some(token));
    for attack in [RAPID_RESET, STREAM_OPEN, CHECKS] {
        let attacker = Attacker::start(server.address, attack);
        let begun = std::time::Instant::now();
        eventually(attack.name, || {
            (attacker.times() > 0 && begun.elapsed() >= ATTACK).then_some(())
        });
        for command in ["list", "create"] {
            let mut args = vec![command, "--timeout", "60s"];
            args.extend((command == "create").then_some("consignment.json"));
            let ran = run(&mut server.ask(home.path(), &args)).exits(4);
            assert_eq!(ran.stdout, "", "{ran:#?}");
        }
        honest.gets_on();
        late.gets_on();
        println!("{}: {:?}", attack.name, attacker.stop());
    }
    for fared in [honest.stop(), late.stop()] {
        println!("{fared:?}");
        assert!(fared.again * 2 < fared.created, "{fared:?}");
    }
    drop(busy);
    is_normal(&server, home.path(), &["--token-file", &token_file]);
}
