//! What can be wrong with the parameters of an operation on neighbourhoods, and with the blocks it is given.

use super::SIZE_MAX;
use crate::grid::DataType;

/// Says why a neighbourhood cannot be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named by the messages")]
pub enum Error {
    /// A window without a middle, or without neighbours, or too large.
    #[error("a window of {size} × {size} cells: the size must be odd, 3 to {SIZE_MAX}")]
    Size { size: u32 },
    /// A number that must be positive.
    #[error("{name} is {value}; it must be a number above 0")]
    NotPositive { name: &'static str, value: f64 },
    /// A number that must be finite.
    #[error("{name} is {value}; it must be a finite number")]
    NotFinite { name: &'static str, value: f64 },
    /// A kernel without a middle.
    #[error(
        "the kernel has {rows} rows of {cols} weights; both numbers must be odd, 1 to {SIZE_MAX}, so that there is a middle one"
    )]
    KernelShape { rows: usize, cols: usize },
    /// A kernel whose rows differ.
    #[error("row {row} of the kernel has {found} weights, the first row has {expected}")]
    KernelRow {
        row: usize,
        found: usize,
        expected: usize,
    },
    /// Text that is no weight.
    #[error(
        "line {line} of the kernel: '{text}' is not a number; a kernel is rows of numbers between blanks or commas, and # starts a comment"
    )]
    KernelNumber { line: usize, text: String },
    /// A weight that is not finite.
    #[error("row {row} of the kernel has a weight that is not a finite number")]
    KernelWeight { row: usize },
    /// A kernel that weighs nothing.
    #[error("all weights of the kernel are 0")]
    KernelZero,
    /// A kernel whose weights add up to nothing, to be divided by their sum.
    #[error(
        "the weights of the kernel add up to 0, so that no sum can be divided by them: leave out --normalize"
    )]
    KernelSum,
    /// The output cannot say "no data".
    #[error(
        "cells without data need a value in a raster of {dtype}: give --nodata, or --dtype float32"
    )]
    NodataMissing { dtype: DataType },
    /// The output's type does not have the value.
    #[error("{dtype} does not have the no-data value {nodata}")]
    NodataNotStorable { dtype: DataType, nodata: f64 },
    /// A block that is not what it says, or lacks the halo: a bug of the caller.
    #[error("a block of {cols} × {rows} cells: {what}")]
    Block {
        cols: u32,
        rows: u32,
        what: &'static str,
    },
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}
