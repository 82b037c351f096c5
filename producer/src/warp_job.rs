//! Jobs that bring rasters onto another grid, as the command line spells them.

use clap::{Args, ValueEnum};
use swath::TaskOperation;
use swath::spec::{
    Combine, Composite as CompositeSpec, Output, Reproject as ReprojectSpec, TargetGrid,
    WarpMethod, WarpSettings,
};

use crate::failure::CliError;
use crate::job::{OutputArguments, absolute};
use crate::scenes::SceneArguments;

#[derive(Debug, Args)]
pub(crate) struct Reproject {
    /// The raster; all its bands are brought over
    input: String,
    #[command(flatten)]
    grid: GridArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Mosaic {
    #[command(flatten)]
    scenes: SceneArguments,
    /// Which raster wins where several have a value
    #[arg(long, default_value = "last")]
    order: OrderName,
    #[command(flatten)]
    grid: GridArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Composite {
    /// What becomes of the values of a cell
    how: CombineName,
    #[command(flatten)]
    scenes: SceneArguments,
    #[command(flatten)]
    grid: GridArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OrderName {
    First,
    Last,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CombineName {
    Median,
    Mean,
    Min,
    Max,
    First,
    Last,
}

#[derive(Debug, Args)]
struct GridArguments {
    /// CRS of the output: EPSG:3857, a PROJ string, WKT or PROJJSON [default: that of the first input]
    #[arg(long, value_name = "CRS")]
    dst_crs: Option<String>,
    /// CRS of inputs that do not say theirs, or say a wrong one
    #[arg(long, value_name = "CRS")]
    src_crs: Option<String>,
    /// Size of a cell in the output's unit: R, or WIDTH,HEIGHT [default: as fine as the inputs]
    #[arg(long, value_name = "R[,R]")]
    res: Option<String>,
    /// LEFT,BOTTOM,RIGHT,TOP in the output's CRS [default: all that the inputs cover]
    #[arg(long, value_name = "L,B,R,T", allow_hyphen_values = true)]
    extent: Option<String>,
    /// nearest, bilinear, cubic, cubicspline, lanczos, average, mode, min, max, med, q1, q3, sum or rms
    #[arg(long, default_value = "nearest", value_name = "METHOD")]
    resampling: WarpMethod,
    /// By how many cells of an input a position may be off, for speed [default: 0.125]
    #[arg(long, value_name = "CELLS", conflicts_with = "exact")]
    error_threshold: Option<f64>,
    /// Compute every position exactly
    #[arg(long)]
    exact: bool,
}

impl GridArguments {
    fn into_spec(self) -> Result<(TargetGrid, WarpSettings), CliError> {
        let resolution = self.res.as_deref().map(numbers::<1>).transpose();
        let resolution = match resolution {
            Ok(one) => one.map(|[r]| (r, r)),
            Err(_) => self
                .res
                .as_deref()
                .map(numbers::<2>)
                .transpose()?
                .map(|[w, h]| (w, h)),
        };
        let grid = TargetGrid {
            crs: self.dst_crs,
            resolution,
            extent: self.extent.as_deref().map(numbers::<4>).transpose()?,
        };
        let warp = WarpSettings {
            resampling: self.resampling,
            error_threshold: if self.exact {
                Some(0.0)
            } else {
                self.error_threshold
            },
            source_crs: self.src_crs,
        };
        Ok((grid, warp))
    }
}

/// Reads numbers with commas or spaces between.
fn numbers<const N: usize>(text: &str) -> Result<[f64; N], CliError> {
    let wrong = || {
        let message = format!("'{text}' is not {N} number(s) with commas between");
        CliError::asked("spec-grid", message)
    };
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    let values: Result<Vec<f64>, _> = words.map(str::parse).collect();
    values.map_err(|_| wrong())?.try_into().map_err(|_| wrong())
}

impl Reproject {
    pub(crate) fn into_spec(self) -> Result<(TaskOperation, Option<Output>), CliError> {
        let (grid, warp) = self.grid.into_spec()?;
        let operation = TaskOperation::Reproject(ReprojectSpec {
            input: absolute(&self.input)?,
            grid,
            warp,
        });
        Ok((operation, Some(self.output.into_spec()?)))
    }
}

impl Mosaic {
    pub(crate) fn into_spec(self) -> Result<(TaskOperation, Option<Output>), CliError> {
        let combine = match self.order {
            OrderName::First => Combine::First,
            OrderName::Last => Combine::Last,
        };
        composite(combine, self.scenes, self.grid, self.output)
    }
}

impl Composite {
    pub(crate) fn into_spec(self) -> Result<(TaskOperation, Option<Output>), CliError> {
        let combine = match self.how {
            CombineName::Median => Combine::Median,
            CombineName::Mean => Combine::Mean,
            CombineName::Min => Combine::Min,
            CombineName::Max => Combine::Max,
            CombineName::First => Combine::First,
            CombineName::Last => Combine::Last,
        };
        composite(combine, self.scenes, self.grid, self.output)
    }
}

fn composite(
    combine: Combine,
    scenes: SceneArguments,
    grid: GridArguments,
    output: OutputArguments,
) -> Result<(TaskOperation, Option<Output>), CliError> {
    let (grid, warp) = grid.into_spec()?;
    let (scenes, mask_values) = scenes.into_spec()?;
    let operation = TaskOperation::Composite(CompositeSpec {
        scenes,
        combine,
        grid,
        warp,
        mask_values,
    });
    Ok((operation, Some(output.into_spec()?)))
}
