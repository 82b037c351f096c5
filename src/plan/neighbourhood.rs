//! Plans of operations on neighbourhoods: terrain, focal statistics, convolution.

use super::catalog::Catalog;
use super::error::PlanError;
use super::planner::{checked_nodata, common_grid, known, raster_plan, required_output};
use super::stage::{KernelSpec, Plan, SourceBands};
use crate::grid::profile::RasterFacts;
use crate::grid::{Affine, Crs, DataType, RasterProfile};
use crate::ops::focal::{CellSize, FocalKernel, Weights};
use crate::spec::{
    Convolve, Focal, FocalStatistic, JobSpec, RasterOutput, Scale, Terrain, TerrainProduct,
};

/// "No data" in what `gdaldem` makes, but for hillshades.
const TERRAIN_NODATA: f64 = -9999.0;

/// Plans relief.
pub(super) fn terrain(
    spec: &JobSpec,
    catalog: &Catalog,
    terrain: &Terrain,
) -> Result<Plan, PlanError> {
    let name = terrain.product.name();
    let output = required_output(spec, name)?;
    let source = SourceBands {
        path: terrain.input.clone(),
        bands: vec![terrain.band],
    };
    let profile = &common_grid(std::slice::from_ref(&source), catalog)?.profile;
    let kernel = FocalKernel::Terrain {
        cell: cell_size(profile, terrain.product.scale()),
        product: terrain.product.clone(),
        compute_edges: terrain.compute_edges,
    };
    let (dtype, nodata) = match terrain.product {
        TerrainProduct::Hillshade(_) => (DataType::UInt8, 0.0),
        _ => (DataType::Float32, TERRAIN_NODATA),
    };
    let dtype = output.dtype.unwrap_or(dtype);
    let nodata = match output.nodata {
        Some(value) => checked_nodata(dtype, value)?,
        None => checked_nodata(dtype, nodata).map_err(|_| PlanError::NodataMissing { dtype })?,
    };
    let profile = RasterProfile {
        bands: 1,
        dtype,
        nodata: Some(nodata),
        ..profile.clone()
    };
    finish(name, source, kernel, profile, output, catalog)
}

/// Plans a statistic of windows.
pub(super) fn focal(spec: &JobSpec, catalog: &Catalog, focal: &Focal) -> Result<Plan, PlanError> {
    let output = required_output(spec, "focal")?;
    let facts = known(catalog, &focal.input)?;
    let keeps = matches!(focal.statistic, FocalStatistic::Min | FocalStatistic::Max);
    let kernel = FocalKernel::Statistic {
        statistic: focal.statistic,
        size: focal.size,
        shape: focal.shape,
    };
    let profile = windows_profile(&focal.input, facts, output, keeps)?;
    let source = bands(&focal.input, focal.band, facts);
    let name = format!("focal {}", focal.statistic.name());
    finish(&name, source, kernel, profile, output, catalog)
}

/// Plans a convolution.
pub(super) fn convolve(
    spec: &JobSpec,
    catalog: &Catalog,
    convolve: &Convolve,
) -> Result<Plan, PlanError> {
    let output = required_output(spec, "convolve")?;
    let facts = known(catalog, &convolve.input)?;
    let kernel = FocalKernel::Convolve {
        weights: Weights::try_from(convolve.kernel.clone())?,
        normalize: convolve.normalize,
    };
    let profile = windows_profile(&convolve.input, facts, output, false)?;
    let source = bands(&convolve.input, convolve.band, facts);
    finish("convolve", source, kernel, profile, output, catalog)
}

fn bands(path: &str, band: Option<u16>, facts: &RasterFacts) -> SourceBands {
    SourceBands {
        path: path.to_owned(),
        bands: band.map_or_else(|| (1..=facts.profile.bands).collect(), |band| vec![band]),
    }
}

/// Returns what comes out: what keeps samples keeps their type and "no data" too; the rest are floats, doubles where a
/// single would not hold the samples.
fn windows_profile(
    path: &str,
    facts: &RasterFacts,
    output: &RasterOutput,
    keeps: bool,
) -> Result<RasterProfile, PlanError> {
    let input = &facts.profile;
    let float = match input.dtype {
        small if small.bytes() < 4 => DataType::Float32,
        DataType::Float32 => DataType::Float32,
        _ => DataType::Float64,
    };
    let default = if keeps { input.dtype } else { float };
    let dtype = output.dtype.unwrap_or(default);
    let nodata = match (output.nodata, input.nodata) {
        (Some(value), _) => Some(checked_nodata(dtype, value)?),
        (None, Some(value)) if keeps && checked_nodata(dtype, value).is_ok() => Some(value),
        _ if dtype.is_float() => Some(f64::NAN),
        _ if facts.masked => {
            let path = path.to_owned();
            return Err(PlanError::Mask { path });
        }
        // An integer raster in which every cell is valid; all of its windows have a value.
        _ if keeps && !input.dtype.is_float() && input.nodata.is_none() => None,
        _ => return Err(PlanError::NodataMissing { dtype }),
    };
    Ok(RasterProfile {
        dtype,
        nodata,
        ..input.clone()
    })
}

fn finish(
    name: &str,
    source: SourceBands,
    kernel: FocalKernel,
    profile: RasterProfile,
    output: &RasterOutput,
    catalog: &Catalog,
) -> Result<Plan, PlanError> {
    common_grid(std::slice::from_ref(&source), catalog)?;
    kernel.check(profile.dtype, profile.nodata)?;
    let bands = u16::try_from(source.bands.len()).unwrap_or(u16::MAX);
    let profile = RasterProfile { bands, ..profile };
    let kernel = KernelSpec::Focal(kernel);
    Ok(raster_plan(
        name,
        vec![source],
        kernel,
        profile,
        output,
        catalog,
    ))
}

/// Returns the ground size of a cell in the unit of the elevations.
///
/// By itself it is as GDAL 3.11 and later have it: cells of a geographic CRS are measured at the latitude of the raster's middle, on a
/// sphere of the ellipsoid's equator; those of a projected one by its linear unit; heights by the vertical unit that the file
/// states, metres when it states none.
fn cell_size(profile: &RasterProfile, scale: Option<Scale>) -> CellSize {
    let Affine([_, east, _, top, _, south]) = profile.transform.unwrap_or(Affine::identity());
    let (x, y) = match scale {
        Some(Scale::By(x, y)) => (x, y),
        Some(Scale::Auto) | None => {
            let middle = top + south * f64::from(profile.height) / 2.0;
            let (x, y) = metres(&profile.crs, middle);
            let height = profile.crs.vertical_unit_m();
            (x / height, y / height)
        }
    };
    CellSize {
        east: east * x,
        south: south * y,
    }
}

/// Returns the metres of a unit of x and of y at an ordinate.
fn metres(crs: &Crs, y: f64) -> (f64, f64) {
    match crs.angular_unit_radians() {
        Some(unit) => {
            let degree = unit * crs.semi_major_axis_m();
            (degree * (y * unit).cos(), degree)
        }
        None => (crs.linear_unit_m(), crs.linear_unit_m()),
    }
}

impl TerrainProduct {
    /// Returns the scale of those that have one.
    const fn scale(&self) -> Option<Scale> {
        match self {
            Self::Hillshade(light) => Some(light.scale),
            Self::Slope(slope) => Some(slope.scale),
            Self::Aspect(_) | Self::Roughness | Self::Tri(_) | Self::Tpi => None,
        }
    }
}
