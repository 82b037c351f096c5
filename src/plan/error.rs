//! Why a job cannot be planned.

use super::warp::WarpError;
use crate::grid::DataType;
use crate::job::FailureClass;
use crate::ops::focal;
use crate::ops::local::{calc, index};
use crate::spec::SPEC_VERSION;

/// Says why a spec cannot be planned.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named by the messages")]
pub enum PlanError {
    /// The spec is of a later version.
    #[error(
        "the job is of format version {found}; this build reads up to {SPEC_VERSION}: update it"
    )]
    Version { found: u32 },
    /// A raster operation without an output.
    #[error("{operation} needs an output: give -o {example}")]
    NoOutput {
        operation: &'static str,
        example: &'static str,
    },
    /// An output where there is none.
    #[error("a task queue has no raster output; remove -o {path}")]
    UnwantedOutput { path: String },
    /// The block size is not one that a TIFF can have.
    #[error("block size {blocksize} is not a multiple of 16 from 16 to 4096; 512 is usual")]
    Blocksize { blocksize: u32 },
    /// More tasks than can be numbered.
    #[error("{tasks} tasks are more than a stage can hold")]
    TooManyTasks { tasks: u64 },
    /// There is no such index.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The expression is wrong.
    #[error("the expression cannot be used")]
    Calc(#[from] calc::Error),
    /// The parameters of an operation on neighbourhoods are wrong.
    #[error(transparent)]
    Focal(#[from] focal::Error),
    /// An input that the formula does not name, or one too few.
    #[error("{formula} needs the inputs {wanted}; {problem}")]
    Inputs {
        formula: String,
        wanted: String,
        problem: String,
    },
    /// A band that the file does not have.
    #[error("{path} has {bands} band(s); there is no band {band}")]
    NoSuchBand { path: String, band: u16, bands: u16 },
    /// Two inputs whose cells are not the same places.
    #[error(
        "the inputs are not on one grid: {a_path} is {a}, {b_path} is {b}; bring one onto the other's grid first: swath run reproject"
    )]
    Grids {
        a_path: String,
        a: String,
        b_path: String,
        b: String,
    },
    /// An integer raster cannot hold NaN.
    #[error(
        "{dtype} cannot hold the no-data value {nodata}; give --nodata with a value from {low} to {high}"
    )]
    Nodata {
        dtype: DataType,
        nodata: f64,
        low: f64,
        high: f64,
    },
    /// A result that needs a value for "no data".
    #[error(
        "cells without data need a value in a raster of {dtype}: give --nodata, or --dtype float32"
    )]
    NodataMissing { dtype: DataType },
    /// A masked raster without a no-data value, which cannot have a band of opacity either.
    #[error(
        "{path} has a mask and no no-data value, and a band of opacity is made for uint8 and uint16 without palette only: give --nodata with a value that the raster does not use"
    )]
    Mask { path: String },
    /// The no-data value of the input is none of the type asked for.
    #[error(
        "the no-data value {nodata} of {path} is no {dtype}: say with --nodata which value is to mean no data instead"
    )]
    NodataOfInput {
        path: String,
        nodata: f64,
        dtype: DataType,
    },
    /// Rasters cannot be brought onto the grid.
    #[error(transparent)]
    Warp(#[from] WarpError),
    /// Zonal statistics without a statistic.
    #[error("zonal-stats needs at least one statistic: give --stats mean,count")]
    NoStatistics,
    /// Two columns of one name.
    #[error(
        "the result would have two columns '{column}'; give --column-prefix zonal_, which stands before the statistics' names"
    )]
    ZonalColumn { column: String },
    /// A geometry where there is no place for it.
    #[error(
        "a table of {format} has no place for the zones' geometry; leave --geometry out, or write .parquet or .geojson"
    )]
    ZonalGeometry { format: &'static str },
    /// The program was built without the engine.
    #[error("this build of Swath has no tables; build it with the feature 'tables'")]
    NoTables,
    /// The caller gave no facts about an input.
    #[error("nothing is known of {path}")]
    Unknown { path: String },
}

impl PlanError {
    /// Says what should be done: a wrong spec never becomes right.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        FailureClass::Fatal
    }

    /// Returns a stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Version { .. } => "spec-version",
            Self::NoOutput { .. } | Self::UnwantedOutput { .. } => "spec-output",
            Self::Blocksize { .. } => "spec-blocksize",
            Self::TooManyTasks { .. } => "spec-tasks",
            Self::Index(_) => "spec-index",
            Self::Calc(_) => "spec-expression",
            Self::Focal(_) => "spec-window",
            Self::Inputs { .. } => "spec-inputs",
            Self::NoSuchBand { .. } => "spec-band",
            Self::Grids { .. } => "spec-grids",
            Self::Warp(error) => error.code(),
            Self::Nodata { .. }
            | Self::NodataMissing { .. }
            | Self::NodataOfInput { .. }
            | Self::Mask { .. } => "spec-nodata",
            Self::NoStatistics => "spec-statistics",
            Self::ZonalColumn { .. } => "spec-column",
            Self::ZonalGeometry { .. } => "spec-geometry",
            Self::NoTables => "no-tables",
            Self::Unknown { .. } => "spec-input",
        }
    }
}
