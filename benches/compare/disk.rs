//! The disk's own limit: a plain file that is appended to and synced.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use prost::Message as _;

use crate::{
    load::{Sample, Span, median},
    record,
    system::System,
};

/// How often the disk is asked for durability where only the time of that is wanted.
const SYNCS: usize = 200;

/// A log without a server: as many records as are in flight are appended, then synced together.
pub(crate) struct Log {
    file: File,
    record: Vec<u8>,
}

impl Log {
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        let consignment = record::consignment(0, shippy::consignment::new_id());
        Ok(Self {
            file: tempfile::tempfile_in(folder)?,
            record: consignment.encode_to_vec(),
        })
    }

    fn append(&mut self, count: usize) -> anyhow::Result<Duration> {
        let records = self.record.repeat(count);
        let begun = Instant::now();
        self.file.write_all(&records)?;
        self.file.sync_data()?;
        Ok(begun.elapsed())
    }

    /// What one durable append takes, in the middle.
    pub(crate) fn sync_time(&mut self) -> anyhow::Result<Duration> {
        let times: anyhow::Result<Vec<_>> = (0..SYNCS).map(|_| self.append(1)).collect();
        Ok(median(times?))
    }
}

impl System for Log {
    fn name(&self) -> &'static str {
        "append + fdatasync, no server"
    }

    fn creates(&mut self, in_flight: usize, span: Span) -> anyhow::Result<Sample> {
        let until = Instant::now() + span.time;
        let mut latencies = Vec::new();
        while Instant::now() < until {
            latencies.push(self.append(in_flight)?);
        }
        Sample::new(latencies, span.time, in_flight)
    }
}
