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

pub use generated::*;

/// The service's full name.
pub const SERVICE: &str = "go.micro.srv.consignment.ShippingService";

/// The service's later name in the Go services that shippy replaces; the same service answers under it.
pub const SERVICE_ALIAS: &str = "consignment.ShippingService";

/// The metadata key that names a register: its id in every reply; in a request, the id or the beginning of the id
/// of the only register that may answer.
pub const REGISTER_KEY: &str = "shippy-register";

/// `ListChunk` of the contract, with each consignment still encoded.
///
/// On the wire a repeated message and a repeated byte string are the same (protobuf encoding, length-delimited
/// records), so a listed record goes out as the store keeps it and a client decodes only what it looks at.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListChunk {
    /// Encoded [`Consignment`]s, ascending by sequence number.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub consignments: Vec<Bytes>,
    /// How far the register has been searched.
    #[prost(uint64, tag = "2")]
    pub through_sequence: u64,
}
