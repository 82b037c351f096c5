//! Decompressing the chunks (tiles and strips) of a TIFF.
//!
//! A [`Decoder`] fills a buffer of known size, so that a chunk which claims more than its share cannot grow memory, and
//! a caller that needs only the upper rows of a chunk pays only for them. It knows no samples: byte order and predictors
//! are `read`'s. Compressing is `encode`'s. Chunks that are pictures (JPEG, WebP, LERC, fax) are [`picture`]'s.

mod fax;
mod guard;
mod jpeg;
mod lerc;
mod lzma;
mod lzw;
mod packbits;
pub mod picture;
mod webp;
mod zstd;

use flate2::{Decompress, FlushDecompress};

/// Names how a chunk is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Lempel–Ziv–Welch, as of TIFF 6.0 or as older writers did it.
    Lzw,
    /// Deflate with a zlib header.
    Deflate,
    /// Zstandard.
    Zstd,
    /// Runs of bytes.
    PackBits,
    /// LZMA in XZ streams.
    Lzma,
    /// CCITT group 3 fax, one-dimensional.
    Fax3,
    /// CCITT group 4 fax.
    Fax4,
    /// JPEG, each chunk a stream of its own.
    Jpeg,
    /// WebP, each chunk a file of its own.
    WebP,
    /// LERC, each chunk a blob of its own.
    Lerc,
}

impl Compression {
    /// Returns what a value of tag 259 means, or `None` where it cannot be read.
    #[must_use]
    pub const fn from_tag(value: u64) -> Option<Self> {
        match value {
            1 => Some(Self::None),
            3 => Some(Self::Fax3),
            4 => Some(Self::Fax4),
            5 => Some(Self::Lzw),
            7 => Some(Self::Jpeg),
            8 | 32946 => Some(Self::Deflate),
            32773 => Some(Self::PackBits),
            34887 => Some(Self::Lerc),
            34925 => Some(Self::Lzma),
            50000 => Some(Self::Zstd),
            50001 => Some(Self::WebP),
            _ => None,
        }
    }

    /// Returns the name of a value of tag 259, for people.
    #[must_use]
    pub const fn name_of_tag(value: u64) -> &'static str {
        match value {
            1 => "none",
            2 => "CCITT modified Huffman",
            3 => "CCITT group 3 fax",
            4 => "CCITT group 4 fax",
            5 => "LZW",
            6 => "old-style JPEG",
            7 => "JPEG",
            8 | 32946 => "deflate",
            32766 => "NeXT",
            32773 => "PackBits",
            32809 => "ThunderScan",
            32908 => "Pixar film",
            32909 => "Pixar log",
            34661 => "JBIG",
            34676 | 34677 => "SGI log",
            33003 | 33004 | 33005 | 34712 => "JPEG 2000",
            34887 => "LERC",
            34925 => "LZMA",
            50000 => "Zstandard",
            50001 => "WebP",
            50002 | 52546 => "JPEG XL",
            _ => "unknown",
        }
    }

    /// Returns the value of tag 259, the first where there are several.
    #[must_use]
    pub const fn tag(self) -> u64 {
        match self {
            Self::None => 1,
            Self::Fax3 => 3,
            Self::Fax4 => 4,
            Self::Lzw => 5,
            Self::Jpeg => 7,
            Self::Deflate => 8,
            Self::PackBits => 32773,
            Self::Lerc => 34887,
            Self::Lzma => 34925,
            Self::Zstd => 50000,
            Self::WebP => 50001,
        }
    }

    /// Tells whether the predictor tag counts: the others ignore it, as libtiff does.
    #[must_use]
    pub const fn has_predictor(self) -> bool {
        matches!(self, Self::Lzw | Self::Deflate | Self::Zstd | Self::Lzma)
    }

    /// Tells whether each chunk is a picture that knows its own size: see [`picture`].
    #[must_use]
    pub const fn is_picture(self) -> bool {
        matches!(
            self,
            Self::Fax3 | Self::Fax4 | Self::Jpeg | Self::WebP | Self::Lerc
        )
    }
}

/// Says why a chunk could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not what the compression allows.
    #[error("its {codec} data is damaged")]
    Damaged {
        /// The compression.
        codec: &'static str,
        /// What the codec says, where it says anything.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The data ends too early.
    #[error("its {codec} data ends after {got} of {wanted} bytes")]
    Short {
        /// The compression.
        codec: &'static str,
        /// Bytes decoded.
        got: usize,
        /// Bytes asked for.
        wanted: usize,
    },
    /// A picture of another size than its chunk.
    #[error(
        "it holds a {codec} picture of {cols} × {rows} cells with {samples} bands, not {wanted_cols} × {wanted_rows} with {wanted_samples}"
    )]
    #[expect(missing_docs, reason = "the fields are named in the message")]
    Shape {
        codec: &'static str,
        cols: u32,
        rows: u32,
        samples: u32,
        wanted_cols: u32,
        wanted_rows: u32,
        wanted_samples: u16,
    },
    /// A picture of samples that are no bytes.
    #[error(
        "its {codec} picture has samples of {bits} bit, which cannot be read; convert it with 'gdal_translate -co COMPRESS=DEFLATE IN.tif OUT.tif'"
    )]
    Depth {
        /// The compression.
        codec: &'static str,
        /// Bits of a sample.
        bits: u8,
    },
}

impl Error {
    fn damaged<E: std::error::Error + Send + Sync + 'static>(
        codec: &'static str,
        source: E,
    ) -> Self {
        Self::Damaged {
            codec,
            source: Some(Box::new(source)),
        }
    }
}

/// Decompresses chunks one after the other, keeping its tables.
#[derive(Default)]
pub struct Decoder {
    inflate: Option<Decompress>,
    lzw: lzw::Lzw,
    zstd: zstd::Zstd,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Decoder {
    /// Fills `out` with the first bytes that `input` holds; what comes after them is not looked at.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Short`]; `out` then holds anything.
    pub fn decode(
        &mut self,
        compression: Compression,
        input: &[u8],
        out: &mut [u8],
    ) -> Result<(), Error> {
        let (codec, got) = match compression {
            Compression::None => ("uncompressed", copy(input, out)),
            Compression::Deflate => ("deflate", self.inflate(input, out)?),
            Compression::Lzw => ("LZW", self.lzw.decode(input, out)?),
            Compression::PackBits => ("PackBits", packbits::decode(input, out)),
            Compression::Zstd => ("Zstandard", self.zstd.decode(input, out)?),
            Compression::Lzma => ("LZMA", lzma::decode(input, out)?),
            // Only with their shape; `read` never asks for them here.
            Compression::Fax3
            | Compression::Fax4
            | Compression::Jpeg
            | Compression::WebP
            | Compression::Lerc => ("picture", 0),
        };
        if got < out.len() {
            return Err(Error::Short {
                codec,
                got,
                wanted: out.len(),
            });
        }
        Ok(())
    }

    fn inflate(&mut self, input: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let inflate = self.inflate.get_or_insert_with(|| Decompress::new(true));
        inflate.reset(true);
        inflate
            .decompress(input, out, FlushDecompress::Finish)
            .map_err(|source| Error::damaged("deflate", source))?;
        Ok(usize::try_from(inflate.total_out()).unwrap_or(0))
    }
}

fn copy(input: &[u8], out: &mut [u8]) -> usize {
    let n = input.len().min(out.len());
    if let (Some(to), Some(from)) = (out.get_mut(..n), input.get(..n)) {
        to.copy_from_slice(from);
    }
    n
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn check(compression: Compression, packed: &[u8], plain: &[u8]) {
        let mut decoder = Decoder::default();
        for len in [plain.len(), plain.len() / 2, 1, 0] {
            let mut out = vec![0xAA; len];
            decoder.decode(compression, packed, &mut out).unwrap();
            assert_eq!(out, plain[..len], "{compression:?}, first {len} bytes");
        }
        let mut out = vec![0; plain.len() + 1];
        let error = decoder.decode(compression, packed, &mut out).unwrap_err();
        assert!(
            matches!(error, Error::Short { got, .. } if got == plain.len()),
            "{compression:?}: {error:?}"
        );
        let mut out = vec![0; plain.len()];
        for cut in 0..packed.len() / 2 {
            decoder
                .decode(compression, &packed[..cut], &mut out)
                .unwrap_err();
        }
    }

    fn plain() -> Vec<u8> {
        (0..5000u32).map(|i| (i * i / 97 % 251) as u8).collect()
    }

    #[test]
    fn a_prefix_of_a_deflate_chunk_costs_no_more_than_itself() {
        let mut packer =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(&plain()).unwrap();
        check(Compression::Deflate, &packer.finish().unwrap(), &plain());
    }

    #[test]
    fn a_prefix_of_an_lzw_chunk_of_either_style_is_read() {
        use weezl::BitOrder;
        let mut new = weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8);
        check(Compression::Lzw, &new.encode(&plain()).unwrap(), &plain());
        // Before TIFF 6.0 writers put bits the other way round and switched sizes one code later, as GIF does.
        let mut old = weezl::encode::Encoder::new(BitOrder::Lsb, 8);
        check(Compression::Lzw, &old.encode(&plain()).unwrap(), &plain());
    }

    #[test]
    fn a_prefix_of_a_zstandard_chunk_is_read() {
        use structured_zstd::encoding::{CompressionLevel, compress_to_vec};
        let packed = compress_to_vec(&plain()[..], CompressionLevel::Fastest);
        check(Compression::Zstd, &packed, &plain());
    }

    #[test]
    fn packbits_reads_apples_example() {
        // Apple technical note TN1023, "Understanding PackBits".
        let packed = [
            0xFE, 0xAA, 0x02, 0x80, 0x00, 0x2A, 0xFD, 0xAA, 0x03, 0x80, 0x00, 0x2A, 0x22, 0xF7,
            0xAA,
        ];
        let plain = [
            0xAA, 0xAA, 0xAA, 0x80, 0x00, 0x2A, 0xAA, 0xAA, 0xAA, 0xAA, 0x80, 0x00, 0x2A, 0x22,
            0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA,
        ];
        check(Compression::PackBits, &packed, &plain);
    }
}
