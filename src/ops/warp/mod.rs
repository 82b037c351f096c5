//! Rasters brought onto another grid: values at positions, and what becomes of the values of many scenes.
//!
//! Read [`Resampler`] first: it computes a row of output cells from a rectangle of a source and from where the cells lie in it.
//! Where that is comes in as numbers: no kernel knows a CRS. [`Stack`] takes the rows of one scene after the other and ends as a block.
//!
//! The definitions are those of gdalwarp (`GDALWarpKernel`), so that its answers are these; the code is our own.

mod area;
mod median;
mod point;
mod polygon;
mod resampler;
mod stack;
mod taps;
mod view;

#[cfg(test)]
mod tests;

pub use resampler::{Positions, Resampler};
pub use stack::{Stack, StackShape};
pub use view::{SourceBand, validity};
