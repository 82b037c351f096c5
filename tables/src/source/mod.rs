//! Tables from files: paths, patterns and folders become DataFusion tables whose scans can be sent to workers.
//!
//! [`register`] finds the files (`locate.rs`), reads what each says of itself (`facts.rs`, one file a format), joins their
//! schemas (`schema.rs`, `hive.rs`) and registers a [`TableProvider`](datafusion::catalog::TableProvider) (`table.rs`)
//! that shares its bytes out to partitions (`split.rs`). A scan is one `DataSourceExec` over file groups: DataFusion's
//! own for Parquet and CSV, `decoded.rs` for the others, whose bytes in a plan are `codec.rs`. Filters on folders prune
//! files; other filters reach Parquet's row groups and pages through DataFusion's own rules.
//!
//! A format's rules (null, types, names) are in the head of its file: `csv.rs`, `json.rs`, `geojson.rs`, `hive.rs`.
//! Geometry columns are marked as [`crate::geometry`] says. Nothing here writes.

mod arrow_ipc;
pub mod codec;
mod context;
mod csv;
mod decoded;
mod error;
mod facts;
mod format;
mod geojson;
mod geojson_wkb;
mod geoparquet;
mod guard;
mod hive;
mod json;
mod locate;
mod net;
mod parquet;
mod register;
mod remote;
mod s3;
mod schema;
mod split;
mod table;
#[cfg(test)]
mod tests;
mod whole;

pub use context::SourceContext;
pub use error::Error;
pub use format::format_of;
pub(crate) use guard::panic_text;
pub use register::{SourceFacts, register};
pub(crate) use whole::whole_file;
