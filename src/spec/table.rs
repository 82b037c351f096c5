//! Tables: what is read, and where the result goes.

use serde::{Deserialize, Serialize};

use super::OutputError;

/// A table that is read: one file, many, patterns, or folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableInput {
    /// Paths, patterns (`*`, `?`, `**`) or URLs of files and folders; a folder may be hive-partitioned.
    pub paths: Vec<String>,
    /// The format, when the names of the files do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<TableFormat>,
}

/// A table under the name that a statement gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedTable {
    /// The name in the statement.
    pub name: String,
    /// The table.
    #[serde(flatten)]
    pub input: TableInput,
}

/// How a table is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableFormat {
    /// Parquet, and GeoParquet where there is a geometry.
    Parquet,
    /// Comma-separated values with a header; an empty field is null.
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// A GeoJSON `FeatureCollection`.
    Geojson,
    /// Arrow IPC.
    Arrow,
}

/// How the pages of a Parquet file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "names of codecs")]
pub enum TableCompression {
    None,
    Snappy,
    Zstd,
    Gzip,
    Lz4,
}

impl TableCompression {
    pub(super) fn parse(name: &str) -> Result<Self, OutputError> {
        match name {
            "none" => Ok(Self::None),
            "snappy" => Ok(Self::Snappy),
            "zstd" => Ok(Self::Zstd),
            "gzip" => Ok(Self::Gzip),
            "lz4" => Ok(Self::Lz4),
            name => Err(OutputError::Compression {
                name: name.to_owned(),
                kind: "table",
                known: "snappy, zstd, gzip, lz4 and none",
            }),
        }
    }
}

/// Where a table goes and how it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableOutput {
    /// Path of the file; a path that ends in `/`, or has no known extension, is a folder of parts.
    pub path: String,
    /// Whether an existing file or folder may be replaced; default no.
    pub overwrite: bool,
    /// The format; default by the extension, Parquet for a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<TableFormat>,
    /// Compression of Parquet pages; default snappy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compress: Option<TableCompression>,
}

impl TableOutput {
    /// Writes to `path` with every default.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            overwrite: false,
            format: None,
            compress: None,
        }
    }

    /// Returns the format, and whether it is a folder of parts.
    #[must_use]
    pub fn layout(&self) -> (TableFormat, bool) {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let by_name = name.rsplit_once('.').and_then(|(stem, extension)| {
            let known = match extension.to_ascii_lowercase().as_str() {
                "parquet" | "geoparquet" | "pq" => TableFormat::Parquet,
                "csv" => TableFormat::Csv,
                "ndjson" | "jsonl" | "ndjsonl" => TableFormat::Ndjson,
                "geojson" | "json" => TableFormat::Geojson,
                "arrow" | "feather" | "ipc" => TableFormat::Arrow,
                _ => return None,
            };
            (!stem.is_empty()).then_some(known)
        });
        let format = self.format.or(by_name).unwrap_or(TableFormat::Parquet);
        (format, by_name.is_none())
    }
}

/// Which rows a join gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinKind {
    /// Pairs.
    #[default]
    Inner,
    /// Pairs, and left rows without a partner.
    Left,
    /// Pairs, and right rows without a partner.
    Right,
    /// Pairs, and all rows without a partner.
    Full,
    /// Left rows that have a partner.
    Semi,
    /// Left rows that have none.
    Anti,
}

/// How the geometry of a left row stands to that of a right row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpatialPredicate {
    /// They share a point.
    Intersects,
    /// The left one lies in the right one.
    Within,
    /// The right one lies in the left one.
    Contains,
}

/// How the work on tables is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableSettings {
    /// Number of partitions of every exchange; default from the bytes at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// Bytes of input that one task should have at most; default 128 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_bytes: Option<u64>,
    /// A side of a join smaller than this goes whole to every task; default 16 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broadcast_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_output_tells_its_format_and_whether_it_is_a_folder() {
        let check = |path: &str, expected| assert_eq!(TableOutput::new(path).layout(), expected);
        check("/a/b.parquet", (TableFormat::Parquet, false));
        check("b.CSV", (TableFormat::Csv, false));
        check("/a.csv/b", (TableFormat::Parquet, true));
        check("/a/b/", (TableFormat::Parquet, true));
        check("/a/.csv", (TableFormat::Parquet, true));
        check("s3://bucket/x.geojson", (TableFormat::Geojson, false));
        let folder = TableOutput {
            format: Some(TableFormat::Csv),
            ..TableOutput::new("/a/b")
        };
        assert_eq!(folder.layout(), (TableFormat::Csv, true));
    }
}
