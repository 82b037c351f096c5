//! What a person asks for: the versioned file format of a job (TOML or JSON), and the same as a type.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::grid::DataType;
use crate::ids::OperationName;

/// The version of the format that this build writes; it reads this one and every earlier one.
pub const SPEC_VERSION: u32 = 1;

/// What a person asks for: one operation, where its output goes, and how to run it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// Version of the format; see [`SPEC_VERSION`].
    #[serde(default = "current")]
    pub version: u32,
    /// What the tasks of the job do.
    pub operation: TaskOperation,
    /// Where the raster goes; required for raster operations, refused for task queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<RasterOutput>,
    /// How to run it.
    #[serde(default)]
    pub options: JobOptions,
}

fn current() -> u32 {
    SPEC_VERSION
}

/// What the tasks of a job do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TaskOperation {
    /// A spectral index of the catalogue, by name.
    Index {
        /// The short name in the catalogue, such as `NDVI`.
        name: String,
        /// The bands of the formula; each is given once.
        inputs: Vec<NamedInput>,
        /// Each sample is multiplied by this before the formula. Default 1.
        #[serde(default = "one")]
        scale: f64,
        /// Then this is added. Default 0.
        #[serde(default)]
        offset: f64,
    },
    /// Band math: one expression over named inputs.
    Calc {
        /// The inputs, named as in the expression.
        inputs: Vec<NamedInput>,
        /// The expression, such as `(B - A) / (B + A)`.
        expression: String,
    },
    /// Any readable GeoTIFF, all bands, as a Cloud Optimized GeoTIFF.
    Convert {
        /// Path or URL of the raster.
        input: String,
    },
    /// A plain queue: one task for each set of parameters, for an operation that workers know.
    Custom {
        /// The operation, built in (`noop`, `sleep`, `fail`) or registered by a program.
        operation: OperationName,
        /// The parameters of each task.
        tasks: TaskList,
    },
}

/// The parameters of the tasks of a queue: one JSON value each, kept as compact text, so that a million
/// tasks cost their text and eight bytes each.
///
/// In JSON and TOML it is a list of values; on the wire it is one string, a line a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskList {
    lines: String,
    ends: Vec<usize>,
}

impl TaskList {
    /// Makes a list of values.
    #[must_use]
    pub fn new<'v>(values: impl IntoIterator<Item = &'v serde_json::Value>) -> Self {
        let mut list = Self::default();
        for value in values {
            list.push_line(&value.to_string());
        }
        list
    }

    /// Reads newline-delimited JSON; empty lines do not count.
    ///
    /// # Errors
    /// When a line is not JSON: its number, from 1, and what is wrong with it.
    pub fn from_ndjson(text: &str) -> Result<Self, TaskListError> {
        let mut list = Self::default();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let parsed: Result<&serde_json::value::RawValue, _> = serde_json::from_str(line);
            let value = parsed.map_err(|source| TaskListError {
                line: number + 1,
                source,
            })?;
            list.push_line(value.get());
        }
        Ok(list)
    }

    fn push_line(&mut self, line: &str) {
        self.lines.push_str(line);
        self.ends.push(self.lines.len());
        self.lines.push('\n');
    }

    /// Returns the number of tasks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Tells whether there is no task.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the parameters of a task as JSON text.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => self.ends.get(before)? + 1,
            None => 0,
        };
        self.lines.get(start..end)
    }
}

/// Says which line of a task file is not JSON.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is not JSON")]
pub struct TaskListError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    source: serde_json::Error,
}

impl Serialize for TaskList {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_str(&self.lines);
        }
        let value = |line| {
            serde_json::from_str::<serde_json::Value>(line).map_err(serde::ser::Error::custom)
        };
        let values: Result<Vec<_>, _> = self.lines.lines().map(value).collect();
        values?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TaskList {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Behind a tagged enum nobody knows any more whether the format was for people, so both forms
        // are read anywhere.
        deserializer.deserialize_any(TaskListVisitor)
    }
}

struct TaskListVisitor;

impl<'de> serde::de::Visitor<'de> for TaskListVisitor {
    type Value = TaskList;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of the tasks' parameters")
    }

    fn visit_str<E: serde::de::Error>(self, lines: &str) -> Result<TaskList, E> {
        self.visit_string(lines.to_owned())
    }

    fn visit_string<E: serde::de::Error>(self, lines: String) -> Result<TaskList, E> {
        let ends = lines.match_indices('\n').map(|(at, _)| at).collect();
        Ok(TaskList { lines, ends })
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut values: A) -> Result<TaskList, A::Error> {
        let mut list = TaskList::default();
        while let Some(value) = values.next_element::<serde_json::Value>()? {
            list.push_line(&value.to_string());
        }
        Ok(list)
    }
}

fn one() -> f64 {
    1.0
}

/// One band of one raster, under the name that a formula gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedInput {
    /// The name in the formula.
    pub name: String,
    /// Path or URL of the raster.
    pub path: String,
    /// The band, from 1.
    #[serde(default = "first_band")]
    pub band: u16,
}

fn first_band() -> u16 {
    1
}

/// How the tiles of a raster are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// Deflate (zlib), the default.
    #[default]
    Deflate,
    /// Lempel-Ziv-Welch, TIFF flavour.
    Lzw,
    /// Zstandard.
    Zstd,
}

/// Which overviews a raster gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overviews {
    /// Halve until the raster fits in one tile; the mean of the valid cells for measured values,
    /// the nearest cell for classes.
    #[default]
    Auto,
    /// None.
    None,
}

/// How a cell of an overview is made from the (at most) four below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resampling {
    /// The mean of the valid ones.
    Average,
    /// The upper left one.
    Nearest,
}

/// Where a raster goes and how it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RasterOutput {
    /// Path of the GeoTIFF.
    pub path: String,
    /// Whether an existing file may be replaced; default no.
    #[serde(default)]
    pub overwrite: bool,
    /// Type of the samples; default float32 for math, the input's type for `convert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<DataType>,
    /// The value that means "no data"; default NaN for math, the input's for `convert`.
    /// `NaN` is written as a string in JSON.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_number"
    )]
    pub nodata: Option<f64>,
    /// Compression of the tiles.
    #[serde(default)]
    pub compress: Compression,
    /// Cells along the edge of a tile: a multiple of 16, 16 to 4096.
    #[serde(default = "default_blocksize")]
    pub blocksize: u32,
    /// Which overviews to make.
    #[serde(default)]
    pub overviews: Overviews,
}

/// The default of [`RasterOutput::blocksize`].
pub const DEFAULT_BLOCKSIZE: u32 = 512;

fn default_blocksize() -> u32 {
    DEFAULT_BLOCKSIZE
}

impl RasterOutput {
    /// Writes to `path` with every default.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            overwrite: false,
            dtype: None,
            nodata: None,
            compress: Compression::default(),
            blocksize: DEFAULT_BLOCKSIZE,
            overviews: Overviews::default(),
        }
    }
}

/// Which jobs go first when workers are few.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others.
    High,
    /// The default.
    #[default]
    Normal,
    /// When nothing else waits.
    Low,
}

impl Priority {
    /// Every priority, the most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// Returns the name as the command line spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

/// How a task that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// Tries of one task that may fail by the task's own fault before the job fails; at least 1. Default 4.
    pub max_attempts: u32,
    /// Wait before the second try; doubles with each further one. Default 500 ms.
    pub base_ms: u64,
    /// The longest wait. Default 60 s.
    pub max_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            base_ms: 500,
            max_ms: 60_000,
        }
    }
}

/// How to run a job.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct JobOptions {
    /// Which jobs go first.
    pub priority: Priority,
    /// How a task that failed is tried again.
    pub retry: RetryPolicy,
    /// The longest that one try of a task may run; default no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_timeout_ms: Option<u64>,
    /// The longest that the job may take from submit to end; default no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

impl JobOptions {
    /// Returns the longest that one try of a task may run.
    #[must_use]
    pub fn task_timeout(&self) -> Option<Duration> {
        self.task_timeout_ms.map(Duration::from_millis)
    }
}

/// Reads and writes an optional number whose NaN and infinities survive JSON.
mod optional_number {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Plain(f64),
        Text(String),
    }

    pub(super) fn serialize<S: Serializer>(value: &Option<f64>, s: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(number) if number.is_finite() => s.serialize_f64(*number),
            Some(number) => s.serialize_str(&number.to_string()),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
        match Option::<Number>::deserialize(d)? {
            None => Ok(None),
            Some(Number::Plain(number)) => Ok(Some(number)),
            Some(Number::Text(text)) => text.parse().map(Some).map_err(de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn custom(tasks: TaskList) -> JobSpec {
        JobSpec {
            version: SPEC_VERSION,
            operation: TaskOperation::Custom {
                operation: OperationName::new("noop").unwrap(),
                tasks,
            },
            output: None,
            options: JobOptions::default(),
        }
    }

    #[test]
    fn a_spec_survives_the_wire_json_and_toml() {
        let tasks = TaskList::from_ndjson("{\"a\":1}\n\n {\"b\": [1, 2]} \n").unwrap();
        assert_eq!(tasks.len(), 2);
        assert_eq!(tasks.get(1), Some("{\"b\": [1, 2]}"));
        assert_eq!(tasks.get(2), None);
        let spec = custom(tasks);
        let wire = crate::wire::encode(&spec).unwrap();
        assert_eq!(crate::wire::decode::<JobSpec>(&wire).unwrap(), spec);

        let mut output = RasterOutput::new("/tmp/out.tif");
        output.nodata = Some(f64::NEG_INFINITY);
        let spec = JobSpec {
            operation: TaskOperation::Convert {
                input: "/tmp/in.tif".to_owned(),
            },
            output: Some(output),
            ..custom(TaskList::new(&[json!({})]))
        };
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<JobSpec>(&json).unwrap(), spec);
        let toml = toml::to_string(&spec).unwrap();
        assert_eq!(toml::from_str::<JobSpec>(&toml).unwrap(), spec);
    }

    #[test]
    fn a_job_file_with_an_unknown_field_is_refused() {
        let text = "[operation]\ntype = 'convert'\ninput = 'a.tif'\ncolour = 'red'";
        assert!(
            toml::from_str::<JobSpec>(text)
                .unwrap_err()
                .to_string()
                .contains("colour")
        );
    }

    #[test]
    fn a_task_file_names_the_line_that_is_not_json() {
        assert_eq!(TaskList::from_ndjson("{}\n\nno\n").unwrap_err().line, 3);
    }
}
