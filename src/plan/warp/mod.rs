//! Rasters brought onto another grid: which grid, which part of which scene each task reads, and with how much memory.
//!
//! [`stage`] is what a plan says of it, `target` finds the grid, `planner` puts both together.

mod error;
mod planner;
pub mod stage;
mod target;

pub use error::WarpError;
pub use stage::{WarpGrid, WarpKernel, WarpLayer, WarpScene};

pub(super) use planner::{composite, reproject};
