//! The tables, and what is found in them at a start.

use std::time::Duration;

use tokio_postgres::Client;

use super::{
    connect::{set, within},
    failure::{Failure, Meaning},
};
use crate::consignment;

/// The version of the tables below.
pub(super) const SCHEMA_VERSION: i64 = 2;
/// How long a statement of a start may take: making the tables waits for another server that does so, too.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(20);
/// How often is begun again when others start at the same time: each time one of them gets through.
const TRIES: u32 = 50;
const RETRY: Duration = Duration::from_millis(20);

/// Many registers, each in a service's name. `last_sequence` is the newest consignment's: whoever appends locks it, so
/// that sequence numbers are in the order of commits and without gaps. `created_at` is in microseconds since the Unix
/// epoch, `body` the canonical encoding, `terms` what it is found by (`terms.rs`). `{bytewise}` compares ids by their
/// bytes, where it can be said: a locale's order is slower, and changes when the system is upgraded.
const TABLES: &str = "
    CREATE TABLE shippy_schema (version BIGINT NOT NULL PRIMARY KEY);
    CREATE TABLE shippy_register (
        number BIGINT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        id TEXT NOT NULL UNIQUE,
        last_sequence BIGINT NOT NULL
    );
    CREATE TABLE shippy_consignment (
        register BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        id TEXT {bytewise} NOT NULL,
        created_at BIGINT NOT NULL,
        body BYTEA NOT NULL,
        terms BIGINT[] NOT NULL,
        created_by TEXT,
        PRIMARY KEY (register, sequence),
        UNIQUE (id, register)
    );";
/// Makes the tables of version 1 those of version 2, beside servers that know version 1 and go on: they name the columns
/// that they write and read. Whoever writes or reads waits until the lock is had and let go of, so it is waited for only
/// briefly at a time, as somebody may be copying the table.
const FROM_VERSION_1: &str = "
    SET LOCAL lock_timeout = '300ms';
    ALTER TABLE shippy_consignment ADD COLUMN IF NOT EXISTS created_by TEXT;";
/// What only PostgreSQL itself has. A row grows with the others in time, so that a range of times is one of blocks.
const INDEXES: &str = "
    CREATE INDEX shippy_consignment_terms ON shippy_consignment USING gin (terms);
    CREATE INDEX shippy_consignment_created_at ON shippy_consignment
        USING brin (created_at) WITH (autosummarize = on);";

/// A register in the database.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Its number in the tables.
    pub(super) number: i64,
    pub(super) id: String,
    pub(super) last_sequence: u64,
    pub(super) features: Features,
}

/// What of PostgreSQL's own the database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Features {
    /// `terms` and `created_at` are indexed.
    pub(super) indexes: bool,
    /// LISTEN and NOTIFY.
    pub(super) notifies: bool,
}

/// Why the tables are not used.
pub(super) enum Unusable {
    Failure(Failure),
    Newer { found: i64, known: i64 },
}

impl<F: Into<Failure>> From<F> for Unusable {
    fn from(failure: F) -> Self {
        Self::Failure(failure.into())
    }
}

/// Makes the tables where there are none, and finds the register of the service `name` in them, or makes it.
pub(super) async fn prepare(client: &Client, name: &str) -> Result<Found, Unusable> {
    let is_postgres = is_postgres(client).await?;
    let mut tries = 0;
    loop {
        let result = try_prepare(client, name, is_postgres).await;
        match result {
            Err(Unusable::Failure(failure)) if tries < TRIES && is_race(&failure) => {
                tries += 1;
                tokio::time::sleep(RETRY).await;
            }
            result => return result,
        }
    }
}

pub(super) async fn is_postgres(client: &Client) -> Result<bool, Failure> {
    let version = within(STATEMENT_TIMEOUT, client.query_one("SELECT version()", &[]));
    let version: String = version.await?.try_get(0)?;
    // The others that speak its protocol say so of themselves, YugabyteDB by a "-YB-" behind its number.
    Ok(version.starts_with("PostgreSQL") && !version.contains("-YB-"))
}

/// Whether its user may make tables where they would be made.
pub(super) async fn may_make_tables(client: &Client) -> Result<bool, Failure> {
    let select = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)";
    let row = within(STATEMENT_TIMEOUT, client.query_one(select, &[])).await?;
    Ok(row.try_get(0)?)
}

/// Whether another server did the same at the same time. What `CREATE` did not see a moment before shows as a
/// duplicate of any kind.
fn is_race(failure: &Failure) -> bool {
    failure.meaning() == Meaning::Again
        || (failure.code()).is_some_and(|code| {
            ["23505", "42P07", "42710", "42P06", "XX000"].contains(&code.code())
        })
}

async fn try_prepare(client: &Client, name: &str, is_postgres: bool) -> Result<Found, Unusable> {
    match version(client).await? {
        Some(SCHEMA_VERSION) => {}
        Some(found) if found > SCHEMA_VERSION => {
            let known = SCHEMA_VERSION;
            return Err(Unusable::Newer { found, known });
        }
        Some(_) => change(client, FROM_VERSION_1).await?,
        None => make(client, is_postgres).await?,
    }
    let has_indexes = is_postgres && has_indexes(client).await?;
    loop {
        if let Some(found) = find(client, name).await? {
            let (number, id, last_sequence) = found;
            return Ok(Found {
                number,
                id,
                last_sequence,
                features: Features {
                    indexes: has_indexes,
                    notifies: is_postgres,
                },
            });
        }
        let insert = "INSERT INTO shippy_register (number, name, id, last_sequence)
             SELECT coalesce(max(number), 0) + 1, $1, $2, 0 FROM shippy_register";
        let id = consignment::new_id();
        within(STATEMENT_TIMEOUT, client.execute(insert, &[&name, &id])).await?;
    }
}

/// The version of the tables; `None` when there are none.
pub(super) async fn version(client: &Client) -> Result<Option<i64>, Failure> {
    let select = client.query_opt("SELECT max(version) FROM shippy_schema", &[]);
    match within(STATEMENT_TIMEOUT, select).await {
        Ok(row) => Ok(row.map(|row| row.try_get(0)).transpose()?),
        Err(failure) if failure.code().is_some_and(|code| code.code() == "42P01") => Ok(None),
        Err(failure) => Err(failure),
    }
}

async fn make(client: &Client, is_postgres: bool) -> Result<(), Failure> {
    let bytewise = if is_postgres { "COLLATE \"C\"" } else { "" };
    let tables = TABLES.replace("{bytewise}", bytewise);
    let indexes = if is_postgres { INDEXES } else { "" };
    change(client, &format!("{tables} {indexes}")).await
}

/// Brings the tables to the newest version, all or nothing.
async fn change(client: &Client, statements: &str) -> Result<(), Failure> {
    let all =
        format!("BEGIN; {statements} INSERT INTO shippy_schema VALUES ({SCHEMA_VERSION}); COMMIT");
    let changed = within(STATEMENT_TIMEOUT, client.batch_execute(&all)).await;
    if changed.is_err() {
        // What it says to that does not matter: where the connection broke there is nothing to take back.
        let _ = within(STATEMENT_TIMEOUT, client.batch_execute("ROLLBACK")).await;
    }
    changed
}

/// Whoever runs the database may have taken the index away, to write faster.
async fn has_indexes(client: &Client) -> Result<bool, Failure> {
    let select = "SELECT to_regclass('shippy_consignment_terms') IS NOT NULL";
    let row = within(STATEMENT_TIMEOUT, client.query_one(select, &[])).await?;
    Ok(row.try_get(0)?)
}

pub(super) async fn find(
    client: &Client,
    name: &str,
) -> Result<Option<(i64, String, u64)>, Failure> {
    let select = "SELECT number, id, last_sequence FROM shippy_register WHERE name = $1";
    let row = within(STATEMENT_TIMEOUT, client.query_opt(select, &[&name])).await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?, sequence(row.try_get(2)?)?)))
        .transpose()
}

/// A sequence number as it is stored.
pub(super) fn sequence(stored: i64) -> Result<u64, Failure> {
    u64::try_from(stored)
        .map_err(|_| Failure::Damaged(format!("{stored} stands where a sequence number should")))
}

/// Settings of the database under which what it has acknowledged could be lost, a sentence each.
pub(super) async fn warnings(client: &Client, hosts: usize) -> Result<Vec<String>, Failure> {
    let select = "SELECT name, setting FROM pg_settings WHERE name IN
         ('fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names')";
    let mut warnings = Vec::new();
    for row in within(STATEMENT_TIMEOUT, client.query(select, &[])).await? {
        let (name, setting): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        let consequence = match (name, setting) {
            ("fsync" | "full_page_writes", "off") => {
                "a crash of its machine can damage it and lose what was acknowledged"
            }
            ("synchronous_commit", "off") => {
                "it acknowledges before it is on disk, and a crash can lose what was acknowledged"
            }
            ("synchronous_commit", "local" | "remote_write") if hosts > 1 => {
                "it acknowledges before a standby has it on disk, and a promotion can lose what was acknowledged"
            }
            ("synchronous_standby_names", "") if hosts > 1 => {
                "it waits for no standby, and a promotion can lose what was acknowledged"
            }
            _ => continue,
        };
        let setting = if setting.is_empty() { "empty" } else { setting };
        warnings.push(format!("the database's {name} is {setting}: {consequence}"));
    }
    Ok(warnings)
}

/// Settings of whoever uses the tables: plans are made for what is asked, and never by reading all, which looks cheap
/// as long as there is little and stays the plan.
pub(super) async fn settle(client: &Client, others: &[&str]) -> Result<(), Failure> {
    set(client, &["enable_seqscan = off"]).await?;
    set(client, others).await
}
