//! The wire types and the service, generated from `proto/consignment.proto`.

use bytes::Bytes;

#[allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    unreachable_pub,
    reason = "generated code; its contract is in the proto file"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/go.micro.srv.consignment.rs"));
    include!(concat!(
        env!("OUT_DIR"),
        "/go.micro.srv.consignment.serde.rs"
    ));
}

mod chunk;
mod codec;

pub use chunk::{EncodedConsignments, ListChunk};
pub use codec::Codec;
pub use generated::*;

/// The contract as a `google.protobuf.FileDescriptorSet`, its comments and what it imports included: what reflection shows.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/consignment.descriptors"));

/// The service's full name.
pub const SERVICE: &str = "go.micro.srv.consignment.ShippingService";

/// The service's later name in the Go services that shippy replaces; the same service answers under it.
pub const SERVICE_ALIAS: &str = "consignment.ShippingService";

/// The metadata key that names a register: its id in every reply; in a request, the id or the beginning of the id
/// of the only register that may answer.
pub const REGISTER_KEY: &str = "shippy-register";

/// Where a sender ends a chunk of a stream, either way: with the record that reaches one of these.
pub const CHUNK_RECORDS: usize = 256;
/// The same, in bytes of encoded consignments.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// `CreateChunk` of the contract, with each consignment still encoded: on the wire a repeated message and a repeated byte
/// string are the same (protobuf encoding, length-delimited records).
#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateChunk {
    /// Encoded [`Consignment`]s.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub consignments: Vec<Bytes>,
}

/// `Response` of the contract, with each consignment of many still encoded, as in [`CreateChunk`]: all of a register, decoded,
/// take several times the memory.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Response {
    /// Whether `CreateConsignment` stored the consignment, which was not there before.
    #[prost(bool, tag = "1")]
    pub created: bool,
    /// What `CreateConsignment` was given, as it is stored.
    #[prost(message, optional, tag = "2")]
    pub consignment: Option<Consignment>,
    /// Encoded [`Consignment`]s: what `GetConsignments` found, oldest first.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub consignments: Vec<Bytes>,
}
