//! What a TIFF says of its pixels: directories, tags, and what they mean for GeoTIFF.
//!
//! Parsing is pure and takes bytes; [`directory::read_chain`] alone waits, for the bytes it parses. All numbers of a file are taken
//! for lies until checked. Read [`image`] for what can be read and what is refused, `georef` for where the cells are.
//! Pixels are `read`'s.

mod bytes;
pub mod directory;
mod error;
mod georef;
mod header_reader;
pub mod image;
mod look;
mod nodata;
pub(super) mod tags;

pub use bytes::ByteOrder;
pub use error::Error;
pub use georef::{Georeference, georeference};
pub use header_reader::HeaderReader;
pub use look::look;
pub use nodata::nodata;
pub use tags::{Array, Located, Tags};
