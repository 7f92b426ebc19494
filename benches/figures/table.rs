//! The figures as a table, and whether they are within their limits.

use std::{fmt, time::Duration};

/// One figure.
pub(crate) struct Row {
    what: String,
    figure: String,
    limit: Option<Limit>,
    /// Whether it comes out the same however busy the machine is.
    is_steady: bool,
    value: f64,
}

struct Limit {
    text: String,
    value: f64,
}

impl Row {
    fn new(what: &str, figure: String, value: f64) -> Self {
        Self {
            what: what.into(),
            figure,
            limit: None,
            is_steady: false,
            value,
        }
    }

    /// So many bytes.
    pub(crate) fn size(what: &str, bytes: u64) -> Self {
        Self::new(what, mib(bytes), as_f64(bytes))
    }

    /// Times that something took: their median and the longest.
    pub(crate) fn times(what: &str, times: &[Duration]) -> Self {
        let mut times = times.to_vec();
        times.sort_unstable();
        let median = times[times.len() / 2];
        let figure = match times.as_slice() {
            [only] => millis(*only),
            [.., longest] => format!(
                "{} p50, {} max of {}",
                millis(median),
                millis(*longest),
                times.len()
            ),
            [] => String::new(),
        };
        Self::new(what, figure, median.as_secs_f64())
    }

    /// So many.
    pub(crate) fn count(what: &str, count: usize) -> Self {
        Self::new(what, count.to_string(), as_f64(count as u64))
    }

    /// At most so many bytes.
    pub(crate) fn within(self, bytes: u64) -> Self {
        self.limited(mib(bytes), as_f64(bytes))
    }

    /// The median takes at most so long.
    pub(crate) fn median_within(self, time: Duration) -> Self {
        self.limited(millis(time), time.as_secs_f64())
    }

    /// There are to be no more.
    pub(crate) fn at_most(self, count: usize) -> Self {
        self.limited(count.to_string(), as_f64(count as u64))
    }

    fn limited(mut self, text: String, value: f64) -> Self {
        self.limit = Some(Limit { text, value });
        self
    }

    /// It comes out the same however busy the machine is, so its limit can be insisted on.
    pub(crate) fn steady(mut self) -> Self {
        self.is_steady = true;
        self
    }

    fn holds(&self) -> bool {
        (self.limit.as_ref()).is_none_or(|limit| self.value <= limit.value)
    }
}

/// The figures in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Whether every steady figure is within its limit.
    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().all(|row| !row.is_steady || row.holds())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let verdict = if row.holds() { "" } else { "  OVER" };
            let limit = row.limit.as_ref().map_or("", |limit| limit.text.as_str());
            let Row { what, figure, .. } = row;
            writeln!(formatter, "{what:<42} {figure:<38} {limit:>9}{verdict}")?;
        }
        Ok(())
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.2} MiB", as_f64(bytes) / (1024.0 * 1024.0))
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}

/// Exact up to 2^53, far above any figure here.
#[allow(clippy::cast_precision_loss)]
fn as_f64(number: u64) -> f64 {
    number as f64
}
