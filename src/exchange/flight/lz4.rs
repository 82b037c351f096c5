//! Bodies made smaller for the way between two machines.
//!
//! What is stored is what goes over the wire, so compression is a matter of the link: a reader on another host
//! asks for it with a header, and then large bodies come as one LZ4 block each, whose length before is said in the message's
//! metadata. The checksum is that of the bytes before. Arrow's own compression of buffers would change the
//! messages, so that they had to be encoded anew for each reader; and its decoder takes the lengths that a peer
//! claims on trust.

use arrow_flight::FlightData;
use bytes::Bytes;
use futures::StreamExt;
use tonic::Status;
use tonic::codegen::http::HeaderMap;

use super::server::DataStream;
use crate::exchange::decode::{Corrupt, within};
use crate::exchange::frame::{FRAME_BYTES_MAX, Note, u64_of};
use crate::wire;

/// The header with which a reader asks for compressed bodies, and its value.
pub(super) const ACCEPT: &str = "swath-accept-body";
pub(super) const LZ4: &str = "lz4";

/// Smaller bodies are sent as they are.
const BODY_BYTES_MIN: usize = 1 << 10;

/// Bodies compressed at once for one stream.
const AHEAD: usize = 2;

/// One byte of LZ4 stands for no more bytes than this.
const RATIO_MAX: u64 = 255;

pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).is_some_and(|value| value == LZ4)
}

/// Compresses the bodies of a stream, where that makes them smaller.
pub(super) fn compressed(messages: DataStream) -> DataStream {
    messages
        .map(|message| async move {
            match message {
                Ok(message) if message.data_body.len() >= BODY_BYTES_MIN => {
                    tokio::task::spawn_blocking(|| compress(message))
                        .await
                        .map_err(|_| Status::internal("a body could not be compressed"))?
                }
                other => other,
            }
        })
        .buffered(AHEAD)
        .boxed()
}

fn compress(message: FlightData) -> Result<FlightData, Status> {
    let body = lz4_flex::block::compress(&message.data_body);
    let saved = message.data_body.len().saturating_sub(body.len());
    if saved < message.data_body.len() / 8 {
        return Ok(message);
    }
    let note = Note::Lz4 {
        body_bytes: u64_of(message.data_body.len()),
    };
    Ok(FlightData {
        app_metadata: wire::encode(&note).map_err(|error| Status::internal(error.to_string()))?,
        data_body: body.into(),
        ..message
    })
}

/// Returns the body that was compressed. Nothing is allocated for a length that the bytes cannot give.
pub(super) fn decompress(body: &[u8], body_bytes: u64) -> Result<Bytes, Corrupt> {
    within(body_bytes, FRAME_BYTES_MAX)?;
    within(body_bytes, u64_of(body.len()).saturating_mul(RATIO_MAX))?;
    let length = usize::try_from(body_bytes).map_err(|_| Corrupt::Compression)?;
    let mut whole = vec![0; length];
    match lz4_flex::block::decompress_into(body, &mut whole) {
        Ok(written) if written == length => Ok(whole.into()),
        _ => Err(Corrupt::Compression),
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngCore, SeedableRng};

    use super::*;

    /// "abcd" sixteen times: a token for four literals and a match, made by hand after the block format's page.
    #[test]
    fn a_block_of_lz4_is_the_bytes_that_it_stands_for() {
        // Four literals; then a match of 15 + 37 + 4 = 56 bytes, four back; then four literals to end with.
        let block = [b"\x4fabcd\x04\x00\x25".as_slice(), b"\x40abcd"].concat();
        let whole = decompress(&block, 64).unwrap();
        assert_eq!(whole, b"abcd".repeat(16));
        for claimed in [0, 63, 65, 4096, u64::MAX] {
            assert!(decompress(&block, claimed).is_err(), "{claimed}");
        }
    }

    #[test]
    fn what_does_not_get_smaller_is_sent_as_it_is() {
        let mut noise = vec![0; 100_000];
        rand::rngs::StdRng::seed_from_u64(1).fill_bytes(&mut noise);
        for (body, smaller) in [(noise, false), (vec![7; 100_000], true)] {
            let message = FlightData::new().with_data_body(body.clone());
            let sent = compress(message).unwrap();
            assert_eq!(sent.data_body.len() < 10_000, smaller);
            assert_eq!(sent.app_metadata.is_empty(), !smaller);
            if smaller {
                assert_eq!(decompress(&sent.data_body, 100_000).unwrap(), body);
            }
        }
    }
}
