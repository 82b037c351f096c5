//! Tables as jobs see them: specs become queries, queries stages; fragments run; parts become one output.
//!
//! The relational engine itself is the crate `swath-tables`, behind the feature `tables`; without it [`Tables`] exists and
//! says that it can do nothing. `ask` translates specs and plans, `inputs` and `outputs` are the engine's ports to the
//! exchange, `run` runs one fragment, `results` reads committed tables back.

mod absent;
pub use absent::Tables;
