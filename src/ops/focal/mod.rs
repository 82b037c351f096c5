//! Operations whose cells depend on a neighbourhood: terrain, statistics of a window, convolution.
//!
//! [`FocalKernel`] is what a plan holds: parameters that were checked, with the halo they need. It runs over a
//! [`HaloBlock`](crate::grid::HaloBlock) by *panels*, small enough for a processor's cache, and may be stopped between
//! two of them.
//!
//! # The same bits however a raster is cut
//!
//! A result is a function of its neighbourhood and of where the raster ends, never of the block or the panel:
//! every sum adds the cells of a window in one order, which starts at the window's own corner; nothing runs on from one
//! window to the next, except counts of whole numbers; and what is quicker for panels without holes does the
//! same arithmetic. −0 is read as 0, so that a choice between the two cannot show.
//!
//! # No data
//!
//! A cell is NaN in a panel when it is no data or outside the raster. Statistics take the cells of the window that have
//! data, and give none where the centre has none; terrain wants all nine cells, unless edges are to be computed;
//! `convolve` says its own rule.
//!
//! Read `kernel` first, then `panel`, then any one operation.

mod convolve;
mod error;
mod extreme;
mod fold;
mod footprint;
mod kernel;
mod median;
mod network;
mod panel;
mod ranks;
mod spread;
mod store;
mod sum;
mod terrain;
mod weights;

pub use error::Error;
pub use kernel::FocalKernel;
pub use terrain::CellSize;
pub use weights::Weights;

/// The largest window: cells along its edge.
pub const SIZE_MAX: u32 = 1001;
