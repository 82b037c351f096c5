//! How a result is written.

use serde::{Deserialize, Serialize};

use crate::query::Format;

/// The format of an output, and how it is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFormat {
    /// The format.
    pub format: Format,
    /// How blocks inside the file are compressed; only Parquet and Arrow have such.
    pub compression: Compression,
}

/// How blocks inside a Parquet or Arrow file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Snappy for Parquet, nothing for Arrow.
    #[default]
    Default,
    /// Nothing.
    None,
    /// Snappy; Parquet only.
    Snappy,
    /// LZ4.
    Lz4,
    /// Gzip; Parquet only.
    Gzip,
    /// Zstandard: smaller files, slower to write.
    Zstd,
}

impl OutputFormat {
    /// Returns the format that the name of an output tells, with the default compression.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        crate::source::format_of(path).map(Self::from)
    }

    /// Returns the end of the names of files of this format.
    #[must_use]
    pub const fn extension(&self) -> &'static str {
        match self.format {
            Format::Parquet => "parquet",
            Format::Csv => "csv",
            Format::Ndjson => "ndjson",
            Format::Geojson => "geojson",
            Format::Arrow => "arrow",
        }
    }
}

impl From<Format> for OutputFormat {
    fn from(format: Format) -> Self {
        Self {
            format,
            compression: Compression::Default,
        }
    }
}
