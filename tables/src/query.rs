//! What is asked, and the plan that answers it.

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A question about tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The tables, by the names that the operation gives them.
    pub tables: Vec<NamedTable>,
    /// What is done with them.
    pub operation: Operation,
}

/// A table: one file, many, patterns, or folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedTable {
    /// The name in the operation.
    pub name: String,
    /// Paths, patterns (`*`, `?`, `**`) or URLs of files and folders; a folder may be hive-partitioned.
    pub paths: Vec<String>,
    /// The format, when the names of the files do not tell.
    pub format: Option<Format>,
}

/// How a table is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Parquet, GeoParquet included.
    Parquet,
    /// Comma-separated values with a header.
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// A GeoJSON `FeatureCollection`, or a feature a line.
    Geojson,
    /// Arrow IPC, file or stream.
    Arrow,
}

/// What is done with the tables of a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Operation {
    /// A statement over any number of tables.
    Sql {
        /// The `SELECT` statement.
        statement: String,
    },
    /// Groups of the one table.
    GroupBy {
        /// The columns that make a group.
        by: Vec<String>,
        /// Aggregates such as `sum(x)` or `count(*) as n`.
        aggregates: Vec<String>,
    },
    /// The one table in order.
    Sort {
        /// Keys such as `a desc nulls last`.
        by: Vec<String>,
    },
    /// Rows of the first table with rows of the second.
    Join {
        /// Pairs of columns that must be equal: of the first table, of the second.
        on: Vec<(String, String)>,
        /// Which rows without a partner are kept.
        how: JoinKind,
        /// Whether the second table goes whole to every task.
        broadcast: bool,
    },
    /// Rows of the first table with rows of the second whose geometries meet.
    SpatialJoin {
        /// How they meet.
        predicate: Predicate,
    },
}

/// Which rows a join gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of SQL")]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    Semi,
    Anti,
}

/// How the geometry of the first table stands to that of the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Predicate {
    /// They share a point.
    Intersects,
    /// The first lies in the second.
    Within,
    /// The second lies in the first.
    Contains,
}

/// How a query is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSettings {
    /// Number of partitions of every exchange; default from the bytes at hand and `slots`.
    pub partitions: Option<u32>,
    /// Bytes of input (as stored) that one task should have at most; default 128 MiB.
    pub partition_bytes: u64,
    /// Slots of the cluster as far as known: there are at least as many tasks, when there is enough to do.
    pub slots: u32,
    /// A side of a join smaller than this goes whole to every task; default 16 MiB.
    pub broadcast_bytes: u64,
}

impl Default for PlanSettings {
    fn default() -> Self {
        Self {
            partitions: None,
            partition_bytes: 128 << 20,
            slots: 1,
            broadcast_bytes: 16 << 20,
        }
    }
}

/// Stages of tasks; the last one gives the result, its tasks in the order of the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct TablePlan {
    /// The columns of the result.
    pub schema: SchemaRef,
    /// The stages; each reads only stages before it.
    pub stages: Vec<TableStage>,
}

/// Tasks that run the same fragment over different partitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableStage {
    /// A word or two for tables, such as `scan navaids` or `join`.
    pub name: String,
    /// Number of tasks.
    pub tasks: u32,
    /// The stage behind each exchange that the fragment reads, by the exchange's number.
    pub inputs: Vec<u32>,
    /// The encoded fragment: see [`crate::run`].
    pub fragment: Bytes,
    /// What a task writes.
    pub output: StageOutput,
    /// Bytes that the stage writes, estimated; 0 when nothing is known.
    pub output_bytes: u64,
    /// The operators, a line each, indented, for people.
    pub display: Vec<String>,
}

/// How the rows that a task writes are spread over the partitions of its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StageOutput {
    /// By the hash of keys.
    Hash {
        /// The keys, for people.
        keys: Vec<String>,
        /// Number of partitions.
        partitions: u32,
    },
    /// Sorted runs, cut into chunks, that readers merge by ranges of the keys.
    Sorted {
        /// The keys, for people.
        keys: Vec<String>,
    },
    /// One partition that one reader reads whole, or every reader does.
    Whole {
        /// Whether every reader reads it.
        broadcast: bool,
    },
    /// One partition: rows of the result.
    Result,
}
