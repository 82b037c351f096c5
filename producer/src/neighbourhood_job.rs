//! Terrain, focal statistics and convolution as the command line spells them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use swath::TaskOperation;
use swath::ops::focal::Weights;
use swath::spec::{
    Aspect, Convolve, Focal, FocalShape, FocalStatistic, Gradient, Hillshade, Output,
    RuggednessFormula, Scale, Shading, Slope, SlopeUnit, Terrain, TerrainProduct,
};

use crate::failure::CliError;
use crate::job::{OutputArguments, file_and_band, read_text};

/// A job: what is done, and where it goes.
type Job = Result<(TaskOperation, Option<Output>), CliError>;

/// What every terrain operation has.
#[derive(Debug, Args)]
pub(crate) struct Dem {
    /// The elevation raster, band 1 unless given
    #[arg(value_name = "DEM[@BAND]")]
    dem: String,
    /// Compute cells at the edge of the raster and beside cells without data too
    #[arg(long)]
    compute_edges: bool,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
#[group(skip)]
struct ScaleArguments {
    /// Vertical units in a horizontal one, such as 111120 for metres and degrees [default: from the units that the file states]
    #[arg(long, conflicts_with_all = ["xscale", "yscale"])]
    scale: Option<f64>,
    /// The same in x only
    #[arg(long, requires = "yscale")]
    xscale: Option<f64>,
    /// The same in y only
    #[arg(long, requires = "xscale")]
    yscale: Option<f64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GradientName {
    /// From eight neighbours
    #[value(name = "Horn")]
    Horn,
    /// From four neighbours, for smooth terrain
    #[value(name = "ZevenbergenThorne")]
    ZevenbergenThorne,
}

#[derive(Debug, Args)]
#[group(skip)]
struct GradientArguments {
    /// How the gradient is found
    #[arg(long, default_value = "Horn", ignore_case = true)]
    alg: GradientName,
}

#[derive(Debug, Args)]
pub(crate) struct HillshadeJob {
    #[command(flatten)]
    dem: Dem,
    #[command(flatten)]
    scale: ScaleArguments,
    #[command(flatten)]
    gradient: GradientArguments,
    /// Multiply heights by this
    #[arg(short, long, default_value_t = 1.0)]
    z_factor: f64,
    /// Where the light comes from, in degrees clockwise from north [default: 315]
    #[arg(long, allow_negative_numbers = true)]
    azimuth: Option<f64>,
    /// Height of the light over the horizon, in degrees [default: 45]
    #[arg(long)]
    altitude: Option<f64>,
    /// Darker the steeper
    #[arg(long)]
    combined: bool,
    /// Lights from 225, 270, 315 and 360 degrees
    #[arg(long, conflicts_with_all = ["combined", "azimuth"])]
    multidirectional: bool,
    /// As light as other layers of a map need it
    #[arg(long, conflicts_with_all = ["combined", "multidirectional", "altitude"])]
    igor: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SlopeUnitName {
    Degree,
    Percent,
}

#[derive(Debug, Args)]
pub(crate) struct SlopeJob {
    #[command(flatten)]
    dem: Dem,
    /// Angle, or rise over run times 100
    #[arg(long, default_value = "degree")]
    unit: SlopeUnitName,
    #[command(flatten)]
    scale: ScaleArguments,
    #[command(flatten)]
    gradient: GradientArguments,
}

#[derive(Debug, Args)]
pub(crate) struct AspectJob {
    #[command(flatten)]
    dem: Dem,
    /// Degrees anticlockwise from east instead of clockwise from north
    #[arg(long)]
    trigonometric: bool,
    /// Flat cells are 0 instead of no data
    #[arg(long)]
    zero_for_flat: bool,
    #[command(flatten)]
    gradient: GradientArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RoughnessJob {
    #[command(flatten)]
    dem: Dem,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormulaName {
    /// Root of the sum of squared differences
    #[value(name = "Riley")]
    Riley,
    /// Mean of absolute differences
    #[value(name = "Wilson")]
    Wilson,
}

#[derive(Debug, Args)]
pub(crate) struct TriJob {
    #[command(flatten)]
    dem: Dem,
    /// Which formula
    #[arg(long, default_value = "Riley", ignore_case = true)]
    alg: FormulaName,
}

#[derive(Debug, Args)]
pub(crate) struct TpiJob {
    #[command(flatten)]
    dem: Dem,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StatisticName {
    Mean,
    /// The middle value, or the mean of the middle two
    Median,
    Min,
    Max,
    /// Standard deviation of the population
    Std,
    Sum,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ShapeName {
    /// All cells of the window
    Square,
    /// Cells no farther than (size - 1) / 2 from the middle
    Circle,
}

#[derive(Debug, Args)]
pub(crate) struct FocalJob {
    /// The statistic of the valid cells of each window
    statistic: StatisticName,
    /// The raster; all bands unless one is given
    #[arg(value_name = "FILE[@BAND]")]
    input: String,
    /// Cells along the edge of the window: odd, 3 to 1001
    #[arg(long)]
    size: u32,
    /// Which cells of the window count
    #[arg(long, default_value = "square")]
    shape: ShapeName,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ConvolveJob {
    /// The raster; all bands unless one is given
    #[arg(value_name = "FILE[@BAND]")]
    input: String,
    /// File of weights: a row a line, between blanks or commas; # starts a comment
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// Divide by the weights of the valid cells, instead of wanting all cells valid
    #[arg(long)]
    normalize: bool,
    #[command(flatten)]
    output: OutputArguments,
}

impl Dem {
    fn job(self, product: TerrainProduct) -> Job {
        let (input, band) = file_and_band(&self.dem)?;
        let terrain = Terrain {
            input,
            band: band.unwrap_or(1),
            product,
            compute_edges: self.compute_edges,
        };
        Ok((
            TaskOperation::Terrain(terrain),
            Some(self.output.into_spec()?),
        ))
    }
}

impl ScaleArguments {
    fn scale(&self) -> Scale {
        match (self.scale, self.xscale, self.yscale) {
            (Some(scale), ..) => Scale::By(scale, scale),
            (None, Some(x), Some(y)) => Scale::By(x, y),
            _ => Scale::Auto,
        }
    }
}

impl GradientArguments {
    fn gradient(&self) -> Gradient {
        match self.alg {
            GradientName::Horn => Gradient::Horn,
            GradientName::ZevenbergenThorne => Gradient::ZevenbergenThorne,
        }
    }
}

impl HillshadeJob {
    pub(crate) fn into_spec(self) -> Job {
        let default = Hillshade::default();
        let shading = match (self.combined, self.multidirectional, self.igor) {
            (true, ..) => Shading::Combined,
            (_, true, _) => Shading::Multidirectional,
            (.., true) => Shading::Igor,
            _ => Shading::Single,
        };
        self.dem.job(TerrainProduct::Hillshade(Hillshade {
            shading,
            gradient: self.gradient.gradient(),
            z_factor: self.z_factor,
            azimuth: self.azimuth.unwrap_or(default.azimuth),
            altitude: self.altitude.unwrap_or(default.altitude),
            scale: self.scale.scale(),
        }))
    }
}

impl SlopeJob {
    pub(crate) fn into_spec(self) -> Job {
        let unit = match self.unit {
            SlopeUnitName::Degree => SlopeUnit::Degree,
            SlopeUnitName::Percent => SlopeUnit::Percent,
        };
        self.dem.job(TerrainProduct::Slope(Slope {
            unit,
            gradient: self.gradient.gradient(),
            scale: self.scale.scale(),
        }))
    }
}

impl AspectJob {
    pub(crate) fn into_spec(self) -> Job {
        self.dem.job(TerrainProduct::Aspect(Aspect {
            trigonometric: self.trigonometric,
            zero_for_flat: self.zero_for_flat,
            gradient: self.gradient.gradient(),
        }))
    }
}

impl RoughnessJob {
    pub(crate) fn into_spec(self) -> Job {
        self.dem.job(TerrainProduct::Roughness)
    }
}

impl TriJob {
    pub(crate) fn into_spec(self) -> Job {
        self.dem.job(TerrainProduct::Tri(match self.alg {
            FormulaName::Riley => RuggednessFormula::Riley,
            FormulaName::Wilson => RuggednessFormula::Wilson,
        }))
    }
}

impl TpiJob {
    pub(crate) fn into_spec(self) -> Job {
        self.dem.job(TerrainProduct::Tpi)
    }
}

impl FocalJob {
    pub(crate) fn into_spec(self) -> Job {
        let (input, band) = file_and_band(&self.input)?;
        let focal = Focal {
            input,
            band,
            statistic: match self.statistic {
                StatisticName::Mean => FocalStatistic::Mean,
                StatisticName::Median => FocalStatistic::Median,
                StatisticName::Min => FocalStatistic::Min,
                StatisticName::Max => FocalStatistic::Max,
                StatisticName::Std => FocalStatistic::Std,
                StatisticName::Sum => FocalStatistic::Sum,
            },
            size: self.size,
            shape: match self.shape {
                ShapeName::Square => FocalShape::Square,
                ShapeName::Circle => FocalShape::Circle,
            },
        };
        Ok((TaskOperation::Focal(focal), Some(self.output.into_spec()?)))
    }
}

impl ConvolveJob {
    pub(crate) fn into_spec(self) -> Job {
        let (input, band) = file_and_band(&self.input)?;
        let text = read_text(&self.kernel)?;
        let weights = Weights::from_text(&text).map_err(|error| {
            let path = self.kernel.display();
            CliError::asked("spec-kernel", format!("{path}: {error}"))
        })?;
        let convolve = Convolve {
            input,
            band,
            kernel: weights.into(),
            normalize: self.normalize,
        };
        Ok((
            TaskOperation::Convolve(convolve),
            Some(self.output.into_spec()?),
        ))
    }
}
