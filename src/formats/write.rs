//! Writes consignments for programs, in memory that does not grow with their number.
//!
//! JSON of both kinds is what [`read`](super::read) reads. No format lets a control character of a text through: JSON writes
//! `\u001b`. CSV keeps line breaks, and marks with `'` what a spreadsheet would take for a formula.

use pbjson_types::Timestamp;

mod csv;
mod json;

pub use csv::Rows;
#[cfg(test)]
pub(crate) use json::write_object;
pub use json::{Array, Lines};

/// `time` as RFC 3339 in UTC with `Z`, and with 0, 3, 6 or 9 digits of a second, as proto3 JSON defines it. (What
/// `pbjson_types` itself prints ends in `+00:00`.)
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    prost_types::Timestamp {
        seconds: time.seconds,
        nanos: time.nanos,
    }
    .to_string()
}
