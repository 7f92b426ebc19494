//! Reads a checked input again and cuts it into the chunks that are sent.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use tokio::sync::mpsc;

use super::batch::Batch;
use crate::{
    consignment::clear_server_fields,
    formats::read::{Checked, InputError, Record},
    proto::{CHUNK_BYTES, CHUNK_RECORDS, CreateChunk},
};

/// A record that was sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// The line on which it begins.
    pub(super) line: usize,
    /// Its own id, or the one that the batch gave it.
    pub(super) id: String,
}

/// What is to be sent.
pub(super) struct Feed {
    pub(super) input: Checked,
    pub(super) batch: Batch,
    /// How many records at the beginning are not.
    pub(super) passed_over: u64,
    /// Ends it early.
    pub(super) stop: Arc<AtomicBool>,
}

/// Where it goes. A chunk's records are told before the chunk; what bounds the chunks bounds them too.
pub(super) struct Outlets {
    pub(super) records: mpsc::UnboundedSender<Vec<Sent>>,
    pub(super) chunks: mpsc::Sender<CreateChunk>,
}

impl Feed {
    /// Reads and sends until all is sent, it is to stop or nobody takes it any more. This blocks.
    ///
    /// # Errors
    ///
    /// [`InputError`] when the input was changed or cannot be read. The last chunk is sent only when all of the input
    /// was found to be as it was.
    pub(super) fn run(self, outlets: &Outlets) -> Result<(), InputError> {
        let mut records = self.input.records()?;
        let mut unnamed = 0;
        let mut index = 0;
        let mut chunk = Chunk::default();
        while let Some(record) = records.next() {
            let mut record = record?;
            let id = &mut record.consignment.id;
            if id.is_empty() {
                unnamed += 1;
                *id = self.batch.id(unnamed);
            }
            index += 1;
            if index <= self.passed_over {
                continue;
            }
            if chunk.is_full() {
                records.verify()?;
                if self.stop.load(Ordering::Relaxed) || !std::mem::take(&mut chunk).send(outlets) {
                    return Ok(());
                }
            }
            chunk.push(record);
        }
        chunk.send(outlets);
        Ok(())
    }
}

#[derive(Default)]
struct Chunk {
    /// Room for all of a chunk's encodings, so that they share one allocation.
    room: BytesMut,
    encoded: Vec<Bytes>,
    bytes: usize,
    records: Vec<Sent>,
}

impl Chunk {
    fn is_full(&self) -> bool {
        self.encoded.len() >= CHUNK_RECORDS || self.bytes >= CHUNK_BYTES
    }

    fn push(&mut self, record: Record) {
        let Record {
            line,
            mut consignment,
        } = record;
        // The server sets them, and need not be sent those of another register.
        clear_server_fields(&mut consignment);
        let length = consignment.encoded_len();
        if self.room.capacity() < length {
            self.room = BytesMut::with_capacity(CHUNK_BYTES.max(length));
        }
        // There is room, so this cannot fail.
        let _ = consignment.encode(&mut self.room);
        self.encoded.push(self.room.split().freeze());
        self.bytes += length;
        self.records.push(Sent {
            line,
            id: consignment.id,
        });
    }

    /// False when nobody takes it any more.
    fn send(self, outlets: &Outlets) -> bool {
        if self.encoded.is_empty() {
            return true;
        }
        let chunk = CreateChunk {
            consignments: self.encoded,
        };
        outlets.records.send(self.records).is_ok() && outlets.chunks.blocking_send(chunk).is_ok()
    }
}
