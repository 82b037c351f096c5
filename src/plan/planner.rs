//! The planner: spec and facts in, stages of tasks out. The same input gives the same plan.

use std::sync::Arc;

use super::catalog::Catalog;
use super::error::PlanError;
use super::stage::{KernelSpec, Plan, RasterStage, SourceBands, Stage, StageWork};
use super::{convert, neighbourhood, table, warp, zonal};
use crate::grid::profile::{RasterFacts, RasterProfile};
use crate::grid::pyramid::PyramidLayout;
use crate::grid::{Affine, DataType};
use crate::ids::StageId;
use crate::ops::local::{calc, index};
use crate::spec::{
    JobSpec, NamedInput, Output, Overviews, RasterOutput, Resampling, SPEC_VERSION, TaskList,
    TaskOperation,
};

/// Cells that a task computes, about: 2048 × 2048.
pub(super) const TASK_CELLS: u64 = 2048 * 2048;
/// Cells along the edge of a task's window, about.
pub(super) const TASK_EDGE: u32 = 2048;
/// Memory that a commit needs: tiles in flight and the header.
const COMMIT_BYTES: u64 = 64 << 20;
/// Memory planned for a task of a queue, which says nothing of its own needs.
const CUSTOM_BYTES: u64 = 1 << 20;
/// Memory that any raster task needs beside its samples.
pub(super) const TASK_OVERHEAD_BYTES: u64 = 8 << 20;

/// Plans a job.
///
/// # Errors
/// When the spec is wrong, or its inputs do not fit together.
pub fn plan(spec: &JobSpec, catalog: &Catalog) -> Result<Plan, PlanError> {
    if spec.version > SPEC_VERSION {
        return Err(PlanError::Version {
            found: spec.version,
        });
    }
    match &spec.operation {
        TaskOperation::Custom { operation, tasks } => plan_custom(spec, operation, tasks),
        TaskOperation::Index {
            names,
            inputs,
            scale,
            offset,
            constants,
        } => {
            let indices = names.iter().map(|name| index::get(name));
            let indices = indices.collect::<Result<Vec<_>, _>>()?;
            check_bands(&indices, inputs)?;
            let constants: Vec<(&str, f64)> = constants
                .iter()
                .map(|(name, value)| (name.as_str(), *value))
                .collect();
            let math = BandMath {
                name: match indices.as_slice() {
                    [index] => index.name.to_lowercase(),
                    _ => "indices".to_owned(),
                },
                inputs,
                expressions: &index::expressions(&indices, &constants)?,
                scale: *scale,
                offset: *offset,
                descriptions: indices.iter().map(|index| index.name.to_owned()).collect(),
            };
            plan_math(spec, catalog, math)
        }
        TaskOperation::Calc {
            inputs,
            expressions,
        } => {
            let math = BandMath {
                name: "calc".to_owned(),
                inputs,
                expressions,
                scale: 1.0,
                offset: 0.0,
                descriptions: expressions.clone(),
            };
            plan_math(spec, catalog, math)
        }
        TaskOperation::Terrain(terrain) => neighbourhood::terrain(spec, catalog, terrain),
        TaskOperation::Focal(focal) => neighbourhood::focal(spec, catalog, focal),
        TaskOperation::Convolve(convolve) => neighbourhood::convolve(spec, catalog, convolve),
        TaskOperation::Reproject(reproject) => warp::reproject(spec, catalog, reproject),
        TaskOperation::Composite(composite) => warp::composite(spec, catalog, composite),
        TaskOperation::Convert { input } => convert::plan(spec, catalog, input),
        TaskOperation::GroupBy { .. }
        | TaskOperation::Sort { .. }
        | TaskOperation::Join { .. }
        | TaskOperation::Sql { .. }
        | TaskOperation::SpatialJoin { .. } => table::plan(spec, catalog),
        TaskOperation::ZonalStats(asked) => zonal::plan(asked, spec, catalog),
    }
}

fn plan_custom(
    spec: &JobSpec,
    operation: &crate::ids::OperationName,
    tasks: &TaskList,
) -> Result<Plan, PlanError> {
    if let Some(output) = &spec.output {
        return Err(PlanError::UnwantedOutput {
            path: output.path().to_owned(),
        });
    }
    let count = tasks.len();
    let tasks = u32::try_from(count).map_err(|_| PlanError::TooManyTasks {
        tasks: count as u64,
    })?;
    Ok(Plan {
        stages: vec![Stage {
            name: operation.to_string(),
            work: StageWork::Custom {
                operation: operation.clone(),
            },
            tasks,
            inputs: Vec::new(),
            memory_bytes: CUSTOM_BYTES,
            output_bytes: 0,
            details: Vec::new(),
        }],
    })
}

/// Checks that the indices' bands are given, each of them and no other.
fn check_bands(indices: &[index::Index], inputs: &[NamedInput]) -> Result<(), PlanError> {
    let error = |indices: &[index::Index], problem: String| {
        let formulas = indices
            .iter()
            .map(|i| format!("{} = {}", i.name, i.formula));
        let mut wanted: Vec<_> = Vec::new();
        for band in indices.iter().flat_map(|index| &index.bands) {
            if !wanted.contains(band) {
                wanted.push(*band);
            }
        }
        PlanError::Inputs {
            formula: formulas.collect::<Vec<_>>().join("; "),
            wanted: wanted.join(", "),
            problem,
        }
    };
    for index in indices {
        let given = |band: &str| inputs.iter().any(|input| input.name == band);
        if let Some(band) = index.bands.iter().find(|band| !given(band)) {
            let problem = format!("{band} is missing: add -i {band}=FILE@BAND");
            return Err(error(std::slice::from_ref(index), problem));
        }
    }
    let wanted = |name: &str| indices.iter().any(|index| index.bands.contains(&name));
    match inputs.iter().find(|input| !wanted(&input.name)) {
        Some(extra) => Err(error(indices, format!("{} is none of them", extra.name))),
        None => Ok(()),
    }
}

/// An expression for each band of the output.
struct BandMath<'s> {
    /// A word for the stage.
    name: String,
    inputs: &'s [NamedInput],
    expressions: &'s [String],
    scale: f64,
    offset: f64,
    descriptions: Vec<String>,
}

fn plan_math(spec: &JobSpec, catalog: &Catalog, math: BandMath<'_>) -> Result<Plan, PlanError> {
    let output = required_output(spec, "band math")?;
    let BandMath {
        name, expressions, ..
    } = math;
    let (sources, names) = group_by_file(expressions, math.inputs)?;
    for expression in expressions {
        calc::compile(expression, &names)?;
    }
    let bands = u16::try_from(expressions.len()).map_err(|_| PlanError::Inputs {
        formula: name.clone(),
        wanted: format!("at most {} bands", u16::MAX),
        problem: format!("{} expressions are given", expressions.len()),
    })?;
    let facts = common_grid(&sources, catalog)?;
    let dtype = output.dtype.unwrap_or(DataType::Float32);
    let nodata = match output.nodata {
        Some(value) => Some(checked_nodata(dtype, value)?),
        None if dtype.is_float() => Some(f64::NAN),
        None => return Err(PlanError::NodataMissing { dtype }),
    };
    let profile = RasterProfile {
        bands,
        dtype,
        nodata,
        ..facts.profile.clone()
    };
    let kernel = KernelSpec::Calc {
        expressions: expressions.to_vec(),
        names,
        scale: math.scale,
        offset: math.offset,
        // The only band needs no name.
        descriptions: match bands {
            1 => Vec::new(),
            _ => math.descriptions,
        },
    };
    Ok(raster_plan(
        &name, sources, kernel, profile, output, catalog,
    ))
}

pub(super) fn required_output<'s>(
    spec: &'s JobSpec,
    operation: &'static str,
) -> Result<&'s RasterOutput, PlanError> {
    let Some(Output::Raster(output)) = &spec.output else {
        return Err(PlanError::NoOutput {
            operation,
            example: "OUT.tif",
        });
    };
    let blocksize = output.blocksize;
    if !(16..=4096).contains(&blocksize) || !blocksize.is_multiple_of(16) {
        return Err(PlanError::Blocksize { blocksize });
    }
    Ok(output)
}

pub(super) fn checked_nodata(dtype: DataType, nodata: f64) -> Result<f64, PlanError> {
    let (low, high) = dtype.range();
    let fits = dtype.is_float() || (nodata.fract() == 0.0 && (low..=high).contains(&nodata));
    if fits {
        Ok(nodata)
    } else {
        Err(PlanError::Nodata {
            dtype,
            nodata,
            low,
            high,
        })
    }
}

/// Groups the bands that expressions use by file, each file read once; returns the files and the name of
/// every band in the order in which the kernel sees them.
fn group_by_file(
    expressions: &[String],
    inputs: &[NamedInput],
) -> Result<(Vec<SourceBands>, Vec<String>), PlanError> {
    let mut used: Vec<(&str, String, Option<u16>)> = Vec::new();
    for expression in expressions {
        let inputs = calc::parse_inputs(expression)?;
        let names = inputs
            .into_iter()
            .map(|(name, band)| (expression.as_str(), name, band));
        for (expression, name, band) in names {
            if !used.iter().any(|(_, n, b)| (n, b) == (&name, &band)) {
                used.push((expression, name, band));
            }
        }
    }
    let mut grouped: Vec<(SourceBands, Vec<String>)> = Vec::new();
    for (expression, name, band) in used {
        let Some(input) = inputs.iter().find(|input| input.name == name) else {
            let wanted = inputs
                .iter()
                .map(|input| input.name.as_str())
                .collect::<Vec<_>>();
            return Err(PlanError::Inputs {
                formula: format!("the expression '{expression}'"),
                problem: format!(
                    "{name} is not given (given: {}): add -i {name}=FILE@BAND",
                    wanted.join(", ")
                ),
                wanted: name,
            });
        };
        let label = band.map_or_else(|| name.clone(), |band| format!("{name}@{band}"));
        let band = band.unwrap_or(input.band);
        match grouped
            .iter_mut()
            .find(|(source, _)| source.path == input.path)
        {
            Some((source, labels)) => {
                source.bands.push(band);
                labels.push(label);
            }
            None => {
                let source = SourceBands {
                    path: input.path.clone(),
                    bands: vec![band],
                    version: None,
                };
                grouped.push((source, vec![label]));
            }
        }
    }
    if grouped.is_empty() {
        return Err(PlanError::Inputs {
            formula: format!("the expression '{}'", expressions.join("; ")),
            wanted: "at least one raster".to_owned(),
            problem: "it names none".to_owned(),
        });
    }
    let (sources, labels): (Vec<_>, Vec<_>) = grouped.into_iter().unzip();
    Ok((sources, labels.concat()))
}

pub(super) fn known<'c>(catalog: &'c Catalog, path: &str) -> Result<&'c RasterFacts, PlanError> {
    catalog.rasters.get(path).ok_or_else(|| PlanError::Unknown {
        path: path.to_owned(),
    })
}

/// Checks that all sources have their bands and share one grid; returns the facts of the first.
pub(super) fn common_grid<'c>(
    sources: &[SourceBands],
    catalog: &'c Catalog,
) -> Result<&'c RasterFacts, PlanError> {
    let mut first: Option<(&str, &RasterFacts)> = None;
    for source in sources {
        let facts = known(catalog, &source.path)?;
        let bands = facts.profile.bands;
        if let Some(band) = source
            .bands
            .iter()
            .find(|band| **band == 0 || **band > bands)
        {
            return Err(PlanError::NoSuchBand {
                path: source.path.clone(),
                band: *band,
                bands,
            });
        }
        match first {
            None => first = Some((&source.path, facts)),
            Some((path, other)) if !same_grid(&other.profile, &facts.profile) => {
                return Err(PlanError::Grids {
                    a_path: path.to_owned(),
                    a: describe_grid(&other.profile),
                    b_path: source.path.clone(),
                    b: describe_grid(&facts.profile),
                });
            }
            Some(_) => {}
        }
    }
    first
        .map(|(_, facts)| facts)
        .ok_or_else(|| PlanError::Unknown {
            path: String::new(),
        })
}

/// Tells whether cells of the same column and row are the same place, to a millionth of a cell.
fn same_grid(a: &RasterProfile, b: &RasterProfile) -> bool {
    let far = (f64::from(a.width), f64::from(a.height));
    let close = |a: &Affine, b: &Affine| {
        let tolerance = 1e-6 * a.0[1].abs().max(a.0[5].abs());
        [(0.0, 0.0), far].into_iter().all(|(col, row)| {
            let ((ax, ay), (bx, by)) = (a.apply(col, row), b.apply(col, row));
            (ax - bx).abs() <= tolerance && (ay - by).abs() <= tolerance
        })
    };
    let transforms = match (&a.transform, &b.transform) {
        (Some(a), Some(b)) => close(a, b),
        (None, None) => true,
        _ => false,
    };
    (a.width, a.height) == (b.width, b.height) && a.crs.same(&b.crs) && transforms
}

fn describe_grid(profile: &RasterProfile) -> String {
    let transform = match &profile.transform {
        Some(Affine([x, width, _, y, _, height])) => {
            format!("upper left ({x}, {y}), cells of {width} × {height}")
        }
        None => "no transform".to_owned(),
    };
    format!(
        "{} × {} cells, {}, {transform}",
        profile.width, profile.height, profile.crs
    )
}

pub(super) fn raster_plan(
    name: &str,
    sources: Vec<SourceBands>,
    kernel: KernelSpec,
    profile: RasterProfile,
    output: &RasterOutput,
    catalog: &Catalog,
) -> Plan {
    let chunks = sources
        .iter()
        .filter_map(|source| catalog.rasters.get(&source.path));
    let strips = chunks
        .clone()
        .any(|facts| facts.chunk.0 >= facts.profile.width);
    let (width, height) = (profile.width, profile.height);
    let window = window_size(width, output.blocksize, strips);
    let overviews = output.overviews == Overviews::Auto;
    let layout = PyramidLayout::new(width, height, output.blocksize, overviews, window);
    let input_cell_bytes: u64 = sources
        .iter()
        .filter_map(|source| {
            let facts = catalog.rasters.get(&source.path)?;
            Some(facts.profile.dtype.bytes() as u64 * source.bands.len() as u64)
        })
        .sum();
    // A copy of classes has classes; a formula of them has whatever it makes of them: a measure.
    let classes = match &kernel {
        KernelSpec::Copy | KernelSpec::Convert(_) => chunks.clone().any(|facts| facts.classes),
        // Nor is there one of directions.
        KernelSpec::Focal(kernel) => kernel.is_direction(),
        KernelSpec::Calc { .. } | KernelSpec::Warp(_) => false,
    };
    let resampling = output.overview_resampling.unwrap_or(if classes {
        Resampling::Nearest
    } else {
        Resampling::Average
    });
    let of_this_state = |source: SourceBands| SourceBands {
        version: catalog.rasters.get(&source.path).and_then(|it| it.version),
        ..source
    };
    let raster = Arc::new(RasterStage {
        sources: sources.into_iter().map(of_this_state).collect(),
        kernel,
        output: profile,
        layout,
        compression: output.compress,
        resampling,
    });
    finish_raster(name, &raster, output, input_cell_bytes)
}

/// Makes the stages of a raster: its windows, its higher overviews, the commit.
pub(super) fn finish_raster(
    name: &str,
    raster: &Arc<RasterStage>,
    output: &RasterOutput,
    input_cell_bytes: u64,
) -> Plan {
    let mut stages = raster_stages(name, raster, input_cell_bytes);
    let inputs = (0..stages.len())
        .filter_map(|n| u32::try_from(n).ok())
        .map(StageId)
        .collect();
    stages.push(Stage {
        name: "commit".to_owned(),
        work: StageWork::Commit {
            raster: Arc::clone(raster),
            path: output.path.clone(),
            overwrite: output.overwrite,
        },
        tasks: 1,
        inputs,
        memory_bytes: COMMIT_BYTES,
        output_bytes: 0,
        details: Vec::new(),
    });
    Plan { stages }
}

/// Returns the window that a task of level 0 should have: square over tiled files, as wide as the raster
/// over strips, which are read whole whatever part of them is wanted.
pub(super) fn window_size(width: u32, tile: u32, strips: bool) -> (u32, u32) {
    let power_of_two = |tiles: u32| 1 << tiles.max(1).ilog2();
    if !strips {
        let edge = power_of_two(TASK_EDGE / tile) * tile;
        return (edge, edge);
    }
    let rows = TASK_CELLS / u64::from(width.max(1));
    let tiles = u32::try_from(rows / u64::from(tile))
        .unwrap_or(1)
        .min(1 << 10);
    (width, power_of_two(tiles) * tile)
}

/// Makes one stage for each group of levels.
fn raster_stages(name: &str, raster: &Arc<RasterStage>, input_cell_bytes: u64) -> Vec<Stage> {
    let layout = &raster.layout;
    let cell_bytes = raster.output.dtype.bytes() as u64 * u64::from(raster.output.bands);
    let mut stages = Vec::new();
    for (number, group) in layout.groups.iter().enumerate() {
        let (across, down) = layout.windows(group);
        let (cols, rows) = layout.level_size(group.first);
        let window_cells =
            u64::from(group.window_cols.min(cols)) * u64::from(group.window_rows.min(rows));
        // The samples of a window, the levels above them, and all of them encoded.
        let output_bytes = window_cells * cell_bytes * 8 / 3;
        let first = number == 0;
        // Inputs are held encoded and decoded, with the halo.
        let halo = raster.kernel.halo().saturating_mul(2);
        let input_bytes = if first {
            let cols_read = group.window_cols.saturating_add(halo).min(cols);
            let rows_read = group.window_rows.saturating_add(halo).min(rows);
            u64::from(cols_read) * u64::from(rows_read) * input_cell_bytes * 2
                + raster.kernel.scratch_bytes()
        } else {
            window_cells * cell_bytes
        };
        let group_number = u32::try_from(number).unwrap_or(u32::MAX);
        stages.push(Stage {
            name: if first {
                name.to_owned()
            } else {
                format!("overviews {}-{}", group.first, group.last)
            },
            work: if first {
                StageWork::Raster(Arc::clone(raster))
            } else {
                StageWork::Overviews {
                    raster: Arc::clone(raster),
                    group: group_number,
                }
            },
            tasks: across.saturating_mul(down),
            inputs: group_number
                .checked_sub(1)
                .map(StageId)
                .into_iter()
                .collect(),
            memory_bytes: TASK_OVERHEAD_BYTES + input_bytes + output_bytes,
            output_bytes: u64::from(cols) * u64::from(rows) * cell_bytes * 4 / 3,
            details: Vec::new(),
        });
    }
    stages
}
