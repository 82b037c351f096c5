//! Partitions of other workers: a store in every worker, a Flight server before it, a client that
//! fetches with bounded bytes in flight.
//!
//! A partition is written once by one execution and never changed. Its stream ends with a trailer
//! that holds its row count and checksum; an end without it is [`Error::Lost`], never a short result.
//! Read [`store`] first.
//!
//! ```text
//! batches ─► encode ─► frames ─► store ─┬─► read (decode, count, sum) ─► batches    same process
//!                                       └─► flight::server ─► flight::client ─► read    a peer
//! ```
//!
//! It does not know jobs or plans (whom to ask for a job's result is a [`ResultDirectory`]), and it never makes a
//! lost partition again. What is stored is not compressed; what goes to another host is ([`Compress`]).

pub mod address;
mod buffers;
#[cfg(test)]
mod conformance;
mod decode;
mod encode;
#[cfg(test)]
mod faults;
pub mod flight;
mod frame;
mod read;
pub mod results;
pub mod store;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;

pub use address::{PartitionAddress, PartitionKey};
pub use flight::{Compress, FetchConfig, FlightConfig, FlightExchange, FlightServer};
pub use results::{ResultDirectory, TableResult};
pub use store::{
    PartitionStore, PartitionSummary, PartitionWriter, ShuffleWriter, StoreConfig, StoreUsage,
    StoredPartition,
};

use crate::job::FailureClass;

/// The batches of one partition, with their rows in the order in which they were written.
///
/// Batches may be cut smaller than they were written. A partition without rows gives one batch without rows,
/// which holds the schema. A reader that stops at an error has read nothing: rows count only once the stream
/// has ended without one, for the trailer comes last.
pub type BatchStream = BoxStream<'static, Result<RecordBatch, Error>>;

/// Reads partitions, wherever they are.
#[async_trait]
pub trait Exchange: Send + Sync + std::fmt::Debug {
    /// Opens a partition of any worker.
    ///
    /// # Errors
    /// At once, or later as an item of the stream: [`Error::Lost`] when the partition is gone or its bytes
    /// are not what was written; the other variants when trying again may help.
    async fn fetch(&self, address: &PartitionAddress) -> Result<BatchStream, Error>;
}

/// Says why a partition could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The partition is not to be had: its worker is gone, has not got it, or sent wrong bytes.
    #[error("partition {address} is lost: {reason}")]
    Lost {
        /// The partition.
        address: Box<PartitionAddress>,
        /// What was seen.
        reason: String,
    },
    /// The store is full.
    #[error(
        "the partition store in {} is full: {needed_bytes} bytes more do not fit into the {limit_bytes} bytes that it may keep on disk; start the worker with a higher --store-disk or --store-memory, or add workers", folder.display()
    )]
    Full {
        /// Where its files are.
        folder: std::path::PathBuf,
        /// Bytes that were to be stored.
        needed_bytes: u64,
        /// The limit met.
        limit_bytes: u64,
    },
    /// The disk of the store is full.
    #[error(
        "no space is left on the disk of {}, where partitions are stored; free some, or start the worker with another --store-dir, or with a higher --store-memory", folder.display()
    )]
    DiskFull {
        /// Where the store's files are.
        folder: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the store failed.
    #[error("partition file {}", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// One row does not fit into a message.
    #[error(
        "a row takes {bytes} bytes as a message of a partition, more than the {limit_bytes} that one may have; use smaller tiles"
    )]
    RowTooLarge {
        /// Bytes of the row.
        bytes: u64,
        /// The most that a row may have.
        limit_bytes: u64,
    },
    /// A batch could not be encoded or decoded.
    #[error("partition batch")]
    Arrow(#[from] arrow::error::ArrowError),
    /// A partition was written twice, or after its end.
    #[error("partition {key} was already written")]
    Written {
        /// The partition.
        key: Box<PartitionKey>,
    },
    /// A write to the partition failed, so it has no end.
    #[error("partition {key} cannot be finished, a write to it had failed")]
    Unfinished {
        /// The partition.
        key: Box<PartitionKey>,
    },
    /// A batch was written to a partition that its writer has not got.
    #[error("partition {partition} of a shuffle of {partitions} partitions")]
    NoSuchPartition {
        /// The number given.
        partition: u32,
        /// How many there are, numbered from 0.
        partitions: u32,
    },
    /// The Flight server failed.
    #[error("the Flight server failed")]
    Serve {
        /// What the server said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Says what should be done about the failure of the task that met it.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Lost { address, .. } => FailureClass::InputLost(address.clone()),
            Self::Full { .. } | Self::DiskFull { .. } | Self::File { .. } => {
                FailureClass::Retry { after_ms: None }
            }
            Self::Arrow(_)
            | Self::Written { .. }
            | Self::Unfinished { .. }
            | Self::Serve { .. } => FailureClass::Retry { after_ms: None },
            Self::RowTooLarge { .. } | Self::NoSuchPartition { .. } => FailureClass::Fatal,
        }
    }

    /// Returns a stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } | Self::DiskFull { .. } => "store-full",
            Self::Lost { .. }
            | Self::File { .. }
            | Self::RowTooLarge { .. }
            | Self::Arrow(_)
            | Self::Written { .. }
            | Self::Unfinished { .. }
            | Self::NoSuchPartition { .. }
            | Self::Serve { .. } => "exchange",
        }
    }
}
