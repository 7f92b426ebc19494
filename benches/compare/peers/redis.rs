//! Redis with an append-only file that is synced before each answer, driven by `redis-benchmark`.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::Signal;

use super::REDIS;
use crate::{
    load::{Sample, Span},
    running::{Running, output},
    server::free_address,
    system::System,
    text::whole,
};

/// Bytes of a value: with its key of 16 bytes a record takes what a consignment takes encoded.
const VALUE_BYTES: &str = "338";
/// Different keys.
const KEYS: &str = "1000000";
/// Requests by which it is found out how many a measurement takes.
const TRIAL: u64 = 2_000;

pub(super) struct Redis {
    _running: Running,
    port: String,
}

impl Redis {
    pub(super) fn start(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("redis");
        fs::create_dir_all(&folder)?;
        let address = free_address()?;
        let (_, port) = address.rsplit_once(':').context("an address has a port")?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", port, "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        command.arg("--dir").arg(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut running = Running::start(&mut command, Signal::TERM)?;
        running.wait_until(|| TcpStream::connect(&address).is_ok())?;
        Ok(Self {
            _running: running,
            port: port.to_owned(),
        })
    }

    fn requests(&self, count: u64, in_flight: usize) -> anyhow::Result<Sample> {
        let mut command = Command::new("redis-benchmark");
        command.args(["-h", "127.0.0.1", "-p", &self.port, "-t", "set", "--csv"]);
        command.args(["-d", VALUE_BYTES, "-r", KEYS]);
        command.args(["-n", &count.to_string(), "-c", &in_flight.to_string()]);
        let csv = output(&mut command)?;
        let line = csv.lines().find(|line| line.starts_with("\"SET\""));
        let line = line.context("redis-benchmark says nothing of SET")?;
        let figures: Result<Vec<f64>, _> = line
            .split(',')
            .skip(1)
            .map(|cell| cell.trim_matches('"').parse())
            .collect();
        // The rate, then in milliseconds: average, minimum, p50, p95, p99, maximum.
        let [rate, _, _, p50, _, p99, ..] = figures?[..] else {
            anyhow::bail!("redis-benchmark printed {line}");
        };
        Ok(Sample {
            rate,
            p50: Duration::from_secs_f64(p50 / 1e3),
            p99: Duration::from_secs_f64(p99 / 1e3),
        })
    }
}

impl System for Redis {
    fn name(&self) -> &'static str {
        REDIS
    }

    /// It counts requests and not time, so the time is met nearly.
    fn creates(&mut self, in_flight: usize, span: Span) -> anyhow::Result<Sample> {
        let trial = self.requests(TRIAL, in_flight)?;
        // Not below the trial's, however slow that was.
        let count = whole(trial.rate * span.time.as_secs_f64()).max(TRIAL);
        self.requests(count, in_flight)
    }
}
