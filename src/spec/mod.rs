//! What a person asks for: the versioned file format of a job (TOML or JSON), and the same as a type.
//!
//! [`JobSpec`] is the whole; [`TaskOperation`] what its tasks do, [`Output`] where the result goes, [`JobOptions`]
//! how it is run.

mod neighbourhood;
pub(crate) mod one_or_many;
mod options;
mod output;
mod raster;
mod table;
mod task_list;
mod warp;
mod zonal;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::OperationName;

pub use neighbourhood::{
    Aspect, Convolve, Focal, FocalShape, FocalStatistic, Gradient, Hillshade, RuggednessFormula,
    Scale, Shading, Slope, SlopeUnit, Terrain, TerrainProduct,
};
pub use options::{COMMIT_TIMEOUT, JobOptions, Priority, RetryPolicy, Speculation, TASK_TIMEOUT};
pub use output::{Output, OutputError};
pub use raster::{Compression, DEFAULT_BLOCKSIZE, Overviews, RasterOutput, Resampling};
pub use table::{
    JoinKind, NamedTable, SpatialPredicate, TableCompression, TableFormat, TableInput, TableOutput,
    TableSettings,
};
pub use task_list::{TaskList, TaskListError};
pub use warp::{
    Combine, Composite, ERROR_THRESHOLD, Reproject, Scene, SceneLayer, StatedGrid, TargetGrid,
    UnknownMethod, WarpMethod, WarpSettings,
};
pub use zonal::{Pixels, Statistic, StatisticKind, UnknownStatistic, ZonalStats};

/// The version of the format that this build writes; it reads this one and every earlier one.
pub const SPEC_VERSION: u32 = 1;

/// What a person asks for: one operation, where its output goes, and how to run it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "output::RawSpec")]
pub struct JobSpec {
    /// Version of the format; see [`SPEC_VERSION`].
    pub version: u32,
    /// What the tasks of the job do.
    pub operation: TaskOperation,
    /// Where the result goes: a raster, or a table; refused for task queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// How to run it.
    pub options: JobOptions,
}

/// What the tasks of a job do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TaskOperation {
    /// Spectral indices of the catalogue, by name: an index a band.
    Index {
        /// The short name in the catalogue of each band of the output, such as `NDVI`; a file may give one as
        /// `name = "…"`.
        #[serde(alias = "name", with = "one_or_many")]
        names: Vec<String>,
        /// The bands of the formulas; each is given once.
        inputs: Vec<NamedInput>,
        /// Each sample is multiplied by this before the formulas. Default 1.
        #[serde(default = "one")]
        scale: f64,
        /// Then this is added. Default 0.
        #[serde(default)]
        offset: f64,
        /// Constants of the formulas whose defaults are not wanted, or that have none, by name.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        constants: BTreeMap<String, f64>,
    },
    /// Band math over named inputs: an expression a band.
    Calc {
        /// The inputs, named as in the expressions.
        inputs: Vec<NamedInput>,
        /// The expression of each band of the output, such as `(B - A) / (B + A)`; a file may give one as
        /// `expression = "…"`.
        #[serde(alias = "expression", with = "one_or_many")]
        expressions: Vec<String>,
    },
    /// Any readable GeoTIFF, all bands, as a Cloud Optimized GeoTIFF.
    Convert {
        /// Path or URL of the raster.
        input: String,
    },
    /// A map of the relief of an elevation raster.
    Terrain(Terrain),
    /// A statistic of the window around each cell.
    Focal(Focal),
    /// A weighted sum of the cells around each cell.
    Convolve(Convolve),
    /// One raster, all bands, on another grid.
    Reproject(Reproject),
    /// Many rasters on one grid, one value for each cell.
    Composite(Composite),
    /// Groups of a table's rows.
    GroupBy {
        /// The table.
        input: TableInput,
        /// The columns that make a group.
        by: Vec<String>,
        /// Aggregates such as `sum(x)` or `count(*) as n`.
        aggregates: Vec<String>,
        /// How the work is cut.
        #[serde(default)]
        settings: TableSettings,
    },
    /// A table's rows in order.
    Sort {
        /// The table.
        input: TableInput,
        /// Keys such as `a desc nulls last`.
        by: Vec<String>,
        /// How the work is cut.
        #[serde(default)]
        settings: TableSettings,
    },
    /// Rows of two tables whose keys are equal.
    Join {
        /// The left table.
        left: TableInput,
        /// The right table.
        right: TableInput,
        /// Pairs of columns: of the left table, of the right.
        on: Vec<(String, String)>,
        /// Which rows without a partner are kept. Default `inner`.
        #[serde(default)]
        how: JoinKind,
        /// Whether the right table goes whole to every task.
        #[serde(default)]
        broadcast: bool,
        /// How the work is cut.
        #[serde(default)]
        settings: TableSettings,
    },
    /// A statement over any number of tables.
    Sql {
        /// The `SELECT` statement.
        statement: String,
        /// The tables, by the names in the statement.
        tables: Vec<NamedTable>,
        /// How the work is cut.
        #[serde(default)]
        settings: TableSettings,
    },
    /// Rows of two tables whose geometries meet.
    SpatialJoin {
        /// The left table.
        left: TableInput,
        /// The right table.
        right: TableInput,
        /// How the left geometry stands to the right one.
        predicate: SpatialPredicate,
        /// How the work is cut.
        #[serde(default)]
        settings: TableSettings,
    },
    /// Statistics of a raster's cells by zone.
    ZonalStats(ZonalStats),
    /// A plain queue: one task for each set of parameters, for an operation that workers know.
    Custom {
        /// The operation, built in (`noop`, `sleep`, `fail`) or registered by a program.
        operation: OperationName,
        /// The parameters of each task.
        tasks: TaskList,
    },
}

/// What an operation makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// One GeoTIFF.
    Raster,
    /// A table.
    Table,
    /// Nothing but what its tasks return.
    Nothing,
}

impl TaskOperation {
    /// Returns what the operation makes.
    #[must_use]
    pub const fn output_kind(&self) -> OutputKind {
        match self {
            Self::Index { .. }
            | Self::Calc { .. }
            | Self::Convert { .. }
            | Self::Terrain(_)
            | Self::Focal(_)
            | Self::Convolve(_)
            | Self::Reproject(_)
            | Self::Composite(_) => OutputKind::Raster,
            Self::GroupBy { .. }
            | Self::Sort { .. }
            | Self::Join { .. }
            | Self::Sql { .. }
            | Self::SpatialJoin { .. }
            | Self::ZonalStats(_) => OutputKind::Table,
            Self::Custom { .. } => OutputKind::Nothing,
        }
    }

    /// Lists every path of an input, to be read or changed.
    pub fn paths_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Index { inputs, .. } | Self::Calc { inputs, .. } => {
                inputs.iter_mut().map(|input| &mut input.path).collect()
            }
            Self::Convert { input }
            | Self::Terrain(Terrain { input, .. })
            | Self::Focal(Focal { input, .. })
            | Self::Convolve(Convolve { input, .. }) => vec![input],
            Self::Reproject(reproject) => vec![&mut reproject.input],
            Self::Composite(composite) => {
                let layers = composite.scenes.iter_mut().flat_map(Scene::files_mut);
                layers.map(|layer| &mut layer.path).collect()
            }
            Self::GroupBy { input, .. } | Self::Sort { input, .. } => {
                input.paths.iter_mut().collect()
            }
            Self::Join { left, right, .. } | Self::SpatialJoin { left, right, .. } => {
                left.paths.iter_mut().chain(&mut right.paths).collect()
            }
            Self::Sql { tables, .. } => {
                let inputs = tables.iter_mut().map(|table| &mut table.input);
                inputs.flat_map(|input| &mut input.paths).collect()
            }
            Self::ZonalStats(zonal) => vec![&mut zonal.raster, &mut zonal.zones],
            Self::Custom { .. } => Vec::new(),
        }
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
            output: Some(Output::Raster(output)),
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
    fn an_output_is_read_as_what_the_operation_makes() {
        let sort = "[operation]\ntype = 'sort'\ninput = { paths = ['a.csv'] }\nby = ['x desc']\n";
        let text = format!("{sort}[output]\npath = 'out.parquet'\ncompress = 'zstd'");
        let spec: JobSpec = toml::from_str(&text).unwrap();
        let Some(Output::Table(table)) = &spec.output else {
            panic!("{:?}", spec.output)
        };
        assert_eq!(table.compress, Some(TableCompression::Zstd));
        let again: JobSpec = toml::from_str(&toml::to_string(&spec).unwrap()).unwrap();
        assert_eq!(again, spec);
        let wire = crate::wire::encode(&spec).unwrap();
        assert_eq!(crate::wire::decode::<JobSpec>(&wire).unwrap(), spec);

        let text = format!("{sort}[output]\npath = 'out.parquet'\nblocksize = 512");
        let error = toml::from_str::<JobSpec>(&text).unwrap_err().to_string();
        assert!(
            error.contains("blocksize") && error.contains("table"),
            "{error}"
        );
        let text = "[operation]\ntype = 'convert'\ninput = 'a.tif'\n[output]\npath = 'b.tif'\nformat = 'csv'";
        let error = toml::from_str::<JobSpec>(text).unwrap_err().to_string();
        assert!(
            error.contains("format") && error.contains("raster"),
            "{error}"
        );
    }

    #[test]
    fn band_math_is_one_expression_or_a_list() {
        let one = "type = 'calc'\ninputs = [{ name = 'A', path = 'a.tif' }]\nexpression = 'A + 1'";
        let many = one.replace("expression = 'A + 1'", "expressions = ['A + 1', 'A - 1']");
        for (text, wanted) in [(one, vec!["A + 1"]), (&many, vec!["A + 1", "A - 1"])] {
            let read: TaskOperation = toml::from_str(text).unwrap();
            let TaskOperation::Calc { expressions, .. } = &read else {
                panic!("{read:?}")
            };
            assert_eq!(*expressions, wanted);
            let again: TaskOperation = toml::from_str(&toml::to_string(&read).unwrap()).unwrap();
            assert_eq!(again, read);
            let wire = crate::wire::encode(&read).unwrap();
            assert_eq!(crate::wire::decode::<TaskOperation>(&wire).unwrap(), read);
        }
        let none = one.replace("'A + 1'", "[]");
        assert!(toml::from_str::<TaskOperation>(&none).is_err());
    }

    #[test]
    fn a_task_file_names_the_line_that_is_not_json() {
        assert_eq!(TaskList::from_ndjson("{}\n\nno\n").unwrap_err().line, 3);
    }
}
