//! The compressors of a tile, each with its state kept from one tile to the next.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use structured_zstd::encoding::{CompressionLevel, FrameCompressor};
use weezl::BitOrder;

use super::{Error, deflate::deflate};
use crate::spec::Compression;

/// Zstandard's level, as C zstd counts. Level 3 takes 1.3 to 6 times as long for 0.6 to 2.7 % fewer bytes (ARCHITECTURE.md, Rasters).
const ZSTD_LEVEL: i32 = 1;

/// Compresses one tile after another; equal bytes give equal bytes, whatever came before.
pub struct Compressor {
    state: State,
    /// Compressed bytes, kept so that a tile costs one allocation of its exact size.
    out: Vec<u8>,
}

enum State {
    None,
    Deflate,
    Lzw(Box<weezl::encode::Encoder>),
    /// The compressor is not `Send` and lives in a thread-local.
    Zstd,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.state {
            State::None => "Compressor::None",
            State::Deflate => "Compressor::Deflate",
            State::Lzw(_) => "Compressor::Lzw",
            State::Zstd => "Compressor::Zstd",
        })
    }
}

impl Compressor {
    /// Makes a compressor.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        let state = match compression {
            Compression::None => State::None,
            Compression::Deflate => State::Deflate,
            Compression::Lzw => State::Lzw(Box::new(
                weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8),
            )),
            Compression::Zstd => State::Zstd,
        };
        Self {
            state,
            out: Vec::new(),
        }
    }

    /// Compresses the bytes of a tile.
    ///
    /// # Errors
    /// When the compressor fails.
    pub fn compress(&mut self, raw: &[u8]) -> Result<Vec<u8>, Error> {
        self.out.clear();
        match &mut self.state {
            State::None => return Ok(raw.to_vec()),
            State::Deflate => deflate(raw, &mut self.out)?,
            State::Lzw(state) => lzw(state, raw, &mut self.out)?,
            State::Zstd => zstd(raw, &mut self.out)?,
        }
        Ok(self.out.clone())
    }
}

fn lzw(state: &mut weezl::encode::Encoder, raw: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    state.reset();
    let result = state.into_vec(out).encode_all(raw);
    result
        .status
        .map(drop)
        .map_err(|source| Error::Lzw { source })
}

thread_local! {
    static ZSTD: RefCell<Option<Box<FrameCompressor>>> = const { RefCell::new(None) };
}

/// The compressor is taken out of its place while it works, so that one that panicked is dropped there and
/// never used again.
fn zstd(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let kept = ZSTD.with(|place| place.borrow_mut().take());
    let mut compressor = kept.unwrap_or_else(|| {
        Box::new(FrameCompressor::new(CompressionLevel::from_level(
            ZSTD_LEVEL,
        )))
    });
    let work = AssertUnwindSafe(|| {
        compressor.compress_independent_frame_into(raw, out);
        compressor
    });
    let compressor = catch_unwind(work).map_err(|_| Error::Zstd)?;
    ZSTD.with(|place| *place.borrow_mut() = Some(compressor));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Noise in the first half, a ramp in the second.
    fn bytes(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        (0..len)
            .map(|at| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if at < len / 2 {
                    state.to_be_bytes()[0]
                } else {
                    (at / 7 % 256) as u8
                }
            })
            .collect()
    }

    fn check(compression: Compression, decode: impl Fn(&[u8]) -> Vec<u8>) {
        let mut compressor = Compressor::new(compression);
        for len in [1, 2, 1000, 600_000] {
            let raw = bytes(len);
            let first = compressor.compress(&raw).unwrap();
            assert_eq!(decode(&first), raw, "{compression:?}, {len} bytes");
            compressor.compress(&bytes(77)).unwrap();
            assert_eq!(
                compressor.compress(&raw).unwrap(),
                first,
                "{compression:?}: what came before must not matter"
            );
        }
    }

    #[test]
    fn every_compression_gives_back_what_went_in() {
        check(Compression::None, <[u8]>::to_vec);
        check(Compression::Deflate, |coded| {
            let mut raw = Vec::new();
            let mut decoder = flate2::read::ZlibDecoder::new(coded);
            decoder.read_to_end(&mut raw).unwrap();
            raw
        });
        check(Compression::Lzw, |coded| {
            // With its end code, which decoders that know the length do without.
            let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
            let (mut raw, mut at) = (Vec::new(), 0);
            loop {
                let mut part = [0; 4096];
                let result = decoder.decode_bytes(&coded[at..], &mut part);
                at += result.consumed_in;
                raw.extend(&part[..result.consumed_out]);
                match result.status.unwrap() {
                    weezl::LzwStatus::Ok => {}
                    weezl::LzwStatus::Done => return raw,
                    weezl::LzwStatus::NoProgress => panic!("no end code"),
                }
            }
        });
        check(Compression::Zstd, |coded| {
            let mut raw = Vec::new();
            structured_zstd::decoding::StreamingDecoder::new(coded)
                .read_to_end(&mut raw)
                .unwrap();
            raw
        });
    }
}
