//! LERC in a TIFF: a chunk is a LERC2 blob, plain or compressed once more.

use lerc_core::PixelData;
use lerc_reader::Decoded;

use super::guard::guarded;
use super::picture::{LercWrap, Shape, copy_rows};
use super::{Compression, Decoder, Error};

const CODEC: &str = "LERC";
/// What a blob may have beyond twice its samples: header, mask, ranges.
const SLACK_BYTES: usize = 64 << 10;

/// Decodes the rows that are wanted. Cells that the blob calls invalid are NaN in floats and 0 in integers, as in libtiff.
pub(super) fn decode(
    decoder: &mut Decoder,
    input: &[u8],
    shape: &Shape<'_>,
    out: &mut [u8],
) -> Result<(), Error> {
    let unwrapped: Vec<u8>;
    let blob = match shape.wrapped {
        LercWrap::None => input,
        LercWrap::Deflate => {
            unwrapped = unwrap(decoder, Compression::Deflate, input, shape)?;
            &unwrapped
        }
        LercWrap::Zstd => {
            unwrapped = unwrap(decoder, Compression::Zstd, input, shape)?;
            &unwrapped
        }
    };
    guarded(CODEC, || {
        let info = lerc_reader::inspect_first(blob).map_err(|e| Error::damaged(CODEC, e))?;
        shape.check(CODEC, (info.width, info.height, info.depth))?;
        let decoded = lerc_reader::decode_first(blob).map_err(|e| Error::damaged(CODEC, e))?;
        let bytes = samples(decoded, usize::from(shape.samples));
        if bytes.dtype != shape.dtype {
            return Err(Error::Damaged {
                codec: CODEC,
                source: None,
            });
        }
        copy_rows(CODEC, &bytes.bytes, out)
    })
}

/// Decompresses a blob, whose length nothing states.
fn unwrap(
    decoder: &mut Decoder,
    compression: Compression,
    input: &[u8],
    shape: &Shape<'_>,
) -> Result<Vec<u8>, Error> {
    let cells = (shape.cols as usize).saturating_mul(shape.rows_max as usize);
    let samples = cells.saturating_mul(usize::from(shape.samples) * shape.dtype.bytes());
    let mut blob = vec![0; samples.saturating_mul(2).saturating_add(SLACK_BYTES)];
    match decoder.decode(compression, input, &mut blob) {
        Ok(()) => Ok(blob),
        Err(Error::Short { got, .. }) if got > 0 => {
            blob.truncate(got);
            Ok(blob)
        }
        Err(error) => Err(error),
    }
}

/// Samples as bytes in little-endian order.
struct Bytes {
    dtype: crate::grid::DataType,
    bytes: Vec<u8>,
}

fn samples(decoded: Decoded, depth: usize) -> Bytes {
    use crate::grid::DataType as D;
    let mask = decoded.mask.as_deref();
    macro_rules! bytes {
        ($v:expr, $dtype:expr, $invalid:expr) => {{
            let mut samples = $v;
            if let Some(mask) = mask {
                for (cell, valid) in samples.chunks_mut(depth.max(1)).zip(mask) {
                    if *valid == 0 {
                        cell.fill($invalid);
                    }
                }
            }
            Bytes {
                dtype: $dtype,
                bytes: samples.iter().flat_map(|v| v.to_le_bytes()).collect(),
            }
        }};
    }
    match decoded.pixels {
        PixelData::I8(v) => bytes!(v, D::Int8, 0),
        PixelData::U8(v) => bytes!(v, D::UInt8, 0),
        PixelData::I16(v) => bytes!(v, D::Int16, 0),
        PixelData::U16(v) => bytes!(v, D::UInt16, 0),
        PixelData::I32(v) => bytes!(v, D::Int32, 0),
        PixelData::U32(v) => bytes!(v, D::UInt32, 0),
        PixelData::F32(v) => bytes!(v, D::Float32, f32::NAN),
        PixelData::F64(v) => bytes!(v, D::Float64, f64::NAN),
    }
}
