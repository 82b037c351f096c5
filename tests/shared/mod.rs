//! What the tests of several crates need: the shared data, and the jobs on tables whose results it holds.

mod data;
#[cfg(feature = "tables")]
pub(crate) mod tables;

pub(crate) use data::shared_data;
