//! Blocks in, encoded tiles and overviews out. Pure computing: no file, no waiting.
//!
//! Read [`mod@format`] first: what a tile is on disk. [`tile`] makes one of a block, with the [`predictor`] and
//! the [`compress`]or of the format; [`mod@halve`] makes the next overview level of a block. Where the
//! tiles lie in a file is the business of [`cog`](super::cog).

pub mod compress;
mod deflate;
pub mod format;
pub mod halve;
pub mod predictor;
pub mod tile;

pub use format::TileFormat;
pub use halve::{halve, halve_under_alpha};
pub use tile::TileEncoder;

use crate::grid::DataType;
use crate::job::FailureClass;

/// Says why a block did not become a tile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tile has no cell, or more bytes than a TIFF tile may have.
    #[error(
        "a tile of {tile} × {tile} cells with {bands} bands of {dtype} has no byte or more than 2 GiB; choose another block size"
    )]
    TileSize {
        /// Cells along the edge.
        tile: u32,
        /// Number of bands.
        bands: u16,
        /// Type of the samples.
        dtype: DataType,
    },
    /// The block does not hold what the format says.
    #[error(
        "a block with {found_bands} bands of {found} was given for tiles with {bands} bands of {expected}"
    )]
    BlockType {
        /// Bands of the format.
        bands: u16,
        /// Type of the format.
        expected: DataType,
        /// Bands of the block.
        found_bands: usize,
        /// Type of the first band of the block that differs, or of its first.
        found: DataType,
    },
    /// A band of the block does not have `cols × rows` samples.
    #[error("a band of a block of {cols} × {rows} cells holds {found} samples")]
    BlockShape {
        /// Columns of the block.
        cols: u32,
        /// Rows of the block.
        rows: u32,
        /// Samples of the band.
        found: usize,
    },
    /// The tile would begin outside the block.
    #[error("a tile at column {col}, row {row} begins outside its block of {cols} × {rows} cells")]
    Outside {
        /// First column wanted.
        col: u32,
        /// First row wanted.
        row: u32,
        /// Columns of the block.
        cols: u32,
        /// Rows of the block.
        rows: u32,
    },
    /// The deflate compressor failed.
    #[error("a tile could not be compressed with deflate: {code:?}")]
    Deflate {
        /// What zlib said.
        code: zlib_rs::ReturnCode,
    },
    /// The LZW compressor failed.
    #[error("a tile could not be compressed with LZW")]
    Lzw {
        /// What it said.
        source: weezl::LzwError,
    },
    /// The Zstandard compressor panicked, which is how it says that it failed.
    #[error("a tile could not be compressed with zstd; use --compress deflate")]
    Zstd,
}

impl Error {
    /// Says what should be done. The same block would fail again, wherever it is encoded.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::TileSize { .. }
            | Self::BlockType { .. }
            | Self::BlockShape { .. }
            | Self::Outside { .. }
            | Self::Deflate { .. }
            | Self::Lzw { .. }
            | Self::Zstd => FailureClass::Fatal,
        }
    }

    /// Returns a stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TileSize { .. } => "tile-size",
            Self::BlockType { .. } => "block-type",
            Self::BlockShape { .. } => "block-shape",
            Self::Outside { .. } => "tile-outside-block",
            Self::Deflate { .. } | Self::Lzw { .. } | Self::Zstd => "tile-compression",
        }
    }
}
