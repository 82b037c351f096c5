//! Reading windows of a GeoTIFF or COG.
//!
//! [`RasterFile::open`] reads the header, once per state of a file; [`RasterFile::fetch`] waits for exactly the bytes that a window
//! needs; [`EncodedWindow::decode`] computes samples of them, on a thread that may compute.
//!
//! What is read: classic and `BigTIFF`, both byte orders, tiles and strips, uncompressed, deflate, LZW, Zstandard, LZMA,
//! PackBits, JPEG, WebP, LERC and CCITT fax, predictors 1 to 3, integers of 1 to 64 bit and floats of 16, 32 and 64, CMYK and
//! YCbCr as red, green and blue, bands together or apart, sparse chunks, internal masks. What is refused, with a name and a way out, stands in [`super::tiff::image`].
//!
//! What is not done: overviews are not read; alpha bands are bands like any other and make no mask; scale and offset of
//! GDAL's metadata are not applied; sidecar files (`.aux.xml`, `.msk`, `.ovr`, world files) are not looked for.

mod cache;
mod cells;
mod decode;
mod error;
mod fetch;
mod file;
mod table;
mod widen;

pub use error::Error;
pub use fetch::EncodedWindow;
pub use file::RasterFile;

pub(crate) use cache::HeaderCache;
