//! Reads consignments from files and standard input.
//!
//! What is accepted: one JSON object, one array of objects, or objects one after another (NDJSON, or indented). The
//! mapping is proto3 JSON; both spellings of a key are good (`vessel_id`, `vesselId`), and `null` stands for a field's
//! default.
//!
//! An input is read twice, in memory that does not grow with it: [`Source::check`] reads it to the end, and
//! [`Checked::records`] hands out what is then known to be good.

mod checked;
mod count;
mod csv;
mod decode;
mod error;
mod explain;
mod fault;
mod frame;
mod path;
mod records;
mod source;
mod spool;
#[cfg(test)]
mod tests;
mod unexpected;

pub use checked::{Again, Checked, Counts};
pub use error::{InputError, Problem};
pub use records::{Record, Records};
pub use source::{STDIN, Source};
