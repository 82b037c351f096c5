//! Geometries in tables: `ST_*` functions, and joins of rows whose geometries meet.
//!
//! ```text
//! SQL or Operation::SpatialJoin ─► plan::rule ─► SpatialJoinNode ─► plan::planner ─┬─► broadcast:   SpatialJoin(whole small side, other)
//!                                                                                  └─► partitioned: SpatialJoin(hash(cell(left)), hash(cell(right)))
//! ```
//!
//! [`Cells`] cut the plane where the data is. A row goes to every cell that its bounding box touches, and a pair of rows counts only in
//! the cell that holds the lower left corner of what their boxes share: so every pair is found exactly once. Rows whose geometry is null,
//! empty, or has a coordinate that is no finite number match nothing. Geometries are planar, whatever their CRS. Nothing here reprojects.
//!
//! Read `cells` first, then `join`.

mod cells;
pub mod codec;
mod error;
mod functions;
mod geometry;
mod join;
mod locate;
mod plan;
mod relation;
mod subject;

pub use cells::Cells;
pub use error::Error;
pub use functions::register_functions;
pub use join::{CELL_COLUMN, Side, SpatialCellsExec, SpatialJoinExec, Strategy, physical_plan};
pub use plan::{
    SpatialJoinPlanner, SpatialJoinRule, SpatialSettings, join_tables, with_spatial_joins,
};
pub use relation::Relation;
