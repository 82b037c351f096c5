//! Whole queries, cut and run, against DataFusion alone and against what other tools say.

mod airports;
mod files;
mod memory;
mod statements;
pub(crate) mod support;
mod surroundings;
mod tpch;
