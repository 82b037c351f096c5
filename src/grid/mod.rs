//! Cells and where they are. Pure: no file, no network, no CRS look-up.
//!
//! Read [`profile`] first: it is what a raster says of itself. A *tile* is how a file stores
//! pixels, a [`block`] is what a kernel reads, a *partition* is what a task writes.

pub mod affine;
pub mod block;
pub mod crs;
pub mod dtype;
pub mod halo;
pub mod profile;
pub mod pyramid;
mod units;
pub mod window;

pub use affine::Affine;
pub use block::{Block, Samples};
pub use crs::Crs;
pub use dtype::DataType;
pub use halo::HaloBlock;
pub use profile::RasterProfile;
pub use window::Window;
