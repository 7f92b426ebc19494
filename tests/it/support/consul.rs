//! Consul agents of the tests' own: one that is its own server.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{eventually, folder, free_address, http};

/// The token that may do everything, where there are ACLs.
pub(crate) const MASTER: &str = "6d0ca0b5-5a3c-4f0b-9a5e-2a9d4c1f7e00";

/// An agent; it is killed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Consul {
    folder: TempDir,
    config: Value,
    /// Where it answers HTTP, `HOST:PORT`.
    pub(crate) address: String,
    child: Option<Child>,
}

impl Consul {
    /// One that is up and ready.
    pub(crate) fn start() -> Self {
        Self::start_with(&Value::Null)
    }

    /// The same, with more in its configuration.
    pub(crate) fn start_with(more: &Value) -> Self {
        let mut consul = Self::stopped(more);
        consul.up();
        consul
    }

    /// One that is not up yet.
    pub(crate) fn stopped(more: &Value) -> Self {
        let folder = folder();
        let address = free_address();
        let port = |address: &str| -> u16 { address.rsplit(':').next().unwrap().parse().unwrap() };
        let mut config = json!({
            "node_name": "test",
            "server": true,
            "bootstrap": true,
            "data_dir": folder.path().join("data"),
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "disable_update_check": true,
            // A leader is there sooner than in the field.
            "performance": {"raft_multiplier": 1},
            "ports": {
                "http": port(&address), "https": -1, "dns": -1, "grpc": -1, "serf_wan": -1,
                "serf_lan": port(&free_address()), "server": port(&free_address()),
            },
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            match (&mut config[key], value) {
                (Value::Object(known), Value::Object(more)) => known.extend(more.clone()),
                (known, value) => *known = value.clone(),
            }
        }
        Self {
            folder,
            config,
            address,
            child: None,
        }
    }

    /// Starts it, with what it has kept, and waits until it knows that it leads.
    pub(crate) fn up(&mut self) {
        let file = self.folder.path().join("config.json");
        std::fs::write(&file, self.config.to_string()).unwrap();
        let log = self.folder.path().join("consul.log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new("consul");
        command.args(["agent", "-config-file"]).arg(file);
        command
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(log);
        let child = command.spawn();
        self.child = Some(child.unwrap_or_else(|error| {
            panic!("{command:?}: {error}; it is one executable, to be put in the PATH")
        }));
        eventually("a Consul that is ready", || {
            let path = "/v1/health/node/test";
            let token = format!("X-Consul-Token: {MASTER}\r\n");
            let answer = http::call("GET", &self.address, path, &token, &Value::Null).ok();
            answer
                .filter(|(status, checks)| *status == 200 && checks[0].is_object())
                .map(drop)
        });
    }

    /// SIGKILL.
    pub(crate) fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Removes what it has kept; it is down.
    pub(crate) fn lose(&mut self) {
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
    }

    /// Calls its HTTP API as whom may do everything.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let token = format!("X-Consul-Token: {MASTER}\r\n");
        // Where there is no leader for the moment, or its ACLs are not ready yet, it answers later.
        let (status, answer) = eventually("an answer of Consul's", || {
            let answer = http::call(method, &self.address, path, &token, body).ok();
            answer.filter(|(status, _)| *status < 500)
        });
        assert_eq!(status, 200, "{method} {path} {body}: {answer}");
        answer
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        self.down();
    }
}
