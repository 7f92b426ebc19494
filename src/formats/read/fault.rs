//! What may be wrong with a record's text.

use serde_path_to_error::Segment;

use super::path::{self, Step};

/// What the JSON mapping says, with the path to where it says it.
pub(super) type Refusal = serde_path_to_error::Error<serde_json::Error>;

/// One thing that is wrong with a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where in the record's text, in bytes.
    pub(super) offset: usize,
    pub(super) path: Vec<Step>,
    pub(super) message: String,
}

impl Fault {
    /// A fault that lies in no field.
    pub(super) fn at(offset: usize, message: String) -> Vec<Self> {
        vec![Self {
            offset,
            path: Vec::new(),
            message,
        }]
    }
}

/// The path of `refusal` in the contract's names.
pub(super) fn steps(refusal: &Refusal) -> Vec<Step> {
    refusal
        .path()
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(path::contract_name(key))),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}
