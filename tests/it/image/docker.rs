//! Containers, networks and volumes that go with their test.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::support::{Ran, eventually, run};

/// The image under test: `SHIPPY_TEST_IMAGE`, or what the Dockerfile makes of this tree. It stays afterwards, as the
/// next build's cache.
static IMAGE: LazyLock<String> = LazyLock::new(|| {
    env::var("SHIPPY_TEST_IMAGE").unwrap_or_else(|_| {
        let image = "shippy-test";
        run(docker(&["build", "-t", image]).arg(env!("CARGO_MANIFEST_DIR"))).exits(0);
        image.into()
    })
});

/// The name of the image under test.
pub(crate) fn image() -> &'static str {
    &IMAGE
}

/// `docker` with `args`; the environment's `DOCKER` names another client.
pub(crate) fn docker(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("DOCKER").unwrap_or_else(|| "docker".into()));
    command.args(args).stdin(Stdio::null());
    command
}

/// What `docker` with `args` prints, without the line's end.
#[track_caller]
pub(super) fn ask(args: &[&str]) -> String {
    run(&mut docker(args)).exits(0).stdout.trim().to_owned()
}

/// Runs `shippy` in the foreground in a container of its own: `docker run OPTIONS IMAGE ARGS`.
pub(super) fn shippy(options: &[&str], args: &[&str]) -> Ran {
    run(docker(&["run", "--rm"])
        .args(options)
        .arg(&*IMAGE)
        .args(args))
}

/// A name that nothing else in the engine has.
fn own_name() -> String {
    format!("shippy-test-{}", Uuid::now_v7())
}

/// Takes a thing away whatever has become of it.
fn discard(args: &[&str]) {
    let _gone = docker(args).output();
}

/// A running server: `docker run OPTIONS IMAGE ARGS`. It is removed when it goes out of scope, its own volumes too.
#[derive(Debug)]
pub(super) struct Container {
    name: String,
}

impl Container {
    /// Starts one and waits until it says that it is ready.
    #[track_caller]
    pub(super) fn serve(options: &[&str], args: &[&str]) -> Self {
        let container = Self { name: own_name() };
        run(docker(&["run", "--detach", "--name", &container.name])
            .args(options)
            .arg(&*IMAGE)
            .args(args))
        .exits(0);
        eventually("the server's ready line", || {
            let logs = run(&mut docker(&["logs", &container.name])).exits(0);
            assert_eq!(container.inspect("{{.State.Running}}"), "true", "{logs:#?}");
            logs.stdout.contains("shippy serves").then_some(())
        });
        container
    }

    /// What `docker inspect` says of it in the form `format`.
    #[track_caller]
    pub(super) fn inspect(&self, format: &str) -> String {
        ask(&["inspect", "--format", format, &self.name])
    }

    /// Runs `args` inside, as `docker exec`.
    pub(super) fn exec(&self, args: &[&str]) -> Ran {
        run(docker(&["exec", &self.name]).args(args))
    }

    /// The part of its ready line that names the register.
    #[track_caller]
    pub(super) fn register(&self) -> String {
        let line = ask(&["logs", &self.name]);
        let (_, register) = line.split_once("register ").expect("a ready line");
        let end = register.find(|char: char| char == ',' || char.is_whitespace());
        register[..end.unwrap_or(register.len())].to_owned()
    }

    /// Waits until the health check says `status`.
    #[track_caller]
    pub(super) fn becomes(&self, status: &str) {
        eventually("the health check's word", || {
            (self.inspect("{{.State.Health.Status}}") == status).then_some(())
        });
    }

    /// `docker stop`; the exit code and how long it took.
    #[track_caller]
    pub(super) fn stop(&self) -> (String, Duration) {
        let begun = Instant::now();
        ask(&["stop", &self.name]);
        (self.inspect("{{.State.ExitCode}}"), begun.elapsed())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        discard(&["rm", "--force", "--volumes", &self.name]);
    }
}

/// A bridge network of our own, removed when it goes out of scope; what is on it must be gone by then.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) name: String,
}

impl Network {
    #[track_caller]
    pub(super) fn new() -> Self {
        let name = own_name();
        ask(&["network", "create", &name]);
        Self { name }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        discard(&["network", "rm", &self.name]);
    }
}

/// A volume, removed when it goes out of scope; the containers that have it must be gone by then.
#[derive(Debug)]
pub(super) struct Volume {
    name: String,
}

impl Volume {
    #[track_caller]
    pub(super) fn new() -> Self {
        let name = own_name();
        ask(&["volume", "create", &name]);
        Self { name }
    }

    /// It at `folder`, as the argument of `--volume`.
    pub(super) fn at(&self, folder: &Path) -> String {
        format!("{}:{}", self.name, folder.display())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        discard(&["volume", "rm", &self.name]);
    }
}
