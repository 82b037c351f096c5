//! Cutting an extent or a raster grid into parts, exactly: neighbours share their edge bit for bit, and every point or cell belongs to
//! exactly one part.
//!
//! [`TilePartitioner`] and [`StripPartitioner`] cut a [`SpatialExtent`]; their `on_grid` cuts the cells of a raster into
//! [`crate::grid::Window`]s. Nothing here knows a CRS, nor what a part costs. Read `extent` first.

mod axis;
mod error;
mod extent;
mod grid;
mod spatial;

pub use error::Error;
pub use extent::{Partition, SpatialExtent};
pub use grid::WindowPartitioner;
pub use spatial::{StripPartitioner, TilePartitioner};
