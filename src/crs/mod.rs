//! Coordinate reference systems: what a raster's keys, an EPSG code or WKT mean, and where a cell of one grid lies in another. Pure.
//!
//! [`Definition`] is a CRS as a PROJ string, [`Transformer`] takes coordinates from one to another, [`CellMap`] takes cells of an
//! output grid to cells of a source, [`Mesh`] does so for a whole window with few exact points and a bound on the error,
//! [`suggest`] says which output grid fits a source.
//!
//! The mathematics of projections is the crate `proj4rs`, the table of EPSG codes `crs-definitions`. What is not done: datum
//! shifts by grid files, axes other than east and north first, vertical CRS, epochs; a raster's own height is never changed.

mod cell_map;
mod definition;
mod error;
mod geokeys;
mod keys;
mod mesh;
mod scale;
mod suggest;
mod transform;
pub(crate) mod wkt;

pub use cell_map::{CellMap, SourceGrid};
pub use definition::Definition;
pub use error::Error;
pub use mesh::{Lattice, Mesh};
pub use scale::{footprint, scale};
pub use suggest::{Suggested, suggest};
pub use transform::Transformer;
