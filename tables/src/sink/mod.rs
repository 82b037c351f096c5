//! Results as files: many tasks encode parts side by side, one task puts them together and moves bytes only.
//!
//! A task makes a [`PartEncoder`], hands on the bytes of the body while they are made, and ends with a small
//! [`PartFooter`]. Whoever assembles a file gives a [`FileAssembler`] the footer and the body of each part, in order.
//! A folder of parts is as many files of one part each, and a [`manifest`]. Geometry columns are known by their fields
//! (see [`crate::geometry`]); GeoParquet's bounds and types are those of what is inside. `columns.rs` says what becomes
//! of a column's type, `text.rs` what CSV and JSON look like. Nothing here opens or names an output.

mod assemble;
mod columns;
mod error;
mod footer;
mod format;
mod geo;
mod manifest;
mod parquet;
mod part;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use columns::to_wkb_column;
pub(crate) use geo::values as geometry_values;

pub use assemble::{Assembled, FileAssembler};
pub use error::Error;
pub use footer::PartFooter;
pub use format::{Compression, OutputFormat};
pub use manifest::{PartFile, SUCCESS, is_part, manifest, part_name};
pub use part::{PartEncoder, TakeBytes};
