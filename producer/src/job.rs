//! Jobs as the command line spells them, made into specs.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use swath::grid::DataType;
use swath::ids::{OperationName, QueueName};
use swath::spec::{
    Compression, JobOptions, NamedInput, Output, Overviews, Priority, RasterOutput, Resampling,
    RetryPolicy, SPEC_VERSION, TaskList,
};
use swath::units::parse_duration;
use swath::{JobSpec, TaskOperation};

use crate::failure::CliError;
use crate::scene::IndexArguments;
use crate::zonal_job::Zonal;
use crate::{neighbourhood_job, table_job, warp_job};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = false,
    subcommand_negates_reqs = true
)]
pub(crate) struct JobArguments {
    /// Read the job from a TOML or JSON file
    #[arg(short, long, global = true)]
    file: Option<PathBuf>,
    /// Which jobs go first
    #[arg(long, global = true)]
    priority: Option<PriorityName>,
    /// Whose workers run it: those that were started with --queue NAME [default: default]
    #[arg(long, global = true, value_name = "NAME")]
    queue: Option<QueueName>,
    /// Tries of one task before the job fails
    #[arg(long, global = true, value_parser = clap::value_parser!(u32).range(1..))]
    max_attempts: Option<u32>,
    /// The longest that one try of a task may run, such as 10m, or none [default: what the operation says, else 1h; 24h for the
    /// task that puts the output together]
    #[arg(long, global = true, value_parser = parse_limit)]
    task_timeout: Option<std::time::Duration>,
    /// The longest that the job may take, such as 2h
    #[arg(long, global = true, value_parser = parse_span)]
    deadline: Option<std::time::Duration>,
    /// No second run of a task that takes far longer than its peers
    #[arg(long, global = true)]
    no_speculation: bool,
    #[command(subcommand)]
    job: Option<JobCommand>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PriorityName {
    High,
    Normal,
    Low,
}

#[derive(Debug, Subcommand)]
enum JobCommand {
    /// Normalised difference vegetation index: (nir - red) / (nir + red)
    Ndvi {
        /// The red band
        #[arg(long, value_name = "FILE[@BAND]")]
        red: String,
        /// The near infrared band
        #[arg(long, value_name = "FILE[@BAND]")]
        nir: String,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Spectral indices of the catalogue, by name; `swath operations NAME` shows the bands of one
    Index {
        #[command(flatten)]
        index: IndexArguments,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Band math: infix operators, comparisons, ternary, functions; no data stays no data
    Calc {
        /// A name in the expression and the file that holds it
        #[arg(short, long = "input", value_name = "A=FILE[@BAND]", required = true)]
        inputs: Vec<String>,
        /// The expression, such as '(B - A) / (B + A)'; given again, it makes another band
        #[arg(long, allow_hyphen_values = true, required = true, value_name = "EXPR")]
        calc: Vec<String>,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Any readable GeoTIFF as a Cloud Optimized GeoTIFF
    Convert {
        /// The raster
        input: String,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Shaded relief of an elevation raster
    Hillshade(neighbourhood_job::HillshadeJob),
    /// Steepness of an elevation raster
    Slope(neighbourhood_job::SlopeJob),
    /// Direction that the slopes of an elevation raster face
    Aspect(neighbourhood_job::AspectJob),
    /// Largest less smallest elevation of a cell and its eight neighbours
    Roughness(neighbourhood_job::RoughnessJob),
    /// Terrain ruggedness index: how much elevations differ from their neighbours
    Tri(neighbourhood_job::TriJob),
    /// Topographic position index: elevations less the mean of their neighbours
    Tpi(neighbourhood_job::TpiJob),
    /// A statistic of the window around each cell
    Focal(neighbourhood_job::FocalJob),
    /// A weighted sum of the cells around each cell
    Convolve(neighbourhood_job::ConvolveJob),
    /// A raster on another grid: CRS, resolution, extent
    Reproject(warp_job::Reproject),
    /// Many rasters on one grid, side by side
    Mosaic(warp_job::Mosaic),
    /// Many rasters on one grid, one value for each cell
    Composite(warp_job::Composite),
    /// Groups of a table's rows, with aggregates
    GroupBy(table_job::GroupBy),
    /// A table's rows in order
    Sort(table_job::Sort),
    /// Rows of two tables whose keys are equal
    Join(table_job::Join),
    /// A SELECT statement over any number of tables
    Sql(table_job::Sql),
    /// Rows of two tables whose geometries meet
    SpatialJoin(table_job::SpatialJoin),
    /// Statistics of a raster's cells by zone
    ZonalStats(Zonal),
    /// A plain queue: one task a line, for operations that workers know
    Tasks {
        /// The operation
        #[arg(long)]
        operation: OperationName,
        /// File with the parameters of one task a line, as JSON
        #[arg(long)]
        params: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct OutputArguments {
    /// The GeoTIFF to write
    #[arg(short, long, value_name = "OUT.tif")]
    output: String,
    /// Replace an existing output
    #[arg(long)]
    overwrite: bool,
    /// Type of the samples [default: what the operation makes; see `swath operations`]
    #[arg(long)]
    dtype: Option<DataType>,
    /// The value that means "no data" [default: what the operation makes]
    #[arg(long, allow_negative_numbers = true)]
    nodata: Option<f64>,
    /// Compression of the tiles
    #[arg(long, default_value = "deflate")]
    compress: CompressionName,
    /// Cells along the edge of a tile
    #[arg(long, default_value_t = swath::spec::DEFAULT_BLOCKSIZE)]
    blocksize: u32,
    /// Which overviews to make
    #[arg(long, default_value = "auto")]
    overviews: OverviewsName,
    /// How overviews are made [default: nearest for palettes and single bits, else average]
    #[arg(long, value_name = "NAME")]
    overview_resampling: Option<ResamplingName>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompressionName {
    Deflate,
    Lzw,
    Zstd,
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ResamplingName {
    Nearest,
    Average,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OverviewsName {
    Auto,
    None,
}

impl OutputArguments {
    pub(crate) fn into_spec(self) -> Result<Output, CliError> {
        Ok(Output::Raster(RasterOutput {
            path: absolute(&self.output)?,
            overwrite: self.overwrite,
            dtype: self.dtype,
            nodata: self.nodata,
            compress: match self.compress {
                CompressionName::Deflate => Compression::Deflate,
                CompressionName::Lzw => Compression::Lzw,
                CompressionName::Zstd => Compression::Zstd,
                CompressionName::None => Compression::None,
            },
            blocksize: self.blocksize,
            overviews: match self.overviews {
                OverviewsName::Auto => Overviews::Auto,
                OverviewsName::None => Overviews::None,
            },
            overview_resampling: self.overview_resampling.map(|name| match name {
                ResamplingName::Nearest => Resampling::Nearest,
                ResamplingName::Average => Resampling::Average,
            }),
        }))
    }
}

impl JobArguments {
    /// Makes the spec of the job, with absolute paths.
    pub(crate) fn into_spec(self) -> Result<JobSpec, CliError> {
        let mut spec = match (&self.file, self.job) {
            (Some(path), None) => read_file(path)?,
            (None, Some(job)) => job.into_spec()?,
            (Some(_), Some(_)) => {
                let message = "give a job or a job file, not both".to_owned();
                return Err(CliError::asked("spec-job", message));
            }
            (None, None) => {
                let message =
                    "no job given: name one, such as ndvi, or give -f job.toml; see --help";
                return Err(CliError::asked("spec-job", message.to_owned()));
            }
        };
        let options = &mut spec.options;
        if let Some(priority) = self.priority {
            options.priority = match priority {
                PriorityName::High => Priority::High,
                PriorityName::Normal => Priority::Normal,
                PriorityName::Low => Priority::Low,
            };
        }
        if let Some(queue) = self.queue {
            options.queue = queue;
        }
        if let Some(max_attempts) = self.max_attempts {
            options.retry = Some(RetryPolicy {
                max_attempts,
                ..options.retry.unwrap_or_default()
            });
        }
        let ms = |wait: std::time::Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        options.task_timeout_ms = self.task_timeout.map(ms).or(options.task_timeout_ms);
        options.speculation.enabled &= !self.no_speculation;
        options.deadline_ms = self.deadline.map(ms).or(options.deadline_ms);
        Ok(spec)
    }
}

/// Reads a limit of time; `none` is written as no time at all.
fn parse_limit(text: &str) -> Result<std::time::Duration, String> {
    if text == "none" {
        return Ok(std::time::Duration::ZERO);
    }
    parse_span(text).map_err(|error| format!("{error}, or `none`"))
}

/// Reads a span of time of a millisecond or more.
fn parse_span(text: &str) -> Result<std::time::Duration, String> {
    match parse_duration(text).map_err(|error| error.to_string())? {
        span if span.as_millis() == 0 => Err("must be longer than nothing".to_owned()),
        span => Ok(span),
    }
}

impl JobCommand {
    fn into_spec(self) -> Result<JobSpec, CliError> {
        let (operation, output) = match self {
            Self::Ndvi { red, nir, output } => {
                let inputs = vec![input("N", &nir)?, input("R", &red)?];
                let operation = TaskOperation::Index {
                    names: vec!["NDVI".to_owned()],
                    inputs,
                    scale: 1.0,
                    offset: 0.0,
                    constants: std::collections::BTreeMap::new(),
                };
                (operation, Some(output.into_spec()?))
            }
            Self::Index { index, output } => (index.into_operation()?, Some(output.into_spec()?)),
            Self::Calc {
                inputs,
                calc,
                output,
            } => {
                let inputs = named_inputs(&inputs)?;
                let operation = TaskOperation::Calc {
                    inputs,
                    expressions: calc,
                };
                (operation, Some(output.into_spec()?))
            }
            Self::Convert { input, output } => {
                let operation = TaskOperation::Convert {
                    input: absolute(&input)?,
                };
                (operation, Some(output.into_spec()?))
            }
            Self::Hillshade(job) => job.into_spec()?,
            Self::Slope(job) => job.into_spec()?,
            Self::Aspect(job) => job.into_spec()?,
            Self::Roughness(job) => job.into_spec()?,
            Self::Tri(job) => job.into_spec()?,
            Self::Tpi(job) => job.into_spec()?,
            Self::Focal(job) => job.into_spec()?,
            Self::Convolve(job) => job.into_spec()?,
            Self::Reproject(job) => job.into_spec()?,
            Self::Mosaic(job) => job.into_spec()?,
            Self::Composite(job) => job.into_spec()?,
            Self::GroupBy(job) => job.into_spec()?,
            Self::Sort(job) => job.into_spec()?,
            Self::Join(job) => job.into_spec()?,
            Self::Sql(job) => job.into_spec()?,
            Self::SpatialJoin(job) => job.into_spec()?,
            Self::ZonalStats(job) => job.into_spec()?,
            Self::Tasks { operation, params } => {
                let text = read_text(&params)?;
                let tasks = TaskList::from_ndjson(&text).map_err(|error| {
                    let cause = swath::job::failure::chain(&error);
                    CliError::asked("spec-params", format!("{}: {cause}", params.display()))
                })?;
                (TaskOperation::Custom { operation, tasks }, None)
            }
        };
        Ok(JobSpec {
            version: SPEC_VERSION,
            operation,
            output,
            options: JobOptions::default(),
        })
    }
}

pub(crate) fn read_text(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|error| {
        CliError::asked(
            "spec-file",
            format!("cannot read {}: {error}", path.display()),
        )
    })
}

/// Reads a job file; its relative paths are relative to the folder of the command, as on the command line.
fn read_file(path: &Path) -> Result<JobSpec, CliError> {
    let text = read_text(path)?;
    let json = path
        .extension()
        .is_some_and(|extension| extension == "json");
    let read = if json {
        serde_json::from_str::<JobSpec>(&text).map_err(|error| error.to_string())
    } else {
        toml::from_str::<JobSpec>(&text).map_err(|error| error.to_string())
    };
    let mut spec = read.map_err(|error| {
        CliError::asked(
            "spec-file",
            format!("{} is not a job: {error}", path.display()),
        )
    })?;
    for path in spec.operation.paths_mut() {
        *path = absolute(path)?;
    }
    if let Some(output) = &mut spec.output {
        let path = output.path_mut();
        *path = absolute(path)?;
    }
    Ok(spec)
}

pub(crate) fn named_inputs(texts: &[String]) -> Result<Vec<NamedInput>, CliError> {
    let mut inputs: Vec<NamedInput> = Vec::with_capacity(texts.len());
    for text in texts {
        let (name, file) = text.split_once('=').ok_or_else(|| {
            let message = format!("'{text}' is not NAME=FILE[@BAND], such as A=scene.tif@3");
            CliError::asked("spec-input", message)
        })?;
        if inputs.iter().any(|input| input.name == name) {
            return Err(CliError::asked(
                "spec-input",
                format!("input {name} is given twice"),
            ));
        }
        inputs.push(input(name, file)?);
    }
    Ok(inputs)
}

/// Reads `FILE[@BAND]`; band 1 unless given.
pub(crate) fn input(name: &str, text: &str) -> Result<NamedInput, CliError> {
    let (path, band) = file_and_band(text)?;
    Ok(NamedInput {
        name: name.to_owned(),
        path,
        band: band.unwrap_or(1),
    })
}

/// Reads `FILE[@BAND]` into an absolute path and the band. A file whose own name ends in `@` and digits is taken as it is.
pub(crate) fn file_and_band(text: &str) -> Result<(String, Option<u16>), CliError> {
    let split = text.rsplit_once('@').filter(|(file, band)| {
        !file.is_empty()
            && !band.is_empty()
            && band.bytes().all(|b| b.is_ascii_digit())
            && !Path::new(text).exists()
    });
    let Some((file, band)) = split else {
        return Ok((absolute(text)?, None));
    };
    let number = band
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| {
            let message = format!("band {band} of {file} is not a band; bands count from 1");
            CliError::asked("spec-input", message)
        })?;
    Ok((absolute(file)?, Some(number)))
}

/// Makes a path absolute, since workers have other folders; a URL stays as it is.
pub(crate) fn absolute(path: &str) -> Result<String, CliError> {
    if path.contains("://") {
        return Ok(path.to_owned());
    }
    let absolute = std::path::absolute(path)
        .map_err(|error| CliError::asked("spec-path", format!("path '{path}': {error}")))?;
    absolute.into_os_string().into_string().map_err(|path| {
        CliError::asked(
            "spec-path",
            format!("path {} is not UTF-8", Path::new(&path).display()),
        )
    })
}
