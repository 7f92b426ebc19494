//! A followed list as server-sent events (HTML, §9.2), which browsers go on with by themselves after a break.

use std::io::{self, Write as _};

use tonic::Status;

use crate::{codes, formats::write::Lines, proto::Consignment};

/// When a browser is to come back after a break, in milliseconds: a restarted server is missed for no longer.
const RETRY_MS: u32 = 500;

/// Events, each with its position in the register as its id: `REGISTER:SEQUENCE`.
pub(super) struct Events {
    register: String,
    lines: Lines,
    begun: bool,
    /// Up to where the receiver knows that it misses nothing.
    through: u64,
}

impl Events {
    pub(super) fn new(register: &str) -> Self {
        Self {
            register: register.to_owned(),
            lines: Lines::default(),
            begun: false,
            through: 0,
        }
    }

    /// An event for each of `consignments`, which are all that there are up to `through`.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        consignments: &[Consignment],
        through: u64,
    ) -> io::Result<()> {
        if !self.begun {
            self.begun = true;
            write!(out, "retry: {RETRY_MS}\n\n")?;
        }
        for consignment in consignments {
            self.through = consignment.sequence;
            self.write_id(out)?;
            write!(out, "event: consignment\ndata: ")?;
            self.lines.write(out, std::slice::from_ref(consignment))?;
            out.push(b'\n');
        }
        if self.through < through {
            // What was passed over need not be searched again.
            self.through = through;
            self.write_id(out)?;
            out.push(b'\n');
        } else if consignments.is_empty() {
            // Somebody between may take a connection for dead that is silent.
            out.extend_from_slice(b":\n\n");
        }
        Ok(())
    }

    /// Says why there are no more for now.
    pub(super) fn end(out: &mut Vec<u8>, status: &Status) -> io::Result<()> {
        let code = codes::name(status.code());
        let said = serde_json::json!({"code": code, "message": status.message()});
        write!(out, "event: end\ndata: {said}\n\n")
    }

    fn write_id(&self, out: &mut Vec<u8>) -> io::Result<()> {
        writeln!(out, "id: {}:{}", self.register, self.through)
    }
}
