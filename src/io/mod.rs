//! Files and URLs: reading GeoTIFF by ranges, writing Cloud Optimized GeoTIFF, committing once.
//!
//! [`source`] gives ranges of bytes, [`raster`] makes windows of pixels of them and tiles of blocks,
//! [`commit`] makes a finished file appear under its name.

pub mod commit;
pub mod raster;
pub mod sample;
pub mod source;
