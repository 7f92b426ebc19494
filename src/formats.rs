//! How consignments are written down: the texts that people and programs give, and those that they get.

pub mod read;
pub mod write;
