//! What durable creates are measured on.

use crate::load::{Sample, Span};

/// Something that keeps records.
pub(crate) trait System {
    /// What it is, for the table.
    fn name(&self) -> &'static str;

    /// Stores records of one size, each durable before it is answered for, `in_flight` at a time.
    fn creates(&mut self, in_flight: usize, span: Span) -> anyhow::Result<Sample>;
}
