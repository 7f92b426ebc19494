//! etcd clusters of the tests' own (Debian's package `etcd-server`).

use std::{
    fs::File,
    process::{Child, Command, Stdio},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{eventually, folder, free_address_of, http};

/// A cluster; its members are killed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Etcd {
    members: Vec<Member>,
    folder: TempDir,
    /// Files of a certificate and its key, where clients have to speak TLS.
    tls: Option<[String; 2]>,
}

#[derive(Debug)]
struct Member {
    name: String,
    /// Where clients are answered, `HOST:PORT`.
    address: String,
    peer: String,
    child: Option<Child>,
}

impl Etcd {
    /// A cluster of `count` members, up and ready.
    pub(crate) fn start(count: usize) -> Self {
        Self::start_with(count, None)
    }

    /// One member that speaks TLS alone, with the certificate and the key in two files.
    pub(crate) fn start_with_tls(certificate: String, key: String) -> Self {
        Self::start_with(1, Some([certificate, key]))
    }

    fn start_with(count: usize, tls: Option<[String; 2]>) -> Self {
        let mut cluster = Self::stopped(count);
        cluster.tls = tls;
        cluster.up();
        cluster
    }

    /// A cluster of `count` members that others reach as well, at the address `host` of this machine.
    pub(crate) fn start_at(host: &str, count: usize) -> Self {
        let mut cluster = Self::stopped_at(host, count);
        cluster.up();
        cluster
    }

    /// The same, with no member up yet.
    pub(crate) fn stopped(count: usize) -> Self {
        Self::stopped_at("127.0.0.1", count)
    }

    fn stopped_at(host: &str, count: usize) -> Self {
        let member = |index| Member {
            name: format!("member-{index}"),
            address: free_address_of(host),
            peer: free_address_of(host),
            child: None,
        };
        Self {
            members: (0..count).map(member).collect(),
            folder: folder(),
            tls: None,
        }
    }

    /// What `--registry-address` says for all of it.
    pub(crate) fn addresses(&self) -> String {
        let all: Vec<_> = self.members.iter().map(|member| &*member.address).collect();
        all.join(",")
    }

    /// Where the member `index` answers.
    pub(crate) fn address(&self, index: usize) -> &str {
        &self.members[index].address
    }

    /// Starts the members that are not up, with what they have kept.
    pub(crate) fn up(&mut self) {
        for index in 0..self.members.len() {
            if self.members[index].child.is_none() {
                self.spawn(index);
            }
        }
        self.wait();
    }

    /// SIGKILL for the member `index`.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(mut child) = self.members[index].child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops the member `index` in mid-air, as a machine that hangs; it is killed with the others in the end.
    pub(crate) fn freeze(&self, index: usize) {
        let child = self.members[index].child.as_ref().expect("it is up");
        kill_process(Pid::from_child(child), Signal::STOP).unwrap();
    }

    /// SIGKILL for all.
    pub(crate) fn down(&mut self) {
        for index in 0..self.members.len() {
            self.kill(index);
        }
    }

    /// Removes what the members, which are down, have kept.
    pub(crate) fn lose(&mut self) {
        for member in &self.members {
            std::fs::remove_dir_all(self.folder.path().join(&member.name)).unwrap();
        }
    }

    fn spawn(&mut self, index: usize) {
        let peer = |member: &Member| format!("{}=http://{}", member.name, member.peer);
        let cluster: Vec<_> = self.members.iter().map(peer).collect();
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let member = &mut self.members[index];
        let log = self.folder.path().join(format!("{}.log", member.name));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let url = format!("{scheme}://{}", member.address);
        let peer_url = format!("http://{}", member.peer);
        let mut command = Command::new("etcd");
        command
            .env_clear()
            .args(["--name", &member.name, "--data-dir"])
            .arg(self.folder.path().join(&member.name))
            .args([
                "--listen-client-urls",
                &url,
                "--advertise-client-urls",
                &url,
            ])
            .args(["--listen-peer-urls", &peer_url])
            .args(["--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &cluster.join(",")])
            // Who logged in has to do so again soon.
            .args(["--auth-token-ttl", "1"])
            // A leader is missed sooner than in the field.
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"]);
        if let Some([certificate, key]) = &self.tls {
            command.args(["--cert-file", certificate, "--key-file", key]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        member.child = Some(child.unwrap_or_else(|error| {
            panic!("{command:?}: {error}; it comes with the package etcd-server")
        }));
    }

    /// Waits until each member that is up has a leader.
    fn wait(&self) {
        for member in self.members.iter().filter(|member| member.child.is_some()) {
            eventually("an etcd that is ready", || {
                if self.tls.is_some() {
                    return std::net::TcpStream::connect(&member.address).ok().map(drop);
                }
                let answer = http::call("GET", &member.address, "/health", "", &Value::Null);
                answer
                    .ok()
                    .filter(|(_, body)| body["health"] == "true")
                    .map(drop)
            });
        }
    }

    /// Calls the first member's JSON gateway at `path` with `body`, as `token` if it is not empty.
    pub(crate) fn call(&self, path: &str, token: &str, body: &Value) -> Value {
        let headers = match token {
            "" => String::new(),
            token => format!("Authorization: {token}\r\n"),
        };
        // Where a leader is being elected, which a busy machine may bring about, it answers later.
        let (status, answer) = eventually("an answer of etcd's", || {
            let answer = http::call("POST", self.address(0), path, &headers, body).ok();
            answer.filter(|(status, _)| *status < 500)
        });
        assert_eq!(status, 200, "{path} {body}: {answer}");
        answer
    }

    /// Puts a value.
    pub(crate) fn put(&self, key: &str, value: &str) {
        let encode = |text: &str| BASE64_STANDARD.encode(text);
        self.call(
            "/v3/kv/put",
            "",
            &json!({"key": encode(key), "value": encode(value)}),
        );
    }

    /// Deletes a key.
    pub(crate) fn delete(&self, key: &str) {
        let key = BASE64_STANDARD.encode(key);
        self.call("/v3/kv/deleterange", "", &json!({"key": key}));
    }

    /// The keys that begin with `prefix`, and their values.
    pub(crate) fn pairs(&self, prefix: &str) -> Vec<(String, String)> {
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().unwrap() += 1;
        let range = json!({
            "key": BASE64_STANDARD.encode(prefix),
            "range_end": BASE64_STANDARD.encode(end),
        });
        let answer = self.call("/v3/kv/range", "", &range);
        let decode = |value: &Value| {
            let bytes = BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let pairs = answer["kvs"].as_array().cloned().unwrap_or_default();
        pairs
            .iter()
            .map(|pair| (decode(&pair["key"]), decode(&pair["value"])))
            .collect()
    }

    /// Forgets all history before now.
    pub(crate) fn compact(&self) {
        let range = json!({"key": BASE64_STANDARD.encode("x")});
        let answer = self.call("/v3/kv/range", "", &range);
        let revision = answer["header"]["revision"].clone();
        self.call(
            "/v3/kv/compaction",
            "",
            &json!({"revision": revision, "physical": true}),
        );
    }

    /// Asks everybody who they are from now on: `root` with the password `root`, and `name` with `password`, who may
    /// read and write what begins with `prefix`, if that is not empty.
    pub(crate) fn require_users(&self, name: &str, password: &str, prefix: &str) {
        self.call(
            "/v3/auth/user/add",
            "",
            &json!({"name": "root", "password": "root"}),
        );
        self.call("/v3/auth/role/add", "", &json!({"name": "root"}));
        self.call(
            "/v3/auth/user/grant",
            "",
            &json!({"user": "root", "role": "root"}),
        );
        self.call(
            "/v3/auth/user/add",
            "",
            &json!({"name": name, "password": password}),
        );
        self.call("/v3/auth/role/add", "", &json!({"name": "servers"}));
        if !prefix.is_empty() {
            let mut end = prefix.as_bytes().to_vec();
            *end.last_mut().unwrap() += 1;
            let permission = json!({
                "permType": "READWRITE",
                "key": BASE64_STANDARD.encode(prefix),
                "range_end": BASE64_STANDARD.encode(end),
            });
            self.call(
                "/v3/auth/role/grant",
                "",
                &json!({"name": "servers", "perm": permission}),
            );
        }
        self.call(
            "/v3/auth/user/grant",
            "",
            &json!({"user": name, "role": "servers"}),
        );
        self.call("/v3/auth/enable", "", &json!({}));
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.down();
    }
}
