//! Where a result goes: read together with the operation, which says what is made.

use serde::{Deserialize, Serialize};

use super::{
    Compression, DEFAULT_BLOCKSIZE, JobOptions, JobSpec, OutputKind, Overviews, RasterOutput,
    Resampling, SPEC_VERSION, TableCompression, TableFormat, TableOutput, TaskOperation,
};
use crate::grid::DataType;

/// Where the result of a job goes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Output {
    /// One GeoTIFF.
    Raster(RasterOutput),
    /// A table: one file, or a folder of parts.
    Table(TableOutput),
}

impl Output {
    /// Returns the path of the file or folder.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Raster(raster) => &raster.path,
            Self::Table(table) => &table.path,
        }
    }

    /// Returns the path, to be changed.
    pub fn path_mut(&mut self) -> &mut String {
        match self {
            Self::Raster(raster) => &mut raster.path,
            Self::Table(table) => &mut table.path,
        }
    }

    /// Tells whether an existing file or folder may be replaced.
    #[must_use]
    pub const fn overwrite(&self) -> bool {
        match self {
            Self::Raster(raster) => raster.overwrite,
            Self::Table(table) => table.overwrite,
        }
    }
}

impl From<RasterOutput> for Output {
    fn from(raster: RasterOutput) -> Self {
        Self::Raster(raster)
    }
}

impl From<TableOutput> for Output {
    fn from(table: TableOutput) -> Self {
        Self::Table(table)
    }
}

/// Says that an output does not fit its operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// A setting that means nothing for what is made.
    #[error("output: '{field}' is no setting of a {kind}")]
    Field {
        /// The setting.
        field: &'static str,
        /// `raster` or `table`.
        kind: &'static str,
    },
    /// A compression that what is made does not have.
    #[error("output: a {kind} has no compression '{name}'; there are {known}")]
    Compression {
        /// The name given.
        name: String,
        /// `raster` or `table`.
        kind: &'static str,
        /// Those there are.
        known: &'static str,
    },
}

/// A spec as it is written, before its output is understood.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSpec {
    #[serde(default = "current")]
    version: u32,
    operation: TaskOperation,
    #[serde(default)]
    output: Option<RawOutput>,
    #[serde(default)]
    options: JobOptions,
}

fn current() -> u32 {
    SPEC_VERSION
}

/// Every setting of any output.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutput {
    path: String,
    #[serde(default)]
    overwrite: bool,
    #[serde(default)]
    compress: Option<String>,
    #[serde(default)]
    dtype: Option<DataType>,
    #[serde(default, with = "optional_number")]
    nodata: Option<f64>,
    #[serde(default)]
    blocksize: Option<u32>,
    #[serde(default)]
    overviews: Option<Overviews>,
    #[serde(default)]
    overview_resampling: Option<Resampling>,
    #[serde(default)]
    format: Option<TableFormat>,
}

impl TryFrom<RawSpec> for JobSpec {
    type Error = OutputError;

    fn try_from(raw: RawSpec) -> Result<Self, OutputError> {
        let output = match (raw.output, raw.operation.output_kind()) {
            (None, _) => None,
            (Some(output), OutputKind::Table) => Some(Output::Table(output.into_table()?)),
            // A queue's output is refused by the planner, which can say more.
            (Some(output), OutputKind::Raster | OutputKind::Nothing) => {
                Some(Output::Raster(output.into_raster()?))
            }
        };
        Ok(Self {
            version: raw.version,
            operation: raw.operation,
            output,
            options: raw.options,
        })
    }
}

impl RawOutput {
    fn into_raster(self) -> Result<RasterOutput, OutputError> {
        if self.format.is_some() {
            return Err(OutputError::Field {
                field: "format",
                kind: "raster",
            });
        }
        let compress = match self.compress.as_deref() {
            None => Compression::default(),
            Some("deflate") => Compression::Deflate,
            Some("lzw") => Compression::Lzw,
            Some("zstd") => Compression::Zstd,
            Some("none") => Compression::None,
            Some(name) => {
                return Err(OutputError::Compression {
                    name: name.to_owned(),
                    kind: "raster",
                    known: "deflate, lzw, zstd and none",
                });
            }
        };
        Ok(RasterOutput {
            path: self.path,
            overwrite: self.overwrite,
            dtype: self.dtype,
            nodata: self.nodata,
            compress,
            blocksize: self.blocksize.unwrap_or(DEFAULT_BLOCKSIZE),
            overviews: self.overviews.unwrap_or_default(),
            overview_resampling: self.overview_resampling,
        })
    }

    fn into_table(self) -> Result<TableOutput, OutputError> {
        let raster_only = [
            ("dtype", self.dtype.is_some()),
            ("nodata", self.nodata.is_some()),
            ("blocksize", self.blocksize.is_some()),
            ("overviews", self.overviews.is_some()),
            ("overview_resampling", self.overview_resampling.is_some()),
        ];
        if let Some((field, _)) = raster_only.into_iter().find(|(_, given)| *given) {
            let kind = "table";
            return Err(OutputError::Field { field, kind });
        }
        let compress = self.compress.as_deref().map(TableCompression::parse);
        Ok(TableOutput {
            path: self.path,
            overwrite: self.overwrite,
            format: self.format,
            compress: compress.transpose()?,
        })
    }
}

/// Reads and writes an optional number whose NaN and infinities survive JSON.
pub(super) mod optional_number {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Plain(f64),
        Text(String),
    }

    pub(in crate::spec) fn serialize<S: Serializer>(
        value: &Option<f64>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(number) if number.is_finite() => s.serialize_f64(*number),
            Some(number) => s.serialize_str(&number.to_string()),
            None => s.serialize_none(),
        }
    }

    pub(in crate::spec) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<f64>, D::Error> {
        match Option::<Number>::deserialize(d)? {
            None => Ok(None),
            Some(Number::Plain(number)) => Ok(Some(number)),
            Some(Number::Text(text)) => text.parse().map(Some).map_err(de::Error::custom),
        }
    }
}
