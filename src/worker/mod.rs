//! Runs tasks: pulls them, keeps their leases, runs their kernels on a CPU pool, stores their partitions,
//! records how they ended, and only then settles them.
//!
//! Dying between record and settle means a second run, never a loss. [`run`] is the service and pulls; `hold` sees
//! one delivery through; [`execute`] does the work of one task; `report` records results in groups.

mod comeback;
pub mod config;
mod cpu;
pub mod execute;
mod handover;
mod heartbeat;
mod hold;
mod janitor;
mod lease;
mod memory;
mod places;
mod ports;
mod report;
pub mod run;
mod shares;
mod state;

pub use config::{ConfigError, WorkerConfig};
pub use ports::WorkerPorts;
pub use run::TaskService;
pub use shares::MemoryShares;
pub use state::Activity;
