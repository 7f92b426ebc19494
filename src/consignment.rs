//! What a consignment may be: ids, limits, and when two are the same.

use bytes::Bytes;
use pbjson_types::Timestamp;
use prost::{Message as _, encoding, length_delimiter_len};
use uuid::Uuid;

use crate::proto::{Consignment, Container};

/// Longest `Consignment.id`, in bytes: a UUID, or a batch id with a position, with room to spare.
pub const MAX_ID_BYTES: usize = 64;
/// Longest of any other text, in bytes.
pub const MAX_TEXT_BYTES: usize = 4 * 1024;
/// Most containers of one consignment.
pub const MAX_CONTAINERS: usize = 1_000;
/// Largest consignment, in bytes of its encoding: many of them fit into the 4 MiB that gRPC peers accept in a message.
pub const MAX_ENCODED_BYTES: usize = 256 * 1024;

/// The contract's fields that only a server sets.
const CREATED_AT: u32 = 16;
const SEQUENCE: u32 = 17;
const CREATED_BY: u32 = 18;

/// One thing that is wrong with a consignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field in the contract's own names, like `containers[3].origin`; empty for the whole.
    pub field: String,
    /// What is wrong and what is allowed.
    pub description: String,
}

/// Everything that is wrong with `consignment`; empty when it can be stored. An empty id counts as good, as the
/// server replaces it.
#[must_use]
pub fn violations(consignment: &Consignment) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut report = |field: String, description: String| {
        found.push(Violation { field, description });
    };

    if let Some(problem) = id_problem(&consignment.id) {
        report("id".into(), problem);
    }
    if consignment.weight < 0 {
        report(
            "weight".into(),
            format!("is {} kg; it must not be below 0", consignment.weight),
        );
    }
    for (field, text) in [
        ("description", &consignment.description),
        ("vessel_id", &consignment.vessel_id),
    ] {
        if let Some(problem) = text_problem(text) {
            report(field.into(), problem);
        }
    }
    if consignment.containers.len() > MAX_CONTAINERS {
        let Violation { field, description } = too_many_containers(consignment.containers.len());
        report(field, description);
    }
    for (index, container) in consignment
        .containers
        .iter()
        .take(MAX_CONTAINERS)
        .enumerate()
    {
        for (field, text) in container_texts(container) {
            if let Some(problem) = text_problem(text) {
                report(format!("containers[{index}].{field}"), problem);
            }
        }
    }
    let mut encoded = consignment.encoded_len();
    if encoded > MAX_ENCODED_BYTES {
        // What only a server sets does not count.
        encoded = canonical(&mut consignment.clone()).len();
    }
    if encoded > MAX_ENCODED_BYTES {
        report(
            String::new(),
            format!("takes {encoded} bytes encoded; at most {MAX_ENCODED_BYTES} are allowed"),
        );
    }
    found
}

/// That there are `count` containers.
pub(crate) fn too_many_containers(count: usize) -> Violation {
    Violation {
        field: "containers".into(),
        description: format!("has {count} containers; at most {MAX_CONTAINERS} are allowed"),
    }
}

/// What is wrong with `id` as a consignment's id, if anything. An empty id counts as good.
#[must_use]
pub fn id_problem(id: &str) -> Option<String> {
    if id.len() > MAX_ID_BYTES {
        return Some(format!(
            "is {} bytes long; at most {MAX_ID_BYTES} are allowed",
            id.len()
        ));
    }
    id.chars()
        .find(|&char| !(char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-')))
        .map(|char| {
            format!("contains {char:?}; only A-Z, a-z, 0-9, \".\", \"_\" and \"-\" are allowed")
        })
}

fn text_problem(text: &str) -> Option<String> {
    (text.len() > MAX_TEXT_BYTES).then(|| {
        format!(
            "is {} bytes long; at most {MAX_TEXT_BYTES} are allowed",
            text.len()
        )
    })
}

fn container_texts(container: &Container) -> [(&'static str, &str); 4] {
    [
        ("id", &container.id),
        ("customer_id", &container.customer_id),
        ("origin", &container.origin),
        ("user_id", &container.user_id),
    ]
}

/// A new id for a consignment or a register: a UUIDv7 (RFC 9562 §5.7), so that ids grow with time and a unique index
/// over them grows at its right edge.
#[must_use]
pub fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// The encoding by which consignments are compared and kept: the fields that a client sets, in the order of their
/// numbers, without defaults. What only a server sets is removed from `consignment`, and what this version does not
/// know was left out on decoding, so a repeated consignment is the same however its sender encoded it, and what `list`
/// printed can be sent again.
#[must_use]
pub fn canonical(consignment: &mut Consignment) -> Bytes {
    clear_server_fields(consignment);
    consignment.encode_to_vec().into()
}

/// Removes what only a server sets.
pub fn clear_server_fields(consignment: &mut Consignment) {
    consignment.created_at = None;
    consignment.sequence = 0;
    consignment.created_by.clear();
}

/// Writes what the server says of one consignment after the other, field by field, as a list does this for each record.
#[derive(Debug, Default)]
pub struct ServerFields {
    /// When the last one was stored, and that encoded: what was committed together has one time.
    created_at: Option<i64>,
    encoded: Vec<u8>,
}

impl ServerFields {
    /// How many bytes [`ServerFields::write`] appends.
    pub fn length(&mut self, sequence: u64, created_at: i64, created_by: &str) -> usize {
        let sequence = match &sequence {
            0 => 0,
            sequence => encoding::uint64::encoded_len(SEQUENCE, sequence),
        };
        let created_by = match created_by.len() {
            0 => 0,
            length => encoding::key_len(CREATED_BY) + length_delimiter_len(length) + length,
        };
        self.time(created_at).len() + sequence + created_by
    }

    /// Appends to `body`, a canonical encoding, what the server says of the consignment: its sequence number, when it was
    /// stored, in microseconds since the Unix epoch, and by whom, empty where that is not known. Encoded messages that
    /// follow one another are merged on decoding (protobuf encoding, "last one wins"), so this is the encoding of the
    /// listed consignment, and the name stands at its end.
    pub fn write(&mut self, body: &mut Vec<u8>, sequence: u64, created_at: i64, created_by: &str) {
        body.extend_from_slice(self.time(created_at));
        if sequence > 0 {
            encoding::uint64::encode(SEQUENCE, &sequence, body);
        }
        if !created_by.is_empty() {
            encoding::encode_key(CREATED_BY, encoding::WireType::LengthDelimited, body);
            encoding::encode_varint(created_by.len() as u64, body);
            body.extend_from_slice(created_by.as_bytes());
        }
    }

    fn time(&mut self, created_at: i64) -> &[u8] {
        if self.created_at != Some(created_at) {
            self.created_at = Some(created_at);
            self.encoded.clear();
            encoding::message::encode(CREATED_AT, &timestamp(created_at), &mut self.encoded);
        }
        &self.encoded
    }
}

/// `time` in microseconds since the Unix epoch, rounded up, as what is stored is told apart no finer; at the ends of
/// what that can say, the end.
#[must_use]
pub fn micros(time: &Timestamp) -> i64 {
    let nanos = i64::from(time.nanos);
    let micros = nanos.div_euclid(1_000) + i64::from(nanos.rem_euclid(1_000) > 0);
    time.seconds
        .saturating_mul(1_000_000)
        .saturating_add(micros)
}

/// `micros` microseconds since the Unix epoch as the contract has it.
#[must_use]
pub fn timestamp(micros: i64) -> Timestamp {
    const MICROS: i64 = 1_000_000;
    Timestamp {
        seconds: micros.div_euclid(MICROS),
        nanos: i32::try_from(micros.rem_euclid(MICROS) * 1_000).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_only_a_server_sets_does_not_count_for_the_limit() {
        let container = Container {
            origin: "x".repeat(MAX_TEXT_BYTES),
            ..Container::default()
        };
        let mut consignment = Consignment {
            containers: vec![container; 63],
            ..Consignment::default()
        };
        let room = MAX_ENCODED_BYTES - consignment.encoded_len();
        consignment.description = "x".repeat(room - 3);
        assert_eq!(consignment.encoded_len(), MAX_ENCODED_BYTES);
        consignment.created_by = "crane".into();
        assert_eq!(violations(&consignment), []);
        consignment.weight = 1;
        assert_eq!(violations(&consignment).len(), 1);
    }

    proptest! {
        #[test]
        fn what_the_server_says_is_encoded_as_its_fields_are(
            description: String,
            said in proptest::collection::vec((
                prop_oneof![Just(0), any::<u64>()],
                prop_oneof![Just(0), Just(-1), Just(i64::MIN), any::<i64>()],
                prop_oneof![Just(String::new()), any::<String>()],
            ), 1..4),
        ) {
            let mut fields = ServerFields::default();
            for (sequence, created_at, created_by) in said {
                let description = description.clone();
                let mut consignment = Consignment { description, ..Consignment::default() };
                let mut listed = canonical(&mut consignment).to_vec();
                let length = listed.len() + fields.length(sequence, created_at, &created_by);
                fields.write(&mut listed, sequence, created_at, &created_by);
                consignment.sequence = sequence;
                consignment.created_at = Some(timestamp(created_at));
                consignment.created_by = created_by;
                prop_assert_eq!(listed.len(), length);
                prop_assert_eq!(listed, consignment.encode_to_vec());
            }
        }
    }
}
