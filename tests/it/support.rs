//! What the tests share: the built binary, and servers that end with their test.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use shippy::proto::shipping_service_client::ShippingServiceClient;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use self::postgres::Cluster;

pub(crate) mod answer;
pub(crate) mod browser;
pub(crate) mod chaos;
pub(crate) mod collector;
pub(crate) mod consul;
pub(crate) mod dns;
pub(crate) mod etcd;
pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod memory;
pub(crate) mod namespace;
pub(crate) mod postgres;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) mod preload;

/// How long a thing that takes milliseconds may take on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The executable under test: cargo's own, or the one that `SHIPPY_TEST_BINARY` names, as the one of an image.
pub(crate) fn executable() -> PathBuf {
    let named = std::env::var_os("SHIPPY_TEST_BINARY");
    named.map_or_else(|| env!("CARGO_BIN_EXE_shippy").into(), PathBuf::from)
}

/// `shippy` with nothing configured: no setting of the machine reaches it, and `home` is where it keeps its things.
pub(crate) fn shippy(home: &Path) -> Command {
    let mut command = Command::new(executable());
    unconfigured(&mut command, home);
    command
}

/// Takes away what the machine's environment would say to shippy.
pub(crate) fn unconfigured(command: &mut Command, home: &Path) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let prefixes = ["CONSUL_", "MICRO_", "OTEL_", "SHIPPY_", "XDG_"];
        if text == "STATE_DIRECTORY" || prefixes.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.env("HOME", home).stdin(Stdio::null());
}

/// Runs `command` to its end and returns what it said, as text.
pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Ran::new(format!("{command:?}"), output)
}

/// The same again and again until it ends with `code` and its standard error contains each of `texts`: what does not
/// answer a command in its time on a busy machine has it say something else.
#[track_caller]
pub(crate) fn run_until(mut command: impl FnMut() -> Command, code: i32, texts: &[&str]) -> Ran {
    for _ in 0..9 {
        let ran = run(&mut command());
        if ran.code == Some(code) && texts.iter().all(|text| ran.stderr.contains(text)) {
            return ran;
        }
    }
    run(&mut command()).exits(code).says(texts)
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) command: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn new(command: String, output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("shippy prints UTF-8");
        Self {
            command,
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Fails the test unless the exit code is `code`.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}: {self:#?}", self.command);
        self
    }

    /// Fails the test unless standard error contains each of `texts`.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "no {text:?} in {self:#?}");
        }
        self
    }
}

/// Asks again and again until `ask` has an answer, and fails the test when that takes too long.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    eventually_after(what, || (), ask)
}

/// The same for what takes as long as there is to do: it fails the test when `progress` stands still for too long.
#[track_caller]
pub(crate) fn eventually_after<P: PartialEq, T>(
    what: &str,
    mut progress: impl FnMut() -> P,
    mut ask: impl FnMut() -> Option<T>,
) -> T {
    let mut reached = progress();
    let mut deadline = Instant::now() + SOON;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        let now = progress();
        if now != reached {
            reached = now;
            deadline = Instant::now() + SOON;
        }
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What `work` returns once it takes less than `limit`. A busy machine stands still at times, but not each of several
/// times; what always takes longer fails the test.
#[track_caller]
pub(crate) fn within<T>(limit: Duration, mut work: impl FnMut() -> T) -> T {
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let result = work();
        times.push(begun.elapsed());
        if times.last().is_some_and(|took| *took < limit) {
            return result;
        }
    }
    panic!("never within {limit:?}: {times:?}")
}

/// A running `shippy serve`. It is killed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its register's id.
    pub(crate) register: String,
    /// The whole of the line that it printed when it was ready.
    pub(crate) ready: String,
    /// Where its standard error goes.
    pub(crate) log: PathBuf,
    /// What its register is in, where that is a database, which is held.
    database: Option<Arc<Cluster>>,
}

impl Server {
    /// A server whose register is `folder`/register.db, on a free port of loopback, with a name of its own; with
    /// `SHIPPY_TEST_STORE=postgres` the folder's own register in a database.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, |_| {})
    }

    /// The same, with the command changed by `change` before it is run.
    pub(crate) fn start_with(folder: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let cluster = std::env::var_os("SHIPPY_TEST_STORE").map(|store| {
            assert_eq!(store, "postgres", "the only one that can be chosen");
            Cluster::shared()
        });
        let (url, name) = match &cluster {
            // A register of that name is there again when a server of the same folder is.
            Some(cluster) => {
                let name = folder.file_name().unwrap().to_str().unwrap();
                (cluster.url("postgres"), format!("test{name}"))
            }
            None => (
                format!("sqlite:{}", folder.join("register.db").display()),
                own_name(),
            ),
        };
        let mut command = shippy(folder);
        command.args(["serve", "--store", &url, "--name", &name]);
        change(&mut command);
        let mut server = Self::spawn(command, folder);
        server.database = cluster;
        server
    }

    /// Runs `command`, which is a `shippy serve` in whatever wrapping, and waits until it is ready. Its standard error
    /// is kept in `folder`.
    pub(crate) fn spawn(command: Command, folder: &Path) -> Self {
        let started = Self::try_spawn(command, folder);
        started.unwrap_or_else(|ended| panic!("it did not become ready: {ended:#?}"))
    }

    /// The same of one that may end instead; how it ended.
    pub(crate) fn try_spawn(mut command: Command, folder: &Path) -> Result<Self, Ran> {
        let log = folder.join("serve.log");
        let log_file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        command.stdout(Stdio::piped()).stderr(log_file);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let Some(ready) = ready_line(&mut child) else {
            let ended = eventually("ready or ended", || child.try_wait().unwrap());
            return Err(Ran {
                command: format!("{command:?}"),
                code: ended.code(),
                stdout: String::new(),
                stderr: std::fs::read_to_string(&log).unwrap_or_default(),
            });
        };
        let after = |mark| {
            let (_, rest) = ready
                .split_once(mark)
                .unwrap_or_else(|| panic!("no {mark:?} in {ready:?}"));
            rest.split([',', ';'])
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        Ok(Self {
            child,
            address: after(" on ").parse().unwrap(),
            register: after("register "),
            ready,
            log,
            database: None,
        })
    }

    /// Starts servers until one has logged, once it is ready, what is wanted: whom they announce themselves to does not
    /// answer in time where a machine stands still for seconds.
    #[track_caller]
    pub(crate) fn that_logs(
        mut start: impl FnMut() -> Self,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Self {
        let mut log = String::new();
        for _ in 0..5 {
            let server = start();
            log = server.logged();
            if is_wanted(&log) {
                return server;
            }
            // The next one appends.
            std::fs::remove_file(&server.log).unwrap();
        }
        panic!("none logged what is wanted: {log}");
    }

    /// Starts servers until one had nothing to warn of.
    #[track_caller]
    pub(crate) fn without_warnings(start: impl FnMut() -> Self) -> Self {
        Self::that_logs(start, |log| !log.contains("WARN"))
    }

    /// The database that its register is in, if it is in one: it goes with the last who holds it.
    pub(crate) fn database(&self) -> Option<Arc<Cluster>> {
        self.database.clone()
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// A connection to it that a test speaks the contract over.
    pub(crate) async fn connect(&self) -> ShippingServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        ShippingServiceClient::new(endpoint.connect().await.unwrap())
    }

    /// `shippy` with `args`, asking this server.
    pub(crate) fn ask(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = shippy(home);
        command
            .args(args)
            .args(["--server", &self.address.to_string()]);
        command
    }

    /// What the system says of its memory, by the name of a line in `/proc/PID/status` (proc(5)), in KiB.
    pub(crate) fn memory_kib(&self, name: &str) -> u64 {
        let status = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; how it ended.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the server's end", || self.child.try_wait().unwrap())
    }

    /// What it has logged.
    pub(crate) fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line of the server's standard output, if it comes in time.
fn ready_line(child: &mut Child) -> Option<String> {
    let stdout = child.stdout.take()?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        // The pipe stays open to the end: a server need not bear a closed one in every test.
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines.recv_timeout(SOON).ok()
}

/// A service name that no other test and no other shippy nearby has.
pub(crate) fn own_name() -> String {
    format!("test.{}", uuid::Uuid::now_v7())
}

/// An address of this machine where nobody listens, and nobody is going to by chance: its port is none of those that
/// the system gives away by itself, so that a service can be started there, and started again.
pub(crate) fn free_address() -> String {
    free_address_of("127.0.0.1")
}

/// The same, only the port.
pub(crate) fn free_port() -> u16 {
    let address = free_address();
    let (_, port) = address.rsplit_once(':').expect("HOST:PORT");
    port.parse().unwrap()
}

/// The same at `host`, which is this machine too.
pub(crate) fn free_address_of(host: &str) -> String {
    /// Below the ports that Linux gives away (`ip_local_port_range`).
    const PORTS: std::ops::Range<u32> = 12_000..32_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Another run of the tests begins elsewhere.
    let begin = std::process::id().wrapping_mul(7);
    let candidate = |_| {
        let next = begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        format!("{host}:{}", PORTS.start + next % (PORTS.end - PORTS.start))
    };
    PORTS
        .map(candidate)
        .find(|address| std::net::TcpListener::bind(address).is_ok())
        .unwrap_or_else(|| panic!("no port is free at {host}"))
}

/// A folder that goes with the test.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}
