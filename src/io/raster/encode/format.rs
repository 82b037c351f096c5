//! What a tile is on disk.

use super::Error;
use crate::grid::DataType;
use crate::spec::Compression;

/// The most bytes that a tile may have before compression: readers keep them in a signed 32-bit number.
const TILE_BYTES_MAX: usize = 0x7fff_ffff;

/// Says how the cells of a tile become bytes. The bands of a cell lie together (pixel-interleaved), in
/// little-endian order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TileFormat {
    /// Cells along the edge of a tile; a multiple of 16.
    pub tile: u32,
    /// Type of every sample.
    pub dtype: DataType,
    /// Number of bands.
    pub bands: u16,
    /// How the bytes are compressed.
    pub compression: Compression,
    /// The value that means "no data". It does not change how a tile is encoded.
    pub nodata: Option<f64>,
}

impl TileFormat {
    /// Returns the value of TIFF tag 317: 2 (differences) for integers and 3 (byte planes) for floats when
    /// the tile is compressed, else 1 (none).
    #[must_use]
    pub fn predictor(&self) -> u16 {
        match (self.compression, self.dtype.is_float()) {
            (Compression::None, _) => 1,
            (Compression::Deflate | Compression::Lzw | Compression::Zstd, false) => 2,
            (Compression::Deflate | Compression::Lzw | Compression::Zstd, true) => 3,
        }
    }

    /// Returns the bytes of a tile before compression.
    ///
    /// # Errors
    /// [`Error::TileSize`] when there is none, or more than a TIFF tile may have (2 GiB).
    pub fn tile_bytes(&self) -> Result<usize, Error> {
        let edge = usize::try_from(self.tile).ok();
        edge.and_then(|edge| edge.checked_mul(edge))
            .and_then(|cells| cells.checked_mul(usize::from(self.bands)))
            .and_then(|samples| samples.checked_mul(self.dtype.bytes()))
            .filter(|bytes| (1..=TILE_BYTES_MAX).contains(bytes))
            .ok_or(Error::TileSize {
                tile: self.tile,
                bands: self.bands,
                dtype: self.dtype,
            })
    }
}
