//! Encoded tiles in, one Cloud Optimized GeoTIFF out. It moves bytes and never decodes.
//!
//! [`header`] lays out what stands before the tiles: for each level its `tags`, and of them in `geo` where the
//! cells are. [`writer`] streams the tiles behind it. What a tile holds is the business of
//! [`super::encode`].

mod geo;
pub mod header;
mod tags;
pub mod writer;

pub use header::{header_bytes, is_bigtiff};
pub use writer::CogWriter;

use super::encode;
use crate::job::FailureClass;

/// Says why tiles did not become a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Profile, layout and format speak of different rasters.
    #[error("the {what} of a raster differs between its profile, its layout and its tiles")]
    Mismatch {
        /// What differs.
        what: &'static str,
    },
    /// The tiles are no multiple of 16 cells, or their bytes are too many.
    #[error(
        "tiles of {tile} × {tile} cells; a TIFF has multiples of 16: choose another block size"
    )]
    TileEdge {
        /// Cells along the edge.
        tile: u32,
    },
    /// The tiles have too many bytes.
    #[error("the tiles of the raster cannot be stored")]
    TileBytes {
        /// Why.
        source: encode::Error,
    },
    /// The file would have more bytes than can be counted.
    #[error("the raster has too many tiles; choose a greater block size")]
    TooManyTiles,
    /// The CRS is known by its code alone.
    #[error(
        "{crs} is known by its code alone; a GeoTIFF needs its GeoKeys, as an input states them"
    )]
    CrsWithoutKeys {
        /// The CRS.
        crs: String,
    },
    /// A tile of this level comes too early or too late.
    #[error(
        "a tile of level {level} was written while level {expected} is due; levels go from the smallest overview to 0"
    )]
    LevelOrder {
        /// Level of the tile.
        level: u32,
        /// The level that is being written.
        expected: u32,
    },
    /// The level has no such tile.
    #[error("level {level} has no tile at column {col}, row {row}")]
    NoSuchTile {
        /// Level of the tile.
        level: u32,
        /// Column of the tile, in tiles.
        col: u32,
        /// Row of the tile, in tiles.
        row: u32,
    },
    /// The tile was written before.
    #[error("tile {col}, {row} of level {level} was written twice")]
    TileTwice {
        /// Level of the tile.
        level: u32,
        /// Column of the tile, in tiles.
        col: u32,
        /// Row of the tile, in tiles.
        row: u32,
    },
    /// The tile has no byte, or 4 GiB or more.
    #[error("tile {col}, {row} of level {level} has {bytes} bytes, which no tile may have")]
    TileLength {
        /// Level of the tile.
        level: u32,
        /// Column of the tile, in tiles.
        col: u32,
        /// Row of the tile, in tiles.
        row: u32,
        /// Its length.
        bytes: usize,
    },
    /// The level ended before all its tiles were written.
    #[error("{missing} tiles of level {level} are missing")]
    TilesMissing {
        /// The level.
        level: u32,
        /// How many.
        missing: u64,
    },
    /// The tiles grew in compression beyond what a file without BigTIFF can hold.
    #[error(
        "the compressed tiles pass 4 GiB in a file that was planned without BigTIFF; use another compression"
    )]
    ClassicFull,
    /// The file could not be written.
    #[error("the raster could not be written")]
    Write {
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// Says what should be done.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Write { .. } => FailureClass::Retry { after_ms: None },
            Self::Mismatch { .. }
            | Self::TileEdge { .. }
            | Self::TileBytes { .. }
            | Self::TooManyTiles
            | Self::CrsWithoutKeys { .. }
            | Self::LevelOrder { .. }
            | Self::NoSuchTile { .. }
            | Self::TileTwice { .. }
            | Self::TileLength { .. }
            | Self::TilesMissing { .. }
            | Self::ClassicFull => FailureClass::Fatal,
        }
    }

    /// Returns a stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Mismatch { .. } => "raster-mismatch",
            Self::TileEdge { .. } | Self::TileBytes { .. } => "tile-size",
            Self::TooManyTiles | Self::ClassicFull => "raster-too-large",
            Self::CrsWithoutKeys { .. } => "crs-without-keys",
            Self::LevelOrder { .. }
            | Self::NoSuchTile { .. }
            | Self::TileTwice { .. }
            | Self::TileLength { .. }
            | Self::TilesMissing { .. } => "tile-order",
            Self::Write { .. } => "output-write",
        }
    }
}
