//! GeoTIFF in, Cloud Optimized GeoTIFF out.
//!
//! [`read`] opens a file and reads windows of it; [`encode`] makes tiles and overviews of blocks; [`cog`] puts
//! encoded tiles into a file. Fetching bytes (waiting) and decoding them (computing) are apart.

pub mod codec;
pub mod cog;
pub mod encode;
pub mod read;
pub mod tiff;
