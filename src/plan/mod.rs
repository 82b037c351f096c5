//! From a spec and facts about its inputs to stages of tasks. Pure.
//!
//! [`catalog`] holds the facts, [`planner`] makes the [`stage::Plan`], [`explain`] prints it.

pub mod catalog;
pub mod error;
pub mod explain;
mod neighbourhood;
pub mod planner;
pub mod stage;
mod table;
pub mod warp;

pub use catalog::Catalog;
pub use error::PlanError;
pub use planner::plan;
pub use stage::{Plan, Stage, StageWork};

#[cfg(test)]
mod tests;
