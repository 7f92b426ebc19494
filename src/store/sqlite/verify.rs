//! Looks at all of a register: whether it is what it has to be, record by record.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use prost::Message as _;
use rusqlite::ErrorCode;

use super::{
    existing::{Existing, Gauge, Row},
    index::IndexCheck,
};
use crate::{consignment, proto::Consignment, store::OpenError, tokens::parse_name};

/// How many places of one kind of damage are told.
const PLACES: usize = 3;
/// After how many steps of SQLite's machine it asks whether it is to go on: some milliseconds' work.
const STEPS: i32 = 100_000;
/// The end of the year 9999, in microseconds since the Unix epoch: later times cannot be written (RFC 3339).
const LAST_TIME: i64 = 253_402_300_800_000_000;

/// A register that is to be looked at.
#[derive(Debug)]
pub struct Subject(Existing);

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// The register's id.
    pub register: String,
    /// How many consignments there are.
    pub records: u64,
    /// When the first and the last of them were stored, in microseconds since the Unix epoch.
    pub times: Option<(i64, i64)>,
    /// What the filter index beside it is.
    pub index: IndexState,
    /// What is wrong with it, by its kind.
    pub damage: BTreeMap<Damage, Places>,
}

/// What the filter index beside a register is. One that is wrong is damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    /// There is none: a start makes one.
    Absent,
    /// It is of another register, or of another state of this one: a start makes a new one.
    Foreign,
    /// It agrees with the register up to this sequence number, or is wrong.
    Through(u64),
}

/// A kind of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// What SQLite itself says of the file.
    Engine,
    /// Sequence numbers that nothing has.
    Missing,
    /// Sequence numbers that nothing may have.
    Misnumbered,
    /// Bodies that are no consignment.
    Body,
    /// Bodies in another encoding than the canonical one.
    Encoding,
    /// Ids that are not those in the bodies.
    Id,
    /// Times that no clock shows.
    Time,
    /// Creators that nobody can be called.
    Creator,
    /// The filter index says something else than the records.
    Index,
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Engine => "the file is damaged",
            Self::Missing => "consignments are missing",
            Self::Misnumbered => "consignments have sequence numbers below 1",
            Self::Body => "bodies are no consignments",
            Self::Encoding => "bodies are not encoded as they have to be",
            Self::Id => "ids are not those in the bodies",
            Self::Time => "times are none",
            Self::Creator => "creators' names are none",
            Self::Index => "the filter index is wrong (remove it: the next start makes a new one)",
        })
    }
}

/// Where there is damage of one kind: how often, and the first places.
#[derive(Debug, Default)]
pub struct Places {
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub first: Vec<String>,
}

impl fmt::Display for Places {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.first.join("; "))?;
        match self.count.saturating_sub(self.first.len() as u64) {
            0 => Ok(()),
            more => write!(formatter, "; and {more} more"),
        }
    }
}

/// Somebody did not want it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl Subject {
    /// Opens the register at `path`, to read it beside whoever serves it.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: there is none, or nothing of it can be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Existing::open(path).map(Self)
    }

    /// How many consignments it seems to have.
    #[must_use]
    pub fn records(&self) -> u64 {
        u64::try_from(self.0.last).unwrap_or_default()
    }

    /// Looks at all of it. What is stored meanwhile is left out.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when `gauge` says so.
    pub fn verify(mut self, gauge: &Gauge) -> Result<Report, Stopped> {
        let mut look = Look::new(&mut self.0);
        look.ask_engine(&mut self.0, gauge)?;
        if let Err(error) = look.read_all(&self.0, gauge)? {
            look.note(Damage::Engine, error.to_string());
        }
        look.finish_index();
        Ok(look.report)
    }
}

/// A look under way.
struct Look {
    report: Report,
    index: Option<IndexCheck>,
    /// The sequence number that comes next.
    expected: i64,
}

impl Look {
    fn new(existing: &mut Existing) -> Self {
        let mut look = Self {
            report: Report {
                path: existing.path.clone(),
                register: existing.register.clone(),
                records: 0,
                times: None,
                index: IndexState::Absent,
                damage: BTreeMap::new(),
            },
            index: None,
            expected: 1,
        };
        match IndexCheck::open(existing) {
            Ok((state, check)) => (look.report.index, look.index) = (state, check),
            Err(error) => look.note(Damage::Index, error.to_string()),
        }
        match existing.is_of_its_version() {
            Ok(true) => {}
            Ok(false) => {
                let text = format!("the tables are not those of version {}", existing.version);
                look.note(Damage::Engine, text);
            }
            Err(error) => look.note(Damage::Engine, error.to_string()),
        }
        // A server may have stored and folded more than there was when the register was opened.
        if let Err(error) = existing.catch_up() {
            look.note(Damage::Engine, error.to_string());
        }
        look
    }

    fn note(&mut self, damage: Damage, place: String) {
        let places = self.report.damage.entry(damage).or_default();
        places.count += 1;
        if places.first.len() < PLACES {
            places.first.push(place);
        }
    }

    /// SQLite's own check: pages, the order of the tables, and that the ids' index has each id once and no other.
    fn ask_engine(&mut self, existing: &mut Existing, gauge: &Gauge) -> Result<(), Stopped> {
        let stop = gauge.clone();
        let connection = &mut existing.connection;
        let asked = connection
            .progress_handler(STEPS, Some(move || stop.is_stopped()))
            .and_then(|()| {
                let mut check = connection.prepare("PRAGMA integrity_check")?;
                let rows = check.query_map([], |row| row.get::<_, String>(0))?;
                rows.collect::<rusqlite::Result<Vec<_>>>()
            });
        match asked {
            Ok(said) if said == ["ok"] => {}
            Ok(said) => {
                for line in said {
                    self.note(Damage::Engine, line);
                }
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                return Err(Stopped);
            }
            Err(error) => self.note(Damage::Engine, error.to_string()),
        }
        Ok(())
    }

    /// Record by record, in runs, so that a server's log can start over.
    fn read_all(
        &mut self,
        existing: &Existing,
        gauge: &Gauge,
    ) -> Result<rusqlite::Result<()>, Stopped> {
        let mut after = i64::MIN;
        loop {
            let rows = match existing.read_after(after) {
                Ok(rows) => rows,
                Err(error) if gauge.is_stopped() => {
                    tracing::debug!("stopped: {error}");
                    return Err(Stopped);
                }
                Err(error) => return Ok(Err(error)),
            };
            let Some(last) = rows.last() else {
                return Ok(Ok(()));
            };
            after = last.sequence;
            for row in &rows {
                self.look_at(row);
            }
            gauge.done.fetch_add(rows.len() as u64, Ordering::Relaxed);
            if gauge.is_stopped() {
                return Err(Stopped);
            }
        }
    }

    fn look_at(&mut self, row: &Row) {
        let sequence = row.sequence;
        self.report.records += 1;
        if sequence < 1 {
            return self.note(Damage::Misnumbered, sequence.to_string());
        }
        if sequence > self.expected {
            let (first, last) = (self.expected, sequence - 1);
            let place = if first == last {
                first.to_string()
            } else {
                format!("{first} to {last}")
            };
            self.note(Damage::Missing, place);
        }
        self.expected = sequence.saturating_add(1);
        let known = self.report.times.map(|(first, _)| first);
        let first = known.unwrap_or(row.created_at);
        self.report.times = Some((first, row.created_at));
        if !(0..LAST_TIME).contains(&row.created_at) {
            let text = format!("{sequence} ({} microseconds since 1970)", row.created_at);
            self.note(Damage::Time, text);
        }
        if let Some(name) = &row.created_by
            && !str::from_utf8(name).is_ok_and(|name| parse_name(name).is_ok())
        {
            let text = format!("{sequence} ({:?})", String::from_utf8_lossy(name));
            self.note(Damage::Creator, text);
        }
        self.look_into(row);
        if let Some(index) = &mut self.index
            && let Err(error) = index.add(row)
        {
            self.index = None;
            self.note(Damage::Index, error.to_string());
        }
    }

    fn look_into(&mut self, row: &Row) {
        let sequence = row.sequence;
        let mut consignment = match Consignment::decode(&row.body[..]) {
            Ok(consignment) => consignment,
            Err(error) => return self.note(Damage::Body, format!("{sequence} ({error})")),
        };
        if consignment.id.as_bytes() != row.id {
            let (stands, has) = (String::from_utf8_lossy(&row.id), &consignment.id);
            let text = format!("{sequence} ({stands:?} instead of {has:?})");
            self.note(Damage::Id, text);
        }
        if consignment::canonical(&mut consignment) != row.body {
            self.note(Damage::Encoding, sequence.to_string());
        }
    }

    fn finish_index(&mut self) {
        if let Some(index) = self.index.take()
            && let Err(error) = index.finish()
        {
            self.note(Damage::Index, error.to_string());
        }
    }
}
