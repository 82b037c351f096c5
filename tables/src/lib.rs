//! The relational engine of Swath: a query is planned once, cut at its exchanges into stages, and each task runs one
//! fragment over one partition.
//!
//! DataFusion is the planner and has the operators, the memory pool and the spill; what is distributed is ours.
//! This crate knows neither jobs, workers nor the network: a caller (the library `swath`) stores what a fragment
//! writes and opens what it reads, through [`Inputs`] and [`Outputs`].
//!
//! ```text
//! Query ─► plan ─► TablePlan { stages: fragments with exchanges between them }
//!                      │
//!                      ▼  per task
//!          Inputs ─► run(fragment, task) ─► Outputs ─► sink (encoded parts of a file)
//! ```

mod error;
mod exchange;
mod fragment;
pub mod geometry;
pub mod local;
mod plan;
mod ports;
mod query;
mod read;
mod run;
pub mod sink;
mod sorted;
pub mod source;
pub mod spatial;
pub mod zones;

pub use error::Error;
pub use plan::{plan, plan_registered, planning_session};
pub use ports::{BatchStream, BoxError, Inputs, Outputs, SpillRoom, WholeDisk};
pub use query::{
    Format, JoinKind, NamedTable, Operation, PlanSettings, Predicate, Query, StageOutput,
    TablePlan, TableStage,
};
pub use read::read;
pub use run::{RunStats, SpillError, TaskSettings, run};

#[cfg(test)]
mod tests;
