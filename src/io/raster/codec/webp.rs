//! WebP in a TIFF, lossless and lossy: a chunk is a WebP file.

use std::io::Cursor;

use image_webp::WebPDecoder;

use super::Error;
use super::guard::guarded;
use super::picture::{Shape, copy_rows};

const CODEC: &str = "WebP";
/// Memory for metadata and animation, which no chunk needs.
const MEMORY_MAX: usize = 1 << 20;

/// Decodes the rows that are wanted. A picture without alpha is opaque where four bands are wanted; alpha is left out
/// where three are.
pub(super) fn decode(input: &[u8], shape: &Shape<'_>, out: &mut [u8]) -> Result<(), Error> {
    guarded(CODEC, || {
        let mut decoder =
            WebPDecoder::new(Cursor::new(input)).map_err(|source| Error::damaged(CODEC, source))?;
        decoder.set_memory_limit(MEMORY_MAX);
        let (cols, rows) = decoder.dimensions();
        shape.check(CODEC, (cols, rows, u32::from(shape.samples)))?;
        if decoder.is_animated() {
            return Err(Error::Damaged {
                codec: CODEC,
                source: None,
            });
        }
        let mut pixels = vec![0; decoder.output_buffer_size().unwrap_or(0)];
        decoder
            .read_image(&mut pixels)
            .map_err(|source| Error::damaged(CODEC, source))?;
        match (decoder.has_alpha(), shape.samples) {
            (true, 4) | (false, 3) => copy_rows(CODEC, &pixels, out),
            (false, _) => {
                let opaque = |cell: &[u8; 3]| [cell[0], cell[1], cell[2], 255];
                let pixels: Vec<u8> = pixels.as_chunks().0.iter().flat_map(opaque).collect();
                copy_rows(CODEC, &pixels, out)
            }
            (true, _) => {
                let colours = |cell: &[u8; 4]| [cell[0], cell[1], cell[2]];
                let pixels: Vec<u8> = pixels.as_chunks().0.iter().flat_map(colours).collect();
                copy_rows(CODEC, &pixels, out)
            }
        }
    })
}
