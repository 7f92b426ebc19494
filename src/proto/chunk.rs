//! Chunks of a list, whose consignments stay encoded.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::{
    DecodeError, Message,
    encoding::{self, DecodeContext, WireType},
};

/// The numbers of the fields of `ListChunk`.
const CONSIGNMENTS: u32 = 1;
const THROUGH_SEQUENCE: u32 = 2;

/// `ListChunk` of the contract, with each consignment still encoded.
///
/// A listed record goes out as the store keeps it, and a client decodes only what it looks at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListChunk {
    /// In the order of the list.
    pub consignments: EncodedConsignments,
    /// How far the register has been searched.
    pub through_sequence: u64,
}

/// Encoded [`Consignment`](super::Consignment)s, one behind the other as a message has them: each after the key of its
/// field and its length (protobuf encoding, length-delimited records).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncodedConsignments {
    fields: Bytes,
    count: usize,
}

impl EncodedConsignments {
    /// The `count` that `fields` has, each begun by [`EncodedConsignments::begin`].
    pub(crate) fn of(fields: Bytes, count: usize) -> Self {
        Self { fields, count }
    }

    /// Puts into `fields` what stands before a consignment of `length` bytes.
    pub(crate) fn begin(length: usize, fields: &mut impl BufMut) {
        encoding::encode_key(CONSIGNMENTS, WireType::LengthDelimited, fields);
        encoding::encode_varint(length as u64, fields);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each by itself.
    pub fn iter(&self) -> Iter<'_> {
        Iter(&self.fields)
    }

    /// Adds those of `more`.
    fn append(&mut self, more: Self) {
        self.count += more.count;
        if self.fields.is_empty() {
            self.fields = more.fields;
        } else {
            self.fields = [&self.fields[..], &more.fields].concat().into();
        }
    }
}

/// The length of the consignment that `fields` begin with, and takes away what stands before it.
fn begun(fields: &mut impl Buf) -> Option<usize> {
    encoding::decode_varint(fields).ok()?;
    encoding::decode_varint(fields).ok()?.try_into().ok()
}

impl<'a> IntoIterator for &'a EncodedConsignments {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for EncodedConsignments {
    type Item = Bytes;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter(self.fields)
    }
}

/// Encoded consignments, each by itself.
#[derive(Debug, Clone)]
pub struct Iter<'a>(&'a [u8]);

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = begun(&mut self.0)?;
        self.0.split_off(..length)
    }
}

/// The same, each sharing the memory of all.
#[derive(Debug)]
pub struct IntoIter(Bytes);

impl Iterator for IntoIter {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let length = begun(&mut self.0)?;
        Some(self.0.split_to(length))
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for EncodedConsignments {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        let (mut fields, mut count) = (BytesMut::new(), 0);
        for one in all {
            Self::begin(one.as_ref().len(), &mut fields);
            fields.extend_from_slice(one.as_ref());
            count += 1;
        }
        Self::of(fields.freeze(), count)
    }
}

impl Message for ListChunk {
    /// The short field comes first, so that a buffer grows once.
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        if self.through_sequence != 0 {
            encoding::uint64::encode(THROUGH_SEQUENCE, &self.through_sequence, buffer);
        }
        buffer.put_slice(&self.consignments.fields);
    }

    /// Consignments that follow one another stay where they are.
    fn merge(&mut self, mut buffer: impl Buf) -> Result<(), DecodeError> {
        let whole = buffer.copy_to_bytes(buffer.remaining());
        let mut rest = &whole[..];
        let (mut runs, mut count) = (Vec::<Range<usize>>::new(), 0);
        while !rest.is_empty() {
            let start = whole.len() - rest.len();
            let (tag, wire_type) = encoding::decode_key(&mut rest)?;
            let context = DecodeContext::default();
            if tag != CONSIGNMENTS {
                self.merge_field(tag, wire_type, &mut rest, context)?;
                continue;
            }
            encoding::check_wire_type(WireType::LengthDelimited, wire_type)?;
            encoding::skip_field(wire_type, tag, &mut rest, context)?;
            count += 1;
            let end = whole.len() - rest.len();
            match runs.last_mut() {
                Some(run) if run.end == start => run.end = end,
                _ => runs.push(start..end),
            }
        }
        let fields = match &runs[..] {
            [run] => whole.slice(run.clone()),
            runs => (runs.iter().flat_map(|run| &whole[run.clone()]).copied()).collect(),
        };
        self.consignments
            .append(EncodedConsignments::of(fields, count));
        Ok(())
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            CONSIGNMENTS => {
                let mut one = Bytes::new();
                encoding::bytes::merge(wire_type, &mut one, buffer, context)?;
                self.consignments.append([one].into_iter().collect());
                Ok(())
            }
            THROUGH_SEQUENCE => {
                let through = &mut self.through_sequence;
                encoding::uint64::merge(wire_type, through, buffer, context)
            }
            _ => encoding::skip_field(wire_type, tag, buffer, context),
        }
    }

    fn encoded_len(&self) -> usize {
        let through = match &self.through_sequence {
            0 => 0,
            through => encoding::uint64::encoded_len(THROUGH_SEQUENCE, through),
        };
        self.consignments.fields.len() + through
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    /// The same with what is derived.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Derived {
        #[prost(bytes = "bytes", repeated, tag = "1")]
        consignments: Vec<Bytes>,
        #[prost(uint64, tag = "2")]
        through_sequence: u64,
    }

    /// What `chunk` says in each way that it can be asked.
    fn as_derived(chunk: &ListChunk) -> Derived {
        let consignments: Vec<_> = chunk.consignments.clone().into_iter().collect();
        assert!(chunk.consignments.iter().eq(&consignments));
        assert_eq!(chunk.consignments.len(), consignments.len());
        assert_eq!(chunk.consignments.is_empty(), consignments.is_empty());
        Derived {
            consignments,
            through_sequence: chunk.through_sequence,
        }
    }

    proptest! {
        #[test]
        fn a_chunk_is_encoded_and_decoded_as_if_that_were_derived(
            parts in vec((
                vec(vec(any::<u8>(), 0..300).prop_map(Bytes::from), 0..4),
                prop_oneof![Just(0), any::<u64>()],
                prop_oneof![Just(&b""[..]), Just(&b"\x1a\x01x"[..])],
            ), 0..4),
            cut in 0_usize..40,
        ) {
            let mut encoded = Vec::new();
            let mut merged = ListChunk::default();
            for (consignments, through_sequence, unknown) in parts {
                let chunk = ListChunk {
                    consignments: consignments.iter().collect(),
                    through_sequence,
                };
                let derived = Derived { consignments, through_sequence };
                prop_assert_eq!(&Derived::decode(&chunk.encode_to_vec()[..]), &Ok(derived.clone()));
                prop_assert_eq!(chunk.encode_to_vec().len(), chunk.encoded_len());
                merged.merge(&derived.encode_to_vec()[..]).unwrap();
                encoded.extend(derived.encode_to_vec());
                encoded.extend(unknown);
            }
            prop_assert_eq!(as_derived(&merged), Derived::decode(&encoded[..]).unwrap());
            // Whatever stands between them, and wherever they end.
            encoded.truncate(encoded.len().saturating_sub(cut));
            let (chunk, derived) = (ListChunk::decode(&encoded[..]), Derived::decode(&encoded[..]));
            prop_assert_eq!(chunk.is_ok(), derived.is_ok());
            if let (Ok(chunk), Ok(derived)) = (chunk, derived) {
                prop_assert_eq!(as_derived(&chunk), derived);
            }
        }

        /// Keys and lengths longer than they need to be, groups, wrong types, and what is cut off.
        #[test]
        fn whatever_comes_is_taken_and_refused_as_if_that_were_derived(
            bytes in vec(select(&[0x0a, 0x8a, 0x80, 0x00, 0x10, 0x90, 0x08, 0x12, 0x1b, 0x1c, 1, 2, 3, 0xff]), 0..16),
        ) {
            let (chunk, derived) = (ListChunk::decode(&bytes[..]), Derived::decode(&bytes[..]));
            prop_assert_eq!(chunk.ok().as_ref().map(as_derived), derived.ok());
            let (chunk, derived) = (
                ListChunk::decode_length_delimited(&bytes[..]),
                Derived::decode_length_delimited(&bytes[..]),
            );
            prop_assert_eq!(chunk.ok().as_ref().map(as_derived), derived.ok());
        }
    }
}
