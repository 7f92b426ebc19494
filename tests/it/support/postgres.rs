//! PostgreSQL clusters of the tests' own. They need Debian's package `postgresql`, and its user `postgres` where the
//! tests run as root, as which it does not run.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Ran, eventually, folder, free_port, run};

/// Where Debian keeps a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// What others than the user `postgres` and its database may be called.
pub(crate) const USER: &str = "postgres";

/// A cluster that ends with this.
#[derive(Debug)]
pub(crate) struct Cluster {
    home: TempDir,
    pub(crate) port: u16,
    settings: Vec<String>,
    server: Mutex<Option<Child>>,
}

impl Cluster {
    /// One that tests share, each with a register or a database of its own; it ends with the last of them.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Arc::new(Self::start());
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    /// A new one that trusts everybody.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with other settings, as `name=value`.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        let cluster = Self::prepare(settings);
        cluster.run();
        cluster
    }

    /// One that does not run.
    pub(crate) fn prepare(settings: &[&str]) -> Self {
        let cluster = Self::without_data(settings);
        let mut init = as_user("initdb");
        init.arg("--pgdata").arg(cluster.data());
        run(init.args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]))
        .exits(0);
        cluster
    }

    /// One that runs and repeats what this one does, until it is promoted.
    pub(crate) fn standby(&self) -> Self {
        // One that has lost its primary sleeps for 5 s otherwise, whatever it is told.
        let standby = Self::without_data(&["wal_retrieve_retry_interval=200ms"]);
        let mut copy = as_user("pg_basebackup");
        copy.arg("-h").arg(self.sockets());
        copy.args(["-p", &self.port.to_string(), "-U", USER, "-R", "--no-sync"]);
        copy.args(["--checkpoint=fast", "-D"]).arg(standby.data());
        run(&mut copy).exits(0);
        standby.run();
        standby
    }

    /// Makes a standby one that writes.
    pub(crate) fn promote(&self) {
        self.sql("postgres", "SELECT pg_promote()");
    }

    fn without_data(settings: &[&str]) -> Self {
        let home = folder();
        // Its user is another one.
        fs::set_permissions(home.path(), Permissions::from_mode(0o711)).unwrap();
        for part in ["data", "sockets"] {
            make_own(&home.path().join(part));
        }
        Self {
            home,
            port: free_port(),
            settings: settings.iter().map(|&text| text.to_owned()).collect(),
            server: Mutex::new(None),
        }
    }

    /// A standby of `primary` that is to listen on `port`, with all that the primary has; it does not run. It does not
    /// wait for standbys of its own when it is promoted.
    pub(crate) fn standby_of(primary: &Self, port: u16) -> Self {
        let home = folder();
        fs::set_permissions(home.path(), Permissions::from_mode(0o711)).unwrap();
        let data = home.path().join("data");
        make_own(&data);
        make_own(&home.path().join("sockets"));
        let mut backup = as_user("pg_basebackup");
        backup.arg("-D").arg(&data).arg("-h").arg(primary.sockets());
        backup.args(["-p", &primary.port.to_string(), "-U", USER]);
        run(backup.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])).exits(0);
        let altered = data.join("postgresql.auto.conf");
        let settings = fs::read_to_string(&altered).unwrap();
        let is_kept = |line: &&str| !line.starts_with("synchronous_standby_names");
        let mut kept: Vec<_> = settings.lines().filter(is_kept).collect();
        kept.push("");
        fs::write(&altered, kept.join("\n")).unwrap();
        Self {
            home,
            port,
            settings: primary.settings.clone(),
            server: Mutex::new(None),
        }
    }

    /// Starts it; it answers.
    pub(crate) fn run(&self) {
        let mut command = as_user("postgres");
        command.arg("-D").arg(self.data());
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.arg("-k").arg(self.sockets());
        command.args(["-c", "max_connections=300"]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.path().join("log"))
            .unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let server = command.stderr(log).spawn().unwrap();
        *self.server() = Some(server);
        eventually("PostgreSQL", || {
            let ready = run(self.client("pg_isready").arg("-q"));
            (ready.code == Some(0)).then_some(())
        });
    }

    /// Stops it as a crash would: at once, leaving its next start to recover.
    pub(crate) fn stop(&self) {
        if let Some(mut server) = self.server().take() {
            kill_process(Pid::from_child(&server), Signal::QUIT).unwrap();
            server.wait().unwrap();
        }
    }

    /// Sends `signal` to each of its processes.
    pub(crate) fn signal_all(&self, signal: Signal) {
        let server = self.server();
        let pid = Pid::from_child(server.as_ref().unwrap());
        let children = format!("/proc/{pid}/task/{pid}/children", pid = pid.as_raw_pid());
        let children = fs::read_to_string(children).unwrap();
        let children = children.split_whitespace();
        let children = children.filter_map(|text| Pid::from_raw(text.parse().unwrap()));
        for pid in children.chain([pid]) {
            // It may just have ended.
            let _ = kill_process(pid, signal);
        }
    }

    fn server(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has it decide by these rules (`pg_hba.conf`) from its next start on who may come in.
    pub(crate) fn admit(&self, rules: &str) {
        fs::write(self.data().join("pg_hba.conf"), rules).unwrap();
    }

    /// The URL of a database in it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    pub(crate) fn sockets(&self) -> PathBuf {
        self.home.path().join("sockets")
    }

    /// Has it speak TLS from its next start on, with this certificate and key.
    pub(crate) fn certify(&mut self, certificate: &str, key: &str) {
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = self.data().join(name);
            fs::write(&path, text).unwrap();
            give(&path, 0o600);
        }
        self.settings.push("ssl=on".into());
    }

    /// One of its client programs, asking it.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program_of(program));
        command.arg("-h").arg(self.sockets());
        command.args(["-p", &self.port.to_string(), "-U", USER]);
        command
    }

    /// What `statement` says in `database`: a line for each row, columns with a | between.
    #[track_caller]
    pub(crate) fn sql(&self, database: &str, statement: &str) -> String {
        let ran = self.try_sql(database, statement).exits(0);
        ran.stdout.trim_end().to_owned()
    }

    pub(crate) fn try_sql(&self, database: &str, statement: &str) -> Ran {
        let mut psql = self.client("psql");
        run(psql.args(["-X", "-q", "-A", "-t", "-d", database, "-c", statement]))
    }

    /// A new database; its name.
    pub(crate) fn database(&self) -> String {
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut server) = self.server().take() {
            let _ = kill_process(Pid::from_child(&server), Signal::CONT);
            let _ = kill_process(Pid::from_child(&server), Signal::QUIT);
            let _ = server.wait();
        }
    }
}

/// Makes a folder that belongs to whom PostgreSQL runs as.
pub(crate) fn make_own(folder: &Path) {
    fs::create_dir(folder).unwrap();
    give(folder, 0o700);
}

/// Gives what is at `path` to whom PostgreSQL runs as.
fn give(path: &Path, mode: u32) {
    if let Some((user, group)) = user() {
        chown(path, Some(user), Some(group)).unwrap();
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The newest version's `name`.
fn program_of(name: &str) -> PathBuf {
    let versions = fs::read_dir(VERSIONS).expect("the package postgresql");
    let mut programs: Vec<_> = versions
        .map(|version| version.unwrap().path().join("bin").join(name))
        .filter(|program| program.exists())
        .collect();
    programs.sort();
    programs.pop().unwrap()
}

/// Whom it has to run as.
fn user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users
        .lines()
        .find_map(|line| line.strip_prefix("postgres:"));
    let mut fields = line.expect("the user postgres").split(':').skip(1);
    let mut next = || fields.next().unwrap().parse().unwrap();
    Some((next(), next()))
}

fn as_user(program: &str) -> Command {
    let mut command = Command::new(program_of(program));
    command.env_clear().current_dir("/");
    if let Some((user, group)) = user() {
        command.uid(user).gid(group);
    }
    command
}
