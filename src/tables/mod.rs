//! Tables as jobs see them: specs become queries, queries stages; fragments run; parts become one output.
//!
//! The relational engine itself is the crate `swath-tables`, behind the feature `tables`; without it [`Tables`] exists and
//! says that it can do nothing. With it, `engine` plans and runs, `ask` translates specs and plans, `inputs`, `rows`,
//! `encoded` and `room` are the engine's ports to the exchange, `assemble` makes one output of encoded parts;
//! `fetch` copies a committed table to where somebody asks for it.

#[cfg(not(feature = "tables"))]
mod absent;
#[cfg(feature = "tables")]
mod ask;
#[cfg(feature = "tables")]
mod assemble;
#[cfg(feature = "tables")]
mod encoded;
#[cfg(feature = "tables")]
mod engine;
#[cfg(feature = "tables")]
mod failure;
#[cfg(feature = "tables")]
pub mod fetch;
#[cfg(feature = "tables")]
mod inputs;
#[cfg(feature = "tables")]
mod room;
#[cfg(feature = "tables")]
mod rows;

#[cfg(not(feature = "tables"))]
pub use absent::Tables;
#[cfg(feature = "tables")]
pub(crate) use assemble::{Assembly, BODY, FOOTER, PartFooters, bytes_of};
#[cfg(feature = "tables")]
pub(crate) use engine::FragmentRun;
#[cfg(feature = "tables")]
pub use engine::Tables;
#[cfg(feature = "tables")]
pub(crate) use failure::Error;
