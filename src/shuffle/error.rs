//! What cannot be shuffled.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// Says why rows cannot be dealt out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No partition was asked for.
    #[error("cannot shuffle into 0 partitions; ask for at least 1")]
    NoPartitions,
    /// No key was named.
    #[error("no key column is named; name at least 1")]
    NoKeys,
    /// A key names no column of the batch.
    #[error("no column '{column}'; there are: {}", columns.join(", "))]
    UnknownColumn {
        /// The name asked for.
        column: String,
        /// The names that there are.
        columns: Vec<String>,
    },
    /// Two columns of the batch bear the name of a key.
    #[error("more than one column is named '{column}'; rename one")]
    AmbiguousColumn {
        /// The name.
        column: String,
    },
    /// Values of a key's type have no order.
    #[error("column '{column}' of type {data_type} has no order; choose another key")]
    NoOrder {
        /// The key.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// Not one column of boundaries for each key.
    #[error(
        "{keys} keys need {keys} columns of boundaries, all of one length; {columns} columns of {lengths:?} rows are given"
    )]
    BoundaryColumns {
        /// Number of keys.
        keys: usize,
        /// Number of columns of boundaries.
        columns: usize,
        /// Their lengths.
        lengths: Vec<usize>,
    },
    /// Boundaries and the key's column are of different types.
    #[error(
        "column '{column}' is {data_type}, its boundaries are {boundaries}; cast one to the other"
    )]
    BoundaryType {
        /// The key.
        column: String,
        /// Type of the column.
        data_type: DataType,
        /// Type of the boundaries.
        boundaries: DataType,
    },
    /// A boundary does not follow the one before it.
    #[error(
        "boundary {at} (counted from 0) does not come after the one before it in the order of the keys; sort them, each once"
    )]
    BoundariesUnordered {
        /// Which one.
        at: usize,
    },
    /// A batch is not of the writer's schema.
    #[error(
        "a batch with columns ({batch}) came to a writer of ({writer}); use a writer for each schema"
    )]
    Schema {
        /// Columns of the batch.
        batch: String,
        /// Columns of the writer.
        writer: String,
    },
    /// A shuffle named a partition that there is not, or not one for each row.
    #[error(
        "the shuffle named {ids} partitions for {rows} rows, the largest {largest} of {partitions}; it is not a valid shuffle"
    )]
    Ids {
        /// How many were named.
        ids: usize,
        /// Rows of the batch.
        rows: usize,
        /// The largest that was named.
        largest: u32,
        /// How many partitions there are.
        partitions: u32,
    },
    /// A batch has more rows than can be numbered.
    #[error("{rows} rows in one batch are too many; cut it below 2^32")]
    TooManyRows {
        /// How many.
        rows: usize,
    },
    /// Arrow refused.
    #[error("cannot {doing} the rows of a batch")]
    Arrow {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: ArrowError,
    },
}

impl Error {
    /// Wraps an error of Arrow.
    pub(super) const fn arrow(doing: &'static str) -> impl FnOnce(ArrowError) -> Self {
        move |source| Self::Arrow { doing, source }
    }
}
