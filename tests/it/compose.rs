//! `deploy/compose.yaml`: three servers on PostgreSQL, found through etcd.
//!
//! It needs a Docker engine, Compose, and the images that the file names: `SHIPPY_TEST_IMAGE` is shippy's, `COMPOSE`
//! names another command than `docker-compose`.

use std::{
    env,
    process::{Command, Stdio},
};

use uuid::Uuid;

use crate::support::{Ran, eventually, run};

/// The project, with everything that belongs to it; all of that goes when this goes out of scope.
struct Project {
    name: String,
}

impl Project {
    fn up() -> Self {
        let project = Self {
            name: format!("shippy-test-{}", Uuid::now_v7()),
        };
        project.compose(&["up", "--detach"]).exits(0);
        project
    }

    fn command(&self, args: &[&str]) -> Command {
        let compose = env::var_os("COMPOSE").unwrap_or_else(|| "docker-compose".into());
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/compose.yaml");
        let image = env::var("SHIPPY_TEST_IMAGE").unwrap_or_else(|_| "shippy".into());
        let mut command = Command::new(compose);
        command
            .args(["--file", file, "--project-name", &self.name])
            .args(args)
            .env("POSTGRES_PASSWORD", "a secret: of / this @ test")
            .env("SHIPPY_IMAGE", image)
            .stdin(Stdio::null());
        command
    }

    fn compose(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }

    /// Runs `shippy` with `args` beside the servers.
    fn shippy(&self, args: &[&str]) -> Ran {
        let args = [
            &["run", "--rm", "-T", "client"],
            args,
            &["--timeout", "30s"],
        ];
        self.compose(&args.concat())
    }

    /// How many consignments are listed.
    #[track_caller]
    fn count(&self) -> usize {
        let listed = self.shippy(&["list", "-o", "ndjson"]).exits(0);
        listed.stdout.lines().count()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let down = ["down", "--volumes", "--timeout", "2"];
        let _gone = self.command(&down).output();
    }
}

#[test]
#[ignore = "needs Docker, Compose and the images of deploy/compose.yaml"]
fn compose_serves_one_register_from_three_servers_any_of_which_may_die() {
    let project = Project::up();
    // The database makes its cluster first, and the servers wait for it. A create that found no answer may be stored.
    eventually("a server", || {
        let listed = project.shippy(&["list"]);
        (listed.code == Some(0)).then_some(())
    });
    project.shippy(&["create", "consignment.json"]).exits(0);
    for (killed, count) in [("server-1", 2), ("etcd-2", 3), ("server-2", 4)] {
        project.compose(&["kill", killed]).exits(0);
        project.shippy(&["create", "consignment.json"]).exits(0);
        assert_eq!(project.count(), count, "without {killed}");
    }
    let logs = project.compose(&["logs", "server-3"]).exits(0);
    assert!(!logs.stdout.contains("a secret"), "{logs:#?}");
}

#[test]
#[ignore = "needs Compose"]
fn compose_has_no_password_of_its_own() {
    let name = format!("shippy-test-{}", Uuid::now_v7());
    let mut config = Project { name }.command(&["config"]);
    let refused = run(config.env_remove("POSTGRES_PASSWORD"));
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    refused.says(&["POSTGRES_PASSWORD", "set a password"]);
}
