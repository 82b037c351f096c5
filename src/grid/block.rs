//! A rectangle of samples in memory: what a kernel reads and writes.

use super::DataType;

/// The samples of one band of a block, row by row, in their own type.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is named by its sample type")]
pub enum Samples {
    UInt8(Vec<u8>),
    Int8(Vec<i8>),
    UInt16(Vec<u16>),
    Int16(Vec<i16>),
    UInt32(Vec<u32>),
    Int32(Vec<i32>),
    UInt64(Vec<u64>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
}

/// Runs `$body` with `$v` bound to the vector inside a [`Samples`], whatever its type.
#[macro_export]
macro_rules! for_samples {
    ($samples:expr, $v:ident => $body:expr) => {
        match $samples {
            $crate::grid::Samples::UInt8($v) => $body,
            $crate::grid::Samples::Int8($v) => $body,
            $crate::grid::Samples::UInt16($v) => $body,
            $crate::grid::Samples::Int16($v) => $body,
            $crate::grid::Samples::UInt32($v) => $body,
            $crate::grid::Samples::Int32($v) => $body,
            $crate::grid::Samples::UInt64($v) => $body,
            $crate::grid::Samples::Int64($v) => $body,
            $crate::grid::Samples::Float32($v) => $body,
            $crate::grid::Samples::Float64($v) => $body,
        }
    };
}

impl Samples {
    /// Makes `len` samples of zero.
    #[must_use]
    pub fn zeros(dtype: DataType, len: usize) -> Self {
        match dtype {
            DataType::UInt8 => Self::UInt8(vec![0; len]),
            DataType::Int8 => Self::Int8(vec![0; len]),
            DataType::UInt16 => Self::UInt16(vec![0; len]),
            DataType::Int16 => Self::Int16(vec![0; len]),
            DataType::UInt32 => Self::UInt32(vec![0; len]),
            DataType::Int32 => Self::Int32(vec![0; len]),
            DataType::UInt64 => Self::UInt64(vec![0; len]),
            DataType::Int64 => Self::Int64(vec![0; len]),
            DataType::Float32 => Self::Float32(vec![0.0; len]),
            DataType::Float64 => Self::Float64(vec![0.0; len]),
        }
    }

    /// Returns the type of the samples.
    #[must_use]
    pub const fn dtype(&self) -> DataType {
        match self {
            Self::UInt8(_) => DataType::UInt8,
            Self::Int8(_) => DataType::Int8,
            Self::UInt16(_) => DataType::UInt16,
            Self::Int16(_) => DataType::Int16,
            Self::UInt32(_) => DataType::UInt32,
            Self::Int32(_) => DataType::Int32,
            Self::UInt64(_) => DataType::UInt64,
            Self::Int64(_) => DataType::Int64,
            Self::Float32(_) => DataType::Float32,
            Self::Float64(_) => DataType::Float64,
        }
    }

    /// Returns the number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        for_samples!(self, v => v.len())
    }

    /// Tells whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A rectangle of samples of one or more bands, with what is known of their validity.
///
/// A cell of a band is *no data* when its mask says so, when it equals `nodata`, or when it is NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Columns.
    pub cols: u32,
    /// Rows.
    pub rows: u32,
    /// One entry a band, each `cols × rows` samples, row by row; all of one type.
    pub bands: Vec<Samples>,
    /// The value that means "no data" in every band.
    pub nodata: Option<f64>,
    /// Validity of each cell for all bands (`true` is valid), `cols × rows`; `None` when all are.
    pub mask: Option<Vec<bool>>,
}
