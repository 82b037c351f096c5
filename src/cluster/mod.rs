//! Services put together: [`Worker`] is one process's share of a cluster (tasks, jobs, Flight, metrics),
//! [`LocalCluster`] a whole cluster in one process.

mod local;
mod metrics;
#[cfg(feature = "tables")]
mod results;
mod worker;

pub use local::{LocalCluster, LocalOptions};
pub use worker::{Error, Worker, WorkerListeners};
