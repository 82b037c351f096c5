//! Cutting an extent, a raster grid, keys or a file into parts, exactly: every point, cell, key or byte belongs to exactly one part.
//!
//! [`TilePartitioner`] and [`StripPartitioner`] cut a [`SpatialExtent`], where neighbours share their edge bit for bit; their `on_grid`
//! cuts the cells of a raster into [`crate::grid::Window`]s. [`HashPartitioner`] and [`RangePartitioner`] say where a single key goes
//! (whole Arrow columns: [`crate::shuffle`]), [`LoadBalancedPartitioner`] shares out a file. Nothing here knows a CRS. Read `extent` first.

mod axis;
mod balance;
mod error;
mod extent;
mod grid;
mod hash;
mod range;
mod spatial;

pub use balance::LoadBalancedPartitioner;
pub use error::Error;
pub use extent::{Partition, SpatialExtent};
pub use grid::WindowPartitioner;
pub use hash::{HashPartitioner, hash_key};
pub(crate) use hash::{hash_key_of_4, hash_key_of_8};
pub use range::RangePartitioner;
pub use spatial::{StripPartitioner, TilePartitioner};
