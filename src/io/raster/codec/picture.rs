//! Chunks that are pictures of their own: they know their columns, rows and bands, which must be those of the chunk.

use super::{Compression, Error, fax, jpeg, lerc, webp};
use crate::grid::DataType;

/// What a chunk must hold.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// Columns of the chunk.
    pub cols: u32,
    /// Its upper rows that are wanted.
    pub rows: u32,
    /// Rows of a whole chunk: no picture may be higher.
    pub rows_max: u32,
    /// Samples of a cell.
    pub samples: u16,
    /// Type of a sample.
    pub dtype: DataType,
    /// Tables that all JPEG chunks of the image share (tag 347).
    pub tables: &'a [u8],
    /// Whether JPEG's luma and chroma are to become red, green and blue.
    pub to_rgb: bool,
    /// How LERC chunks are wrapped (tag 50674).
    pub wrapped: LercWrap,
}

/// What a LERC chunk is compressed with once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LercWrap {
    /// Nothing.
    None,
    /// Deflate.
    Deflate,
    /// Zstandard.
    Zstd,
}

impl Shape<'_> {
    /// Checks that a picture is as wide as the chunk, high enough, and of as many bands.
    pub(super) fn check(&self, codec: &'static str, picture: (u32, u32, u32)) -> Result<(), Error> {
        let (cols, rows, samples) = picture;
        let fits = cols == self.cols
            && (self.rows..=self.rows_max).contains(&rows)
            && samples == u32::from(self.samples);
        if fits {
            return Ok(());
        }
        Err(Error::Shape {
            codec,
            cols,
            rows,
            samples,
            wanted_cols: self.cols,
            wanted_rows: self.rows,
            wanted_samples: self.samples,
        })
    }
}

impl super::Decoder {
    /// Fills `out` with the rows that are wanted of a chunk that is a picture: samples in little-endian order, those of a
    /// cell together; of fax pictures, bits.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Damaged`] and [`Error::Short`]; `out` then holds anything.
    pub fn decode_picture(
        &mut self,
        compression: Compression,
        input: &[u8],
        shape: &Shape<'_>,
        out: &mut [u8],
    ) -> Result<(), Error> {
        match compression {
            Compression::Fax3 => fax::decode_group_3(input, shape.cols, out),
            Compression::Fax4 => fax::decode_group_4(input, shape.cols, out),
            Compression::Jpeg => jpeg::decode(input, shape, out),
            Compression::WebP => webp::decode(input, shape, out),
            Compression::Lerc => lerc::decode(self, input, shape, out),
            Compression::None
            | Compression::Lzw
            | Compression::Deflate
            | Compression::Zstd
            | Compression::Lzma
            | Compression::PackBits => self.decode(compression, input, out),
        }
    }
}

/// Copies the upper rows of a decoded picture.
pub(super) fn copy_rows(codec: &'static str, pixels: &[u8], out: &mut [u8]) -> Result<(), Error> {
    let wanted = out.len();
    let pixels = pixels.get(..wanted).ok_or(Error::Short {
        codec,
        got: pixels.len(),
        wanted,
    })?;
    out.copy_from_slice(pixels);
    Ok(())
}
