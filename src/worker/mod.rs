//! Runs tasks: pulls them, keeps their leases, runs their kernels on a CPU pool, stores their partitions,
//! records how they ended, and only then settles them.
//!
//! Dying between record and settle means a second run, never a loss. [`run`] is the service,
//! [`pull`](self) feeds it, [`execute`] does the work of one task, [`report`](self) records results in groups.

pub mod config;
mod cpu;
pub mod execute;
mod heartbeat;
mod lease;
mod memory;
mod report;
pub mod run;
mod state;

pub use config::{ConfigError, WorkerConfig};
pub use run::{TaskService, WorkerPorts};
pub use state::Activity;
