//! What holds of the registries that are servers of their own: the built binary, and a registry that comes and goes.

use std::{path::Path, process::Command, thread, time::Instant};

use super::Ground;
use crate::support::{
    Ran, Server, answer::get, eventually, folder, own_name, run, run_until, shippy,
};

/// A registry that a test starts and stops.
pub(super) trait Service: Ground {
    /// One that is not up yet.
    fn not_yet() -> Self;
    /// Starts it, with what it has kept.
    fn up(&mut self);
    /// Kills it.
    fn down(&mut self);
    /// Takes away what it has kept; it is down.
    fn lose(&mut self);
    /// Its word for `--registry`, and its address.
    fn place(&self) -> (&'static str, String);

    /// `shippy` with `args` and this registry.
    fn shippy(&self, home: &Path, args: &[&str]) -> Command {
        let (kind, address) = self.place();
        let mut command = shippy(home);
        command.args(args);
        command.args(["--registry", kind, "--registry-address", &address]);
        command
    }

    /// A server of the service `name` that is dropped from the registry so many seconds after its last word.
    fn serve(&self, home: &Path, name: &str, ttl: &str) -> Server {
        let mut command = self.shippy(home, &["serve", "--name", name]);
        command.args(["--register-ttl", ttl, "--register-interval", "500ms"]);
        let store = format!("sqlite:{}", home.join("register.db").display());
        command.args(["--store", &store]);
        Server::spawn(command, home)
    }

    /// `shippy list` of the service `name`, which is given up soon.
    fn list(&self, home: &Path, name: &str) -> Command {
        self.shippy(home, &["list", "--name", name, "--timeout", "1s"])
    }

    /// Fails the test unless that finds a server.
    #[track_caller]
    fn lists(&self, home: &Path, name: &str) -> Ran {
        run_until(|| self.list(home, name), 0, &[])
    }
}

/// What a server is told to be kept for, so that it is forgotten in a test: far more than a machine stands still for.
const SHORT_TTL: &str = "6";
/// Longer than a test.
const LONG_TTL: &str = "600";
/// How long a registry may take to forget what it is told to keep for the short time: it looks only now and then. What
/// it is told nothing of is kept for twice as long.
const FORGOTTEN: std::time::Duration = std::time::Duration::from_secs(30);

pub(super) fn a_server_is_served_through_it_and_leaves_it<S: Service>() {
    let (service, home, name) = (S::start(), folder(), own_name());
    let start = || service.serve(home.path(), &name, LONG_TTL);
    let server = Server::without_warnings(start);
    let create = ["create", "consignment.json", "--name", &name];
    let create = [&create[..], &["--timeout", "20s"]].concat();
    run(&mut service.shippy(home.path(), &create)).exits(0);
    let listed = service.lists(home.path(), &name);
    assert!(listed.stdout.contains("vessel001"), "{listed:#?}");
    assert!(server.stop().success());
    let (kind, address) = service.place();
    let said = ["no server found: asked", kind, &address, "--server"];
    run_until(|| service.list(home.path(), &name), 3, &said);
}

pub(super) fn a_server_measures_whether_it_is_announced<S: Service>() {
    let (mut service, home, name) = (S::not_yet(), folder(), own_name());
    let server = service.serve(home.path(), &name, LONG_TTL);
    let becomes = |value: &str| {
        let line = format!("\nshippy_announced {value}.0\n");
        eventually(&line, || {
            let metrics = get(server.address, "/metrics", &[]).is(200).body;
            metrics.contains(&line).then_some(())
        });
    };
    becomes("0");
    for _ in 0..2 {
        service.up();
        becomes("1");
        service.down();
        becomes("0");
    }
}

pub(super) fn a_killed_server_is_forgotten_in_time<S: Service>() {
    let (service, home, name) = (S::start(), folder(), own_name());
    let server = service.serve(home.path(), &name, SHORT_TTL);
    service.lists(home.path(), &name);
    server.kill();
    let killed = Instant::now();
    let list = || run(&mut service.list(home.path(), &name)).exits(3);
    list().says(&["no server answered"]);
    eventually("the server is forgotten", || {
        list().stderr.contains("no server found").then_some(())
    });
    assert!(killed.elapsed() < FORGOTTEN, "{:?}", killed.elapsed());
    // Another one takes its place, while the first may still be known.
    let _server = service.serve(home.path(), &name, SHORT_TTL);
    service.lists(home.path(), &name);
}

pub(super) fn a_server_comes_back_after_the_registry_was_away<S: Service>() {
    comes_back::<S>(|_| {});
}

pub(super) fn a_server_comes_back_after_the_registry_lost_everything<S: Service>() {
    comes_back::<S>(S::lose);
}

fn comes_back<S: Service>(meanwhile: impl FnOnce(&mut S)) {
    let (mut service, home, name) = (S::start(), folder(), own_name());
    let server = service.serve(home.path(), &name, SHORT_TTL);
    service.lists(home.path(), &name);
    service.down();
    eventually("a warning", || {
        server
            .logged()
            .contains("the announcement lapses")
            .then_some(())
    });
    // Some more attempts fail, of which nothing more is said.
    thread::sleep(std::time::Duration::from_secs(1));
    let said = ["no server found: could not reach", "--server"];
    run_until(|| service.list(home.path(), &name), 3, &said);
    run(&mut server.ask(home.path(), &["list"])).exits(0);
    meanwhile(&mut service);
    service.up();
    eventually("the server is found again", || {
        let ran = run(&mut service.list(home.path(), &name));
        (ran.code == Some(0)).then_some(())
    });
    says_each_once(&server);
    assert!(server.stop().success());
    run_until(|| service.list(home.path(), &name), 3, &[]);
}

pub(super) fn a_registry_that_is_away_at_the_start_is_waited_for<S: Service>() {
    let (mut service, home, name) = (S::not_yet(), folder(), own_name());
    let server = service.serve(home.path(), &name, SHORT_TTL);
    let log = server.logged();
    let (_, address) = service.place();
    for text in ["not announced", "--server", "tried again", &address] {
        assert!(log.contains(text), "no {text:?} in {log}");
    }
    run(&mut server.ask(home.path(), &["list"])).exits(0);
    service.up();
    eventually("the server is found", || {
        let ran = run(&mut service.list(home.path(), &name));
        (ran.code == Some(0)).then_some(())
    });
    says_each_once(&server);
}

/// Waits until the server has said of each time without the registry that it began and that it ended, and no more.
#[track_caller]
fn says_each_once(server: &Server) {
    eventually("word that it is back", || {
        let log = server.logged();
        let back = log.matches("announced in").count();
        (back > 0 && log.matches("WARN").count() == back).then_some(())
    });
}
