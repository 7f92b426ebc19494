//! How messages are put into buffers.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::BufferSettings;
use tonic_prost::{ProstDecoder, ProstEncoder};

/// What a call's buffers begin with, in bytes, one for what it is sent and one for what it answers: a usual consignment
/// fits, twice over where it is read. It is within what glibc keeps at hand for each thread (1,032 bytes). tonic's own
/// 8 KiB are not, and with two of them for each create a quarter of the time of the thread that serves creates went into
/// allocating.
const BUFFER_BYTES: usize = 1024;
/// How much of a stream is gathered before it is handed on, in bytes, as tonic has it by itself.
const YIELD_BYTES: usize = 32 * 1024;

/// tonic's codec for protobuf, but for the size of the buffers.
#[derive(Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(buffers())
    }
}

fn buffers() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
}
