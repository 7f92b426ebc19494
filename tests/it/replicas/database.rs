//! A database on two machines, as far as PostgreSQL is concerned: a primary, and a standby that has all that the primary
//! has acknowledged.

use std::{
    fs::File,
    io::Write as _,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{
    eventually, free_port,
    postgres::{Cluster, USER},
};

/// Where both are reached.
const HOST: &str = "10.77.0.1";

/// A primary and its synchronous standby.
pub(super) struct Pair {
    primary: Cluster,
    standby: Cluster,
}

impl Pair {
    /// Both run, for whoever is on the network 10.77.0.0/24.
    pub(super) fn start() -> Self {
        // A standby that has lost its primary sleeps for 5 s otherwise, whatever it is told.
        let settings = ["listen_addresses=*", "wal_retrieve_retry_interval=200ms"];
        let primary = Cluster::prepare(&settings);
        let access = primary.data().join("pg_hba.conf");
        let mut access = File::options().append(true).open(access).unwrap();
        writeln!(access, "host all all 10.77.0.0/24 trust").unwrap();
        primary.run();
        let standby = Cluster::standby_of(&primary, free_port());
        let pair = Self { primary, standby };
        pair.bring_in_sync();
        pair
    }

    /// The URL that finds whichever is the primary.
    pub(super) fn url(&self) -> String {
        let [one, other] = self.ports();
        format!(
            "postgres://{USER}@{HOST}:{one},{HOST}:{other}/postgres?target_session_attrs=read-write"
        )
    }

    pub(super) fn ports(&self) -> [u16; 2] {
        [self.primary.port, self.standby.port]
    }

    /// Kills the primary and promotes the standby, which begins at once to write alone; how long that took.
    pub(super) fn fail_over(&mut self) -> Duration {
        let begun = Instant::now();
        self.primary.signal_all(Signal::KILL);
        self.primary.stop();
        self.standby.sql("postgres", "SELECT pg_promote()");
        std::mem::swap(&mut self.primary, &mut self.standby);
        begun.elapsed()
    }

    /// Puts a new standby in place of the primary that was killed.
    pub(super) fn replace_killed(&mut self) {
        self.standby = Cluster::standby_of(&self.primary, self.standby.port);
        self.bring_in_sync();
    }

    /// Starts the standby; from then on nothing is acknowledged that it does not have.
    fn bring_in_sync(&self) {
        self.standby.run();
        let primary = |statement: &str| self.primary.sql("postgres", statement);
        let await_state = |column: &str, state: &str| {
            let ask = format!("SELECT {column} FROM pg_stat_replication");
            eventually(state, || (primary(&ask) == state).then_some(()));
        };
        await_state("state", "streaming");
        primary("ALTER SYSTEM SET synchronous_standby_names = '*'");
        primary("SELECT pg_reload_conf()");
        await_state("sync_state", "sync");
    }
}
