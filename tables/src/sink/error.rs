//! Why a result cannot be written as a file.

use crate::ports::BoxError;

/// Says why rows cannot be encoded, or encoded parts not be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// GeoJSON without a geometry.
    #[error(
        "no column of the result is a geometry, which GeoJSON needs; write .csv, .ndjson or .parquet, or select a geometry"
    )]
    NoGeometry,
    /// A geometry that cannot be read.
    #[error("column {column}, row {row} of a part: the geometry cannot be read: {problem}")]
    Geometry {
        /// The column.
        column: String,
        /// The row, from 0, in its part.
        row: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// A type that the format has no way to hold, or a value that it refuses.
    #[error(
        "the result cannot be written as {format}; cast or leave out what it does not hold, or write .parquet or .arrow"
    )]
    Encode {
        /// The format.
        format: &'static str,
        /// What the encoder says.
        source: BoxError,
    },
    /// A part whose bytes are not those that its task announced.
    #[error("a part is damaged: {problem}")]
    Part {
        /// What does not fit.
        problem: String,
    },
    /// The file, disk or server that is written to.
    #[error("the output cannot be written")]
    Write {
        /// What it says.
        source: BoxError,
    },
}
