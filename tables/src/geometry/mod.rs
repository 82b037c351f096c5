//! Geometry columns: which columns of a schema they are, in which coordinate reference system, and the bytes in them.
//!
//! A geometry column is a binary column of WKB whose Arrow field says `ARROW:extension:name = geoarrow.wkb`; its CRS is
//! in `ARROW:extension:metadata`. Field metadata travel through DataFusion's projections and joins, and over exchanges,
//! so that sources write them ([`geometry_field`]) and sinks and spatial joins read them ([`geometry_columns`]).
//! Start with `column.rs`.

mod column;
mod crs;
mod polygons;
mod wkb;

pub(crate) use column::wkb_field;
pub use column::{
    EXTENSION_METADATA, EXTENSION_NAME, Encoding, GeometryColumn, geometry_columns, geometry_field,
    primary_geometry,
};
pub use crs::Crs;
pub use polygons::{Rings, polygons};
pub(crate) use wkb::{Bounds, Scan, write_coordinates};
