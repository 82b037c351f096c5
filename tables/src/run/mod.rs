//! A task: one fragment over one partition.
//!
//! `attempt` runs the plan and hands its rows to a writer (`write`). When memory does not suffice, `split` says how the
//! partition is taken in shares: rows whose keys have the same second hash, which are a partition as good as the whole.
//! A share that one key fills is joined by sorting, which spills to disk.

mod attempt;
mod metered;
mod owned;
mod repeat;
mod sink;
mod spill;
mod split;
mod surroundings;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub(crate) use owned::{bytes_of, owned};
pub(crate) use sink::{RunError, Sink, compact};
pub use spill::SpillError;
pub(crate) use surroundings::Surroundings;

use datafusion::execution::object_store::ObjectStoreRegistry;

use crate::{Error, Inputs, Outputs, SpillRoom};

/// What a task may use.
#[derive(Debug, Clone)]
pub struct TaskSettings {
    /// The partitions that it reads.
    pub inputs: Arc<dyn Inputs>,
    /// Opens the files of tables.
    pub stores: Arc<dyn ObjectStoreRegistry>,
    /// Its memory: operators, what is gathered for the output, and the bytes of files being read.
    pub memory_bytes: usize,
    /// Where it spills; it leaves nothing behind.
    pub spill_dir: PathBuf,
    /// How much it may spill.
    pub spill_room: Arc<dyn SpillRoom>,
    /// Set when it should stop.
    pub cancelled: Arc<AtomicBool>,
    /// Rows of a batch; default 8192.
    pub batch_rows: usize,
}

/// What a task did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunStats {
    /// Rows that it wrote.
    pub rows: u64,
    /// Bytes that it wrote, in memory.
    pub bytes: u64,
    /// Shares in which it took its partition: 1 when it fitted.
    pub shares: u32,
    /// Joins of shares that had to be sorted because one key filled the memory.
    pub sorted_joins: u32,
    /// Bytes that it spilled to disk.
    pub spilled_bytes: u64,
}

/// Runs a fragment over one partition and writes what it gives.
///
/// It computes on the thread that polls it, and wants a tokio runtime with time and IO.
///
/// # Errors
/// [`Error::Input`] and [`Error::Output`] have the errors of the surroundings as they were.
pub async fn run(
    fragment: &[u8],
    task: u32,
    settings: TaskSettings,
    outputs: &mut dyn Outputs,
) -> Result<RunStats, Error> {
    split::run(fragment, task, &settings, outputs).await
}
