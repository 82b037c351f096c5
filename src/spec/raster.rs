//! Where a raster goes and how it is stored.

use serde::{Deserialize, Serialize};

use super::output::optional_number;
use crate::grid::DataType;

/// How the tiles of a raster are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// Deflate (zlib), the default.
    #[default]
    Deflate,
    /// Lempel-Ziv-Welch, TIFF flavour.
    Lzw,
    /// Zstandard.
    Zstd,
}

/// Which overviews a raster gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overviews {
    /// Halve until the raster fits in one tile; the mean of the valid cells for measured values,
    /// the nearest cell for classes.
    #[default]
    Auto,
    /// None.
    None,
}

/// How a cell of an overview is made from the (at most) four below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resampling {
    /// The mean of the valid ones.
    #[serde(alias = "average")]
    Average,
    /// The upper left one.
    #[serde(alias = "nearest")]
    Nearest,
}

/// Where a raster goes and how it is stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RasterOutput {
    /// Path of the GeoTIFF.
    pub path: String,
    /// Whether an existing file may be replaced; default no.
    pub overwrite: bool,
    /// Type of the samples; default float32 for math, the input's type for `convert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<DataType>,
    /// The value that means "no data"; default NaN for math, the input's for `convert`.
    /// `NaN` is written as a string in JSON.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "optional_number::serialize"
    )]
    pub nodata: Option<f64>,
    /// Compression of the tiles.
    pub compress: Compression,
    /// Cells along the edge of a tile: a multiple of 16, 16 to 4096.
    pub blocksize: u32,
    /// Which overviews to make.
    pub overviews: Overviews,
    /// How overviews are made; default the nearest cell for classes, else the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overview_resampling: Option<Resampling>,
}

/// The default of [`RasterOutput::blocksize`].
pub const DEFAULT_BLOCKSIZE: u32 = 512;

impl RasterOutput {
    /// Writes to `path` with every default.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            overwrite: false,
            dtype: None,
            nodata: None,
            compress: Compression::default(),
            blocksize: DEFAULT_BLOCKSIZE,
            overviews: Overviews::default(),
            overview_resampling: None,
        }
    }
}
