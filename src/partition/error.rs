//! What cannot be cut.

/// Says why an extent, a grid, keys or a file cannot be cut.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A coordinate is NaN or infinite.
    #[error("extent ({min_x}, {min_y}) to ({max_x}, {max_y}) must have finite coordinates")]
    NotFinite {
        /// Smallest x.
        min_x: f64,
        /// Smallest y.
        min_y: f64,
        /// Largest x.
        max_x: f64,
        /// Largest y.
        max_y: f64,
    },
    /// A minimum is not below its maximum.
    #[error(
        "extent from {min} to {max} in {axis} is empty or inverted; the minimum must be the smaller"
    )]
    Empty {
        /// `x` or `y`.
        axis: char,
        /// The minimum.
        min: f64,
        /// The maximum.
        max: f64,
    },
    /// The difference of two coordinates is too large to compute with.
    #[error("extent from {min} to {max} in {axis} is too wide to compute with")]
    TooWide {
        /// `x` or `y`.
        axis: char,
        /// The minimum.
        min: f64,
        /// The maximum.
        max: f64,
    },
    /// No part was asked for.
    #[error("cannot cut into 0 {what}; ask for at least 1")]
    NoParts {
        /// Columns, rows, strips or partitions.
        what: &'static str,
    },
    /// Parts would be narrower than coordinates can tell apart.
    #[error(
        "{parts} parts from {min} to {max} in {axis} are finer than coordinates can tell apart; ask for fewer"
    )]
    TooFine {
        /// `x` or `y`.
        axis: char,
        /// How many were asked for.
        parts: u32,
        /// The minimum.
        min: f64,
        /// The maximum.
        max: f64,
    },
    /// A raster or a tile has no cells.
    #[error("{what} of {cols} x {rows} cells is empty; both must be at least 1")]
    EmptyGrid {
        /// The raster or its tiles.
        what: &'static str,
        /// Columns.
        cols: u32,
        /// Rows.
        rows: u32,
    },
    /// A boundary of ranges is not above the one before it.
    #[error(
        "boundary {at} (counted from 0) is not above the one before it; give them in ascending order, each once, without NaN"
    )]
    Unordered {
        /// Which one.
        at: usize,
    },
    /// There are more ranges than a partition's number can name.
    #[error("{count} boundaries are more than partitions can be numbered; give fewer")]
    TooMany {
        /// How many were given.
        count: usize,
    },
}
