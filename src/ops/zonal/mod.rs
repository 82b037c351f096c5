//! Zonal statistics: which cells a polygon has, and what is known of them. Pure.
//!
//! ```text
//! polygons ─► outline (in cells) ─► clip to a window ─► spans of cells with weights ─► partial ─► merge ─► statistics
//!             reference.rs          outline.rs           centre · touch · cover        partial      finish
//! ```
//!
//! Nothing depends on how a raster was cut: the cells of a span, and their weights, are computed from whole edges in the
//! raster's own cell coordinates, weights are whole numbers of 2⁻³⁰ cells, and sums are exact ([`ExactSum`]), so that
//! partial statistics merge in any order and grouping to the same bits.
//!
//! Read `partial.rs` first. What is not done: zones that are lines or points, and weights from a second raster.

mod bins;
mod centre;
mod cover;
mod double;
mod exact;
mod finish;
mod outline;
mod partial;
mod placement;
mod quantile;
mod reference;
mod samples;
mod scan;
mod span;
mod touch;
mod values;
mod windows;

pub use exact::ExactSum;
pub use finish::{Value, ValueFacts, finish};
pub use outline::{Edge, EdgeRing, Outline, Polygon};
pub use partial::{Needs, Partial, PartialError};
pub use placement::Placement;
pub use quantile::Quantiles;
pub use reference::{Reference, ReferenceError};
pub use scan::{Scan, ZoneCells};
pub use span::{Span, spans};
pub use values::{Frequencies, from_key, key};
pub use windows::{WindowGrid, chunk_rectangles};

/// The weight of a whole cell with fractional coverage: weights are whole numbers of 2⁻³⁰ cells.
pub const WHOLE: u32 = 1 << FRACTION_BITS;
/// Bits behind the point of a weight, and of a position in cells where exactness matters.
const FRACTION_BITS: u32 = 30;

#[cfg(test)]
mod tests;
