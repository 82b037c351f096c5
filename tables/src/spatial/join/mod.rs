//! The operators of a spatial join. Read `cells` then `exec`; `built` is the indexed side, `probe` the other.

mod built;
mod cells;
mod exec;
mod probe;
mod strategy;

pub use cells::{CELL_COLUMN, SpatialCellsExec};
pub(super) use exec::Join;
pub use exec::SpatialJoinExec;
pub use strategy::{Side, Strategy, physical_plan};

#[cfg(test)]
mod tests;
