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
        version: None,
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
        version: None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{StageWork, plan};
    use crate::spec::{
        Aspect, FocalShape, Hillshade, JobOptions, Output, Resampling, SPEC_VERSION, Slope,
        TaskOperation,
    };

    fn facts(dtype: DataType, nodata: Option<f64>) -> RasterFacts {
        RasterFacts {
            profile: RasterProfile {
                width: 10_980,
                height: 10_980,
                bands: 3,
                dtype,
                nodata,
                crs: Crs::default(),
                transform: Some(Affine::north_up(300_000.0, 5_900_000.0, 10.0, 10.0)),
                pixel_is_point: false,
            },
            chunk: (512, 512),
            stored_bytes: 0,
            masked: false,
            pixel_interleaved: false,
            classes: false,
            look: crate::grid::Look::default(),
            version: None,
        }
    }

    fn planned(
        operation: TaskOperation,
        facts: RasterFacts,
        change: impl FnOnce(&mut RasterOutput),
    ) -> Result<Plan, PlanError> {
        let mut output = RasterOutput::new("/out.tif");
        change(&mut output);
        let spec = JobSpec {
            version: SPEC_VERSION,
            operation,
            output: Some(Output::Raster(output)),
            options: JobOptions::default(),
        };
        let catalog = Catalog {
            query: None,
            zones: None,
            rasters: [("/dem.tif".to_owned(), facts)].into(),
        };
        plan(&spec, &catalog)
    }

    fn relief(product: TerrainProduct) -> TaskOperation {
        TaskOperation::Terrain(Terrain {
            input: "/dem.tif".to_owned(),
            band: 1,
            product,
            compute_edges: false,
        })
    }

    fn window(statistic: FocalStatistic, size: u32) -> TaskOperation {
        TaskOperation::Focal(Focal {
            input: "/dem.tif".to_owned(),
            band: None,
            statistic,
            size,
            shape: FocalShape::Square,
        })
    }

    /// Returns bands, type and "no data" of what a plan makes.
    fn made(plan: &Plan) -> (u16, DataType, Option<f64>) {
        let StageWork::Raster(raster) = &plan.stages[0].work else {
            panic!()
        };
        (
            raster.output.bands,
            raster.output.dtype,
            raster.output.nodata,
        )
    }

    #[test]
    fn terrain_is_stored_as_gdal_stores_it() {
        let check = |product, expected| {
            let facts = facts(DataType::Int16, Some(-32768.0));
            let plan = planned(relief(product), facts, |_| {}).unwrap();
            assert_eq!(made(&plan), expected);
            assert_eq!(plan.stages[0].tasks, 36);
        };
        let light = TerrainProduct::Hillshade(Hillshade::default());
        check(light.clone(), (1, DataType::UInt8, Some(0.0)));
        check(TerrainProduct::Tpi, (1, DataType::Float32, Some(-9999.0)));
        // Overviews of directions are no means.
        for (product, expected) in [
            (
                TerrainProduct::Aspect(Aspect::default()),
                Resampling::Nearest,
            ),
            (TerrainProduct::Tpi, Resampling::Average),
        ] {
            let plan = planned(relief(product), facts(DataType::Int16, None), |_| {}).unwrap();
            let StageWork::Raster(raster) = &plan.stages[0].work else {
                panic!()
            };
            assert_eq!(raster.resampling, expected);
        }
        // A type that does not have −9999 needs another value.
        let dem = || facts(DataType::Int16, None);
        let bytes = |output: &mut RasterOutput| output.dtype = Some(DataType::UInt8);
        let refused = planned(relief(TerrainProduct::Tpi), dem(), bytes);
        assert!(matches!(refused, Err(PlanError::NodataMissing { .. })));
        assert!(planned(relief(light), dem(), bytes).is_ok());
    }

    #[test]
    fn the_memory_of_a_task_counts_its_halo() {
        let dem = || facts(DataType::Float32, None);
        let plan = planned(window(FocalStatistic::Sum, 101), dem(), |_| {}).unwrap();
        let (read, window) = (2148 * 2148, 2048 * 2048);
        // Three bands of 4 bytes, encoded and decoded, and as much of output with overviews and all of it encoded; panels of
        // 256 × 150 cells and the halo.
        let scratch = (256 + 100) * (150 + 100) * 48;
        assert_eq!(
            plan.stages[0].memory_bytes,
            (8 << 20) + read * 12 * 2 + scratch + window * 12 * 8 / 3
        );
        let text = crate::plan::explain::to_text(&crate::plan::explain::explain(&plan));
        assert!(
            text.contains("sum of 101 × 101 cells") && text.contains("50 cells"),
            "{text}"
        );
    }

    #[test]
    fn windows_keep_what_they_can_of_their_input() {
        let check = |statistic, facts: RasterFacts, expected| {
            let plan = planned(window(statistic, 5), facts, |_| {}).unwrap();
            let (bands, dtype, nodata) = made(&plan);
            assert_eq!((bands, dtype), (3, expected));
            nodata
        };
        use FocalStatistic::{Max, Mean};
        let kept = check(Max, facts(DataType::Int16, Some(-1.0)), DataType::Int16);
        assert_eq!(kept, Some(-1.0));
        assert_eq!(
            check(Max, facts(DataType::UInt8, None), DataType::UInt8),
            None
        );
        let float = check(Mean, facts(DataType::Int16, Some(-1.0)), DataType::Float32);
        assert!(float.is_some_and(f64::is_nan));
        check(Mean, facts(DataType::Int32, None), DataType::Float64);
        let masked = RasterFacts {
            masked: true,
            ..facts(DataType::UInt8, None)
        };
        let refused = planned(window(Max, 5), masked, |_| {});
        assert!(matches!(refused, Err(PlanError::Mask { .. })));
    }

    #[test]
    fn wrong_parameters_are_refused_before_anything_runs() {
        let dem = || facts(DataType::Float32, None);
        let check = |operation: TaskOperation, words: &str| {
            let refused = planned(operation, dem(), |_| {}).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        };
        check(window(FocalStatistic::Mean, 4), "must be odd");
        check(
            relief(TerrainProduct::Hillshade(Hillshade {
                z_factor: 0.0,
                ..Hillshade::default()
            })),
            "z-factor is 0",
        );
        check(
            relief(TerrainProduct::Slope(Slope {
                scale: Scale::By(1.0, f64::NAN),
                ..Slope::default()
            })),
            "size of a cell",
        );
        let convolve = |kernel: Vec<Vec<f64>>| {
            TaskOperation::Convolve(Convolve {
                input: "/dem.tif".to_owned(),
                band: Some(2),
                kernel,
                normalize: true,
            })
        };
        check(convolve(vec![vec![1.0, 2.0]]), "1 rows of 2");
        check(convolve(vec![vec![-1.0, 0.0, 1.0]]), "add up to 0");
        let fourth = TaskOperation::Terrain(Terrain {
            input: "/dem.tif".to_owned(),
            band: 4,
            product: TerrainProduct::Tpi,
            compute_edges: false,
        });
        check(fourth, "no band 4");
    }

    #[test]
    fn cells_in_degrees_are_measured_at_their_latitude() {
        // GTModelType 2, degrees; one degree a cell from 61 N to 59 N.
        let crs = Crs {
            key_directory: vec![1, 1, 0, 2, 1024, 0, 1, 2, 2054, 0, 1, 9102],
            ..Crs::default()
        };
        let profile = RasterProfile {
            width: 2,
            height: 2,
            crs,
            transform: Some(Affine::north_up(5.0, 61.0, 1.0, 1.0)),
            ..facts(DataType::Int16, None).profile
        };
        let cell = cell_size(&profile, Some(Scale::Auto));
        // π / 180 × 6,378,137 m, and half of it at 60 N.
        assert!((cell.south + 111_319.490_793).abs() < 1e-6, "{cell:?}");
        assert!((cell.east - 55_659.745_397).abs() < 1e-6, "{cell:?}");
        let given = cell_size(&profile, Some(Scale::By(2.0, 3.0)));
        assert_eq!((given.east, given.south), (2.0, -3.0));
    }
}
