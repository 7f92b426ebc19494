//! What holds of the registries that are servers of their own: the built binary, and a registry that comes and goes.

use std::{path::Path, process::Command, thread, time::Instant};

use super::Ground;
use crate::support::{Ran, SOON, Server, eventually, folder, own_name, run, shippy};

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

    /// A server of the service `name` that is dropped from the registry 2 s after its last word.
    fn serve(&self, home: &Path, name: &str) -> Server {
        let mut command = self.shippy(home, &["serve", "--name", name]);
        command.args(["--register-ttl", "2", "--register-interval", "500ms"]);
        let store = format!("sqlite:{}", home.join("register.db").display());
        command.args(["--store", &store]);
        Server::spawn(command, home)
    }

    /// `shippy list` of the service `name`.
    fn list(&self, home: &Path, name: &str) -> Ran {
        run(&mut self.shippy(home, &["list", "--name", name, "--timeout", "1s"]))
    }
}

pub(super) fn a_server_is_served_through_it_and_leaves_it<S: Service>() {
    let (service, home, name) = (S::start(), folder(), own_name());
    let server = service.serve(home.path(), &name);
    let create = ["create", "consignment.json", "--name", &name];
    run(&mut service.shippy(home.path(), &create)).exits(0);
    let listed = service.list(home.path(), &name).exits(0);
    assert!(listed.stdout.contains("vessel001"), "{listed:#?}");
    assert!(!server.logged().contains("WARN"), "{}", server.logged());
    assert!(server.stop().success());
    let (kind, address) = service.place();
    let begun = Instant::now();
    service.list(home.path(), &name).exits(3).says(&[
        "no server found: asked",
        kind,
        &address,
        "--server",
    ]);
    assert!(begun.elapsed() < SOON);
}

/// How long a registry may take to forget a server that it is told to keep for 2 s: it looks only now and then.
pub(super) const FORGOTTEN: std::time::Duration = std::time::Duration::from_secs(5);

pub(super) fn a_killed_server_is_forgotten_in_time<S: Service>() {
    let (service, home, name) = (S::start(), folder(), own_name());
    let server = service.serve(home.path(), &name);
    service.list(home.path(), &name).exits(0);
    server.kill();
    let killed = Instant::now();
    let said = service.list(home.path(), &name).exits(3);
    said.says(&["no server answered"]);
    eventually("the server is forgotten", || {
        let ran = service.list(home.path(), &name).exits(3);
        ran.stderr.contains("no server found").then_some(())
    });
    // A list that finds nothing has waited for a second.
    assert!(killed.elapsed() < FORGOTTEN, "{:?}", killed.elapsed());
    // Another one takes its place, while the first may still be known.
    let _server = service.serve(home.path(), &name);
    service.list(home.path(), &name).exits(0);
}

pub(super) fn a_server_comes_back_after_the_registry_was_away<S: Service>() {
    comes_back::<S>(|_| {});
}

pub(super) fn a_server_comes_back_after_the_registry_lost_everything<S: Service>() {
    comes_back::<S>(S::lose);
}

fn comes_back<S: Service>(meanwhile: impl FnOnce(&mut S)) {
    let (mut service, home, name) = (S::start(), folder(), own_name());
    let server = service.serve(home.path(), &name);
    service.list(home.path(), &name).exits(0);
    service.down();
    eventually("a warning", || {
        server
            .logged()
            .contains("the announcement lapses")
            .then_some(())
    });
    // Some more attempts fail, of which nothing more is said.
    thread::sleep(std::time::Duration::from_secs(1));
    service
        .list(home.path(), &name)
        .exits(3)
        .says(&["no server found: could not reach", "--server"]);
    run(&mut server.ask(home.path(), &["list"])).exits(0);
    meanwhile(&mut service);
    service.up();
    eventually("the server is found again", || {
        let ran = service.list(home.path(), &name);
        (ran.code == Some(0)).then_some(())
    });
    eventually("word that it is back", || {
        server.logged().contains("announced in").then_some(())
    });
    let log = server.logged();
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert_eq!(log.matches("announced in").count(), 1, "{log}");
    assert!(server.stop().success());
    service.list(home.path(), &name).exits(3);
}

pub(super) fn a_registry_that_is_away_at_the_start_is_waited_for<S: Service>() {
    let (mut service, home, name) = (S::not_yet(), folder(), own_name());
    let server = service.serve(home.path(), &name);
    let log = server.logged();
    let (_, address) = service.place();
    for text in ["not announced", "--server", "tried again", &address] {
        assert!(log.contains(text), "no {text:?} in {log}");
    }
    run(&mut server.ask(home.path(), &["list"])).exits(0);
    service.up();
    eventually("the server is found", || {
        let ran = service.list(home.path(), &name);
        (ran.code == Some(0)).then_some(())
    });
    eventually("word of it", || {
        server.logged().contains("announced in").then_some(())
    });
    assert_eq!(server.logged().matches("WARN").count(), 1);
}
