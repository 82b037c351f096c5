//! What a raster says of itself.

use serde::{Deserialize, Serialize};

use super::{Affine, Crs, DataType, Look};

/// Everything about a raster but its pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RasterProfile {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Number of bands.
    pub bands: u16,
    /// Type of every sample.
    pub dtype: DataType,
    /// The value that means "no data", for all bands; a NaN is no data in any float raster.
    pub nodata: Option<f64>,
    /// Coordinate reference system.
    pub crs: Crs,
    /// From cell corners to coordinates; `None` where the file has no georeference.
    pub transform: Option<Affine>,
    /// Whether the file says that a coordinate is a cell's centre (`PixelIsPoint`);
    /// `transform` already speaks of corners.
    pub pixel_is_point: bool,
}

/// What the planner must know of an input raster beyond its profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RasterFacts {
    /// What the raster says of itself.
    pub profile: RasterProfile,
    /// Columns and rows of the chunks (tiles, or strips as wide as the raster) of the file.
    pub chunk: (u32, u32),
    /// Bytes of the file that hold pixels, for estimates.
    pub stored_bytes: u64,
    /// Whether the file has an internal mask.
    pub masked: bool,
    /// Whether the bands of a cell lie together, so that reading one band reads them all.
    pub pixel_interleaved: bool,
    /// Whether the samples are classes (indices of a palette), of which there is no mean.
    pub classes: bool,
    /// How it is to be shown.
    #[serde(default)]
    pub look: Look,
    /// What tells the states of a remote file apart; none of one on a disk, or that was not opened.
    #[serde(default)]
    pub version: Option<u64>,
}
