//! PostgreSQL with its own settings, driven by `pgbench`.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::Signal;

use super::{KEY_BYTES, POSTGRES, POSTGRES_REGISTER, VALUE_BYTES};
use crate::{
    load::{Sample, Span},
    running::{Running, output},
    server::free_address,
    system::System,
};

/// Where Debian keeps a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// What `pgbench` repeats, in its folder.
const SCRIPT: &str = "insert.sql";

/// Its default is 100, and each call in flight has one.
const CONNECTIONS: &str = "max_connections=300";

pub(crate) struct Postgres {
    _running: Running,
    port: String,
    rows: Pgbench,
}

/// `pgbench` with one statement, committed by each connection again and again.
pub(crate) struct Pgbench {
    name: &'static str,
    folder: PathBuf,
    port: String,
    /// Its measurements, so that each has files of its own.
    runs: usize,
}

impl Postgres {
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("postgres")
            .tempdir_in(folder)?
            .keep();
        let data = folder.join("data");
        fs::create_dir_all(&folder)?;
        let user = user()?;
        if let Some((user, group)) = user {
            admit(&folder)?;
            chown(&folder, Some(user), Some(group))?;
        }
        let mut init = as_user(required("initdb")?, user);
        init.arg("--pgdata").arg(&data);
        output(init.args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
        ]))?;

        let address = free_address()?;
        let (_, port) = address.rsplit_once(':').context("an address has a port")?;
        let mut serve = as_user(required("postgres")?, user);
        serve
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", port]);
        serve.arg("-k").arg(&folder);
        serve.args(["-c", CONNECTIONS]);
        serve
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // SIGINT is its fast shutdown: it does not wait for clients.
        let mut running = Running::start(&mut serve, Signal::INT)?;
        let mut ready = Command::new(required("pg_isready")?);
        ready.args(["-q", "-h", "127.0.0.1", "-p", port]);
        running.wait_until(|| ready.status().is_ok_and(|status| status.success()))?;
        sql(
            port,
            "CREATE TABLE consignment (\
             sequence bigserial PRIMARY KEY, id text NOT NULL UNIQUE, body bytea NOT NULL)",
        )?;
        // Ids ascend, as UUIDv7 do.
        let insert = format!(
            "INSERT INTO consignment (id, body) VALUES \
             (lpad(nextval('consignment_sequence_seq')::text, {KEY_BYTES}, '0'), '{}');\n",
            body()
        );
        Ok(Self {
            _running: running,
            port: port.to_owned(),
            rows: Pgbench::new(POSTGRES, folder, port, &insert)?,
        })
    }

    /// A client that keeps what a register promises, a row a commit: numbers without gaps in the order of the commits,
    /// and the index to list by. It uses the tables that a server has made.
    pub(crate) fn register(&self) -> anyhow::Result<Pgbench> {
        sql(
            &self.port,
            "INSERT INTO shippy_register (number, name, id, last_sequence) \
             SELECT coalesce(max(number), 0) + 1, 'compare.rows', 'compare.rows', 0 FROM shippy_register",
        )?;
        let insert = format!(
            "WITH counter AS (\
               UPDATE shippy_register SET last_sequence = last_sequence + 1 \
               WHERE name = 'compare.rows' RETURNING number, last_sequence AS n) \
             INSERT INTO shippy_consignment (register, sequence, id, created_at, body, terms) \
             SELECT number, n, lpad(n::text, {KEY_BYTES}, '0'), \
               (extract(epoch from clock_timestamp()) * 1000000)::bigint, '{}', \
               ARRAY[n % 400, 1000 + n % 20000, 30000 + n % 300, 40000 + n % 20] \
             FROM counter;\n",
            body()
        );
        let folder = self.rows.folder.join("register");
        fs::create_dir(&folder)?;
        Pgbench::new(POSTGRES_REGISTER, folder, &self.port, &insert)
    }

    /// Where a register can be kept in it.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Pgbench {
    fn new(
        name: &'static str,
        folder: PathBuf,
        port: &str,
        statement: &str,
    ) -> anyhow::Result<Self> {
        fs::write(folder.join(SCRIPT), statement)?;
        Ok(Self {
            name,
            folder,
            port: port.to_owned(),
            runs: 0,
        })
    }

    /// The latencies that `pgbench` has logged under `prefix`, a file for each of its threads.
    fn latencies(&self, prefix: &str) -> anyhow::Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(prefix) {
                for line in fs::read_to_string(&path)?.lines() {
                    // The client, the transaction's number, its time in microseconds, and more.
                    let time = line.split(' ').nth(2).context("a line of pgbench's log")?;
                    latencies.push(Duration::from_micros(time.parse()?));
                }
            }
        }
        Ok(latencies)
    }
}

impl System for Postgres {
    fn name(&self) -> &'static str {
        self.rows.name()
    }

    fn creates(&mut self, in_flight: usize, span: Span) -> anyhow::Result<Sample> {
        self.rows.creates(in_flight, span)
    }
}

impl System for Pgbench {
    fn name(&self) -> &'static str {
        self.name
    }

    /// It measures whole seconds, at least two, as it takes a part of them to connect.
    fn creates(&mut self, in_flight: usize, span: Span) -> anyhow::Result<Sample> {
        self.runs += 1;
        let prefix = format!("run-{}", self.runs);
        let seconds = span.time.as_secs().max(2);
        let threads = in_flight.min(2);
        let mut command = client("pgbench", &self.port)?;
        command.args(["-n", "-M", "prepared", "-l", "-T", &seconds.to_string()]);
        command.args(["-c", &in_flight.to_string(), "-j", &threads.to_string()]);
        command.arg("--log-prefix").arg(self.folder.join(&prefix));
        command
            .arg("-f")
            .arg(self.folder.join(SCRIPT))
            .arg("postgres");
        let said = output(&mut command)?;
        let rate = said.lines().find_map(|line| line.strip_prefix("tps = "));
        let rate = rate.and_then(|rate| rate.split(' ').next());
        let latencies = self.latencies(&prefix)?;
        Ok(Sample {
            // Its own figure, which leaves out the time that it takes to connect.
            rate: rate.context("pgbench says no rate")?.parse()?,
            ..Sample::new(latencies, Duration::from_secs(seconds), 1)?
        })
    }
}

fn client(program: &str, port: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(required(program)?);
    command.args(["-h", "127.0.0.1", "-p", port, "-U", "postgres"]);
    Ok(command)
}

fn sql(port: &str, statement: &str) -> anyhow::Result<()> {
    let mut psql = client("psql", port)?;
    output(psql.args(["-q", "-d", "postgres", "-c", statement])).map(drop)
}

/// A value as PostgreSQL reads one.
fn body() -> String {
    format!("\\x{}", "78".repeat(VALUE_BYTES))
}

/// The newest version's `name`, else the one on the path.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let mut programs: Vec<_> = versions
        .map(|version| version.path().join("bin").join(name))
        .filter(|program| program.exists())
        .collect();
    programs.sort();
    programs.pop()
}

fn required(name: &str) -> anyhow::Result<PathBuf> {
    program(name).with_context(|| format!("no {name} under {VERSIONS}"))
}

/// Whom it has to run as: it does not run as root.
fn user() -> anyhow::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users
        .lines()
        .find_map(|line| line.strip_prefix("postgres:"));
    let mut fields = line
        .context("there is no user postgres")?
        .split(':')
        .skip(1);
    let mut next = || anyhow::Ok(fields.next().context("/etc/passwd")?.parse()?);
    Ok(Some((next()?, next()?)))
}

fn as_user(program: PathBuf, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir("/");
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    command
}

/// Lets other users pass through our own temporary folder.
fn admit(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = folder.parent().context("it is in a folder")?;
    Ok(fs::set_permissions(
        parent,
        fs::Permissions::from_mode(0o711),
    )?)
}
