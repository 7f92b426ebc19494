//! The wire types and the service, generated from `proto/consignment.proto`.

use bytes::{Buf, BufMut, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{self, DecodeContext, WireType},
};

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

mod codec;

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

/// `CreateChunk` of the contract, with each consignment still encoded, as in [`ListChunk`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateChunk {
    /// Encoded [`Consignment`]s.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub consignments: Vec<Bytes>,
}

/// `ListChunk` of the contract, with each consignment still encoded.
///
/// On the wire a repeated message and a repeated byte string are the same (protobuf encoding, length-delimited
/// records), so a listed record goes out as the store keeps it and a client decodes only what it looks at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListChunk {
    /// Encoded [`Consignment`]s, in the order of the list.
    pub consignments: Vec<Bytes>,
    /// How far the register has been searched.
    pub through_sequence: u64,
}

/// What is derived elsewhere, but for one thing: a chunk is encoded beside its buffer and put there in one piece. Put
/// there record by record, it makes a buffer grow, and be copied, several times.
impl Message for ListChunk {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        let mut whole = Vec::with_capacity(self.encoded_len());
        encoding::bytes::encode_repeated(1, &self.consignments, &mut whole);
        if self.through_sequence != 0 {
            encoding::uint64::encode(2, &self.through_sequence, &mut whole);
        }
        buffer.put_slice(&whole);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => {
                let all = &mut self.consignments;
                encoding::bytes::merge_repeated(wire_type, all, buffer, context)
            }
            2 => {
                let through = &mut self.through_sequence;
                encoding::uint64::merge(wire_type, through, buffer, context)
            }
            _ => encoding::skip_field(wire_type, tag, buffer, context),
        }
    }

    fn encoded_len(&self) -> usize {
        let through = match &self.through_sequence {
            0 => 0,
            through => encoding::uint64::encoded_len(2, through),
        };
        encoding::bytes::encoded_len_repeated(1, &self.consignments) + through
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// The same with what is derived.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Derived {
        #[prost(bytes = "bytes", repeated, tag = "1")]
        consignments: Vec<Bytes>,
        #[prost(uint64, tag = "2")]
        through_sequence: u64,
    }

    proptest! {
        #[test]
        fn a_chunk_is_encoded_and_decoded_as_if_that_were_derived(
            consignments in vec(vec(any::<u8>(), 0..300).prop_map(Bytes::from), 0..5),
            through_sequence in prop_oneof![Just(0), any::<u64>()],
            unknown in prop_oneof![Just(&b""[..]), Just(&b"\x1a\x01x"[..])],
        ) {
            let chunk = ListChunk { consignments: consignments.clone(), through_sequence };
            let derived = Derived { consignments, through_sequence };
            let encoded = chunk.encode_to_vec();
            prop_assert_eq!(&encoded, &derived.encode_to_vec());
            prop_assert_eq!(encoded.len(), chunk.encoded_len());
            let encoded = [&encoded[..], unknown].concat();
            prop_assert_eq!(ListChunk::decode(&encoded[..]), Ok(chunk));
        }
    }
}
