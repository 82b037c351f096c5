//! The part of the crate `zstd` that Arrow and Parquet use, over `structured-zstd`, so that no C is compiled.
//!
//! It stands in for the real crate by `[patch.crates-io]`: names and meanings are those of `zstd` 0.13. It reaches
//! only builds of this workspace; a program that takes the library from a registry compiles C zstd instead.

use std::ops::RangeInclusive;

pub mod bulk;
pub mod zstd_safe;

/// Returns the levels that [`bulk::Compressor::new`] accepts.
#[must_use]
pub fn compression_level_range() -> RangeInclusive<zstd_safe::CompressionLevel> {
    1..=22
}
