//! Runs that signals and lost servers end: they say how far they came, and the command that goes on.

use rustix::process::Signal;

use super::{
    MORE_THAN_FITS, Stalled, all, batch_of, command_said, has_each_once, in_shell, started_at,
    told, weighed,
};
use crate::{
    cli::{file, stored},
    running::Running,
    support::{Server, folder, free_address, run, run_until},
};

#[test]
fn an_interrupt_says_how_far_it_came_and_the_command_it_says_stores_the_rest() {
    let home = folder();
    // The shell needs quotes for that one.
    let path = file(home.path(), "it's mine.ndjson", weighed(MORE_THAN_FITS));
    for signal in [Signal::INT, Signal::TERM] {
        let register = home.path().join(format!("{signal:?}"));
        std::fs::create_dir(&register).unwrap();
        let server = Server::start(&register);
        let stalled = Stalled::start(&mut server.ask(home.path(), &["create", &path]));
        stalled.running.signal(signal);
        let (ran, printed) = stalled.read_on();
        let ran = ran.exits(130).says(&["interrupted"]);
        let (told, total) = told(&ran);
        assert_eq!(total, MORE_THAN_FITS);
        assert!(printed.len() <= told && told < total, "{told} told");
        assert!(told <= stored(&server, home.path()).len());
        let command = command_said(&ran);
        let batch = batch_of(&printed[0]);
        assert!(command.contains(&format!("--resume {batch} ")), "{command}");
        assert!(ran.stderr.contains(&format!("batch {batch}")), "{ran:#?}");
        run(&mut in_shell(home.path(), &command))
            .exits(0)
            .says(&["going on after"]);
        has_each_once(&server, home.path(), MORE_THAN_FITS);
    }
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    let home = folder();
    let server = Server::start(home.path());
    let path = file(home.path(), "in.ndjson", weighed(MORE_THAN_FITS));
    let stalled = Stalled::start(&mut server.ask(home.path(), &["create", &path]));
    stalled.running.signal(Signal::INT);
    stalled.running.signal(Signal::INT);
    // Nobody reads what it prints, so it cannot end in order.
    let Stalled { running, rest, .. } = stalled;
    let ran = running.end().exits(130);
    ran.says(&["interrupted"]);
    drop(rest);
}

#[test]
fn where_all_records_have_ids_the_plain_command_goes_on() {
    let home = folder();
    let server = Server::start(home.path());
    let lines = (1..=MORE_THAN_FITS).map(|number| format!("{{\"id\":\"tea-{number}\"}}\n"));
    let path = file(home.path(), "in.ndjson", lines.collect::<String>());
    let stalled = Stalled::start(&mut server.ask(home.path(), &["create", &path]));
    stalled.running.signal(Signal::INT);
    let (ran, _) = stalled.read_on();
    let ran = ran.exits(130).says(&["is not stored twice"]);
    let command = command_said(&ran);
    assert!(!command.contains("--resume"), "{command}");
    run(&mut in_shell(home.path(), &command)).exits(0);
    assert_eq!(stored(&server, home.path()).len(), MORE_THAN_FITS);
}

#[test]
fn a_killed_server_that_comes_back_later_gets_the_rest_once() {
    let home = folder();
    let address = free_address();
    let server = started_at(home.path(), &address);
    let path = file(home.path(), "in.ndjson", weighed(MORE_THAN_FITS));
    let mut command = server.ask(home.path(), &["create", &path, "--timeout", "1s"]);
    let stalled = Stalled::start(&mut command);
    server.kill();
    let (ran, printed) = stalled.read_on();
    let ran = ran.exits(3).says(&["no server answered", &address]);
    assert_eq!(told(&ran), (printed.len(), MORE_THAN_FITS));
    let command = command_said(&ran);
    assert!(command.contains("--timeout 1s"), "{command}");
    let server = started_at(home.path(), &address);
    assert!(stored(&server, home.path()).starts_with(&printed));
    // As often as it takes, where the machine stands still for a second.
    run_until(|| in_shell(home.path(), &command), 0, &[]);
    has_each_once(&server, home.path(), MORE_THAN_FITS);
}

#[test]
fn a_killed_server_that_comes_back_in_time_is_gone_on_with() {
    let home = folder();
    let address = free_address();
    let server = started_at(home.path(), &address);
    let path = file(home.path(), "in.ndjson", weighed(MORE_THAN_FITS));
    let mut command = server.ask(home.path(), &["create", &path, "--timeout", "20s"]);
    let stalled = Stalled::start(&mut command);
    server.kill();
    let server = started_at(home.path(), &address);
    let (ran, printed) = stalled.read_on();
    ran.exits(0);
    assert_eq!(printed.len(), MORE_THAN_FITS);
    has_each_once(&server, home.path(), MORE_THAN_FITS);
}

#[test]
fn a_command_from_standard_input_asks_for_the_same_input() {
    use std::io::Write as _;

    let home = folder();
    let address = free_address();
    let server = started_at(home.path(), &address);
    server.kill();
    let mut command = super::shippy(home.path());
    command.args(["create", "-", "--server", &address, "--timeout", "300ms"]);
    let mut running = Running::start(&mut command);
    let mut stdin = running.child.stdin.take().unwrap();
    stdin.write_all(b"{\"weight\":1}").unwrap();
    drop(stdin);
    let ran = running.end().exits(3);
    let ran = ran.says(&["the same has to come on standard input again"]);
    let server = started_at(home.path(), &address);
    let line = format!("echo '{{\"weight\":1}}' | {}", command_said(&ran));
    run_until(|| in_shell(home.path(), &line), 0, &[]);
    assert_eq!(all(&server, home.path()).len(), 1);
}
