//! What is computed: band math by blocks, spectral indices, neighbourhoods, operations of task queues.
//!
//! [`local::calc`] is the expression language, [`local::index`] the catalogue of spectral indices, [`focal`] terrain and windows,
//! [`task`] what a program implements to give workers an operation of its own. Kernels see blocks,
//! never files, CRS look-ups or the network.

pub mod catalogue;
pub mod focal;
pub mod local;
pub mod task;
pub mod warp;

pub use task::{Operation, OperationError, Registry, TaskContext};
