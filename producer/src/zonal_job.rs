//! Zonal statistics as the command line spells them.

use clap::{Args, ValueEnum};
use swath::TaskOperation;
use swath::spec::{Output, Pixels, Statistic, ZonalStats};

use crate::failure::CliError;
use crate::job::{absolute, input};
use crate::table_job::{FormatName, OutputTable};

#[derive(Debug, Args)]
pub(crate) struct Zonal {
    /// The raster whose cells are counted
    #[arg(short, long = "input", value_name = "RASTER[@BAND]")]
    input: String,
    /// The polygons: GeoParquet, GeoJSON, GeoArrow, FlatGeobuf or Shapefile
    #[arg(long, value_name = "POLYGONS")]
    zones: String,
    /// Statistics, separated by commas: count, sum, mean, min, max, range, std, variance, median, p10, variety, majority,
    /// minority, categories, nodata
    #[arg(long, default_value = "count,min,max,mean")]
    stats: String,
    /// Which cells belong to a zone: those whose centre lies in it, every one touched, or each by the share covered
    #[arg(long, default_value = "default")]
    pixels: PixelsName,
    /// Keep the zones' geometry; GeoJSON always does, CSV never
    #[arg(long)]
    geometry: bool,
    /// Stands before the names of the statistics' columns
    // `--prefix` is the cluster's, and one name in one command has one value.
    #[arg(long, default_value = "", value_name = "TEXT")]
    column_prefix: String,
    /// CRS of the zones, when their file does not say or is wrong: EPSG:CODE, or raster for the raster's own
    #[arg(long, value_name = "CRS")]
    zones_crs: Option<String>,
    /// Format of the zones [default: by their name]
    #[arg(long)]
    zones_format: Option<FormatName>,
    #[command(flatten)]
    output: OutputTable,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PixelsName {
    Default,
    AllTouched,
    Fractional,
}

impl Zonal {
    pub(crate) fn into_spec(self) -> Result<(TaskOperation, Option<Output>), CliError> {
        let raster = input("raster", &self.input)?;
        let names = self.stats.split(',').filter(|name| !name.trim().is_empty());
        let statistics: Result<Vec<Statistic>, _> = names.map(str::parse).collect();
        let statistics =
            statistics.map_err(|error| CliError::arguments("spec-statistic", &error))?;
        once_each(&statistics)?;
        let operation = TaskOperation::ZonalStats(ZonalStats {
            raster: raster.path,
            band: raster.band,
            zones: absolute(&self.zones)?,
            zones_format: self.zones_format.map(FormatName::into_spec),
            zones_crs: self.zones_crs,
            statistics,
            pixels: match self.pixels {
                PixelsName::Default => Pixels::Default,
                PixelsName::AllTouched => Pixels::AllTouched,
                PixelsName::Fractional => Pixels::Fractional,
            },
            geometry: self.geometry,
            prefix: self.column_prefix,
        });
        Ok((operation, Some(self.output.into_spec()?)))
    }
}

/// Refuses a statistic that is named twice: no prefix would tell its columns apart.
fn once_each(statistics: &[Statistic]) -> Result<(), CliError> {
    let mut names: Vec<&str> = statistics.iter().map(Statistic::name).collect();
    names.sort_unstable();
    let same = |pair: &&[&str]| pair.first() == pair.last();
    match names.windows(2).find(same).and_then(<[_]>::first) {
        None => Ok(()),
        Some(name) => {
            let message = format!("--stats names '{name}' twice; name each statistic once");
            Err(CliError::asked("spec-statistic", message))
        }
    }
}
