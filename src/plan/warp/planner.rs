//! Plans of operations that bring rasters onto a grid.

use std::sync::Arc;

use super::error::WarpError;
use super::stage::{WarpGrid, WarpKernel, WarpLayer, WarpScene};
use super::target::{self, Target};
use crate::crs::{Definition, SourceGrid, footprint, scale};
use crate::grid::profile::RasterFacts;
use crate::grid::pyramid::PyramidLayout;
use crate::grid::{Crs, DataType, RasterProfile, Window};
use crate::ops::warp::{Resampler, StackShape};
use crate::plan::catalog::Catalog;
use crate::plan::error::PlanError;
use crate::plan::planner::{checked_nodata, finish_raster, known, required_output, window_size};
use crate::plan::stage::{KernelSpec, Plan, RasterStage, StageWork};
use crate::spec::{
    Combine, Composite, ERROR_THRESHOLD, JobSpec, Overviews, RasterOutput, Reproject, Resampling,
    Scene, SceneLayer, TargetGrid, WarpMethod, WarpSettings,
};

/// Bytes of sources that are held for one step of a task; a step takes fewer rows when its sources are larger.
const SOURCE_BYTES: u64 = 256 << 20;
/// Bytes of values that are held for one task; its window is smaller when it has more scenes.
const STACK_BYTES: u64 = 128 << 20;
/// Memory that any task needs beside samples and values.
const TASK_OVERHEAD_BYTES: u64 = 8 << 20;
/// Steps of counting scenes in windows that are worth the exact memory of a task.
const COUNTS_MAX: u64 = 20_000_000;

/// Plans one raster onto another grid.
pub(in crate::plan) fn reproject(
    spec: &JobSpec,
    catalog: &Catalog,
    reproject: &Reproject,
) -> Result<Plan, PlanError> {
    let layer = SceneLayer {
        path: reproject.input.clone(),
        band: None,
        grid: None,
    };
    let scenes = [Scene {
        layers: vec![layer],
        mask: None,
    }];
    let asked = Asked {
        name: "reproject",
        scenes: &scenes,
        combine: Combine::First,
        grid: &reproject.grid,
        warp: &reproject.warp,
        mask_values: &[],
    };
    plan(spec, catalog, &asked)
}

/// Plans many rasters onto one grid.
pub(in crate::plan) fn composite(
    spec: &JobSpec,
    catalog: &Catalog,
    composite: &Composite,
) -> Result<Plan, PlanError> {
    let masks = composite.scenes.iter().any(|scene| scene.mask.is_some());
    if masks == composite.mask_values.is_empty() {
        return Err(WarpError::Mask.into());
    }
    let name = match composite.combine {
        Combine::First | Combine::Last => "mosaic",
        _ => "composite",
    };
    let asked = Asked {
        name,
        scenes: &composite.scenes,
        combine: composite.combine,
        grid: &composite.grid,
        warp: &composite.warp,
        mask_values: &composite.mask_values,
    };
    plan(spec, catalog, &asked)
}

/// What a person asks for, of either operation.
struct Asked<'a> {
    name: &'static str,
    scenes: &'a [Scene],
    combine: Combine,
    grid: &'a TargetGrid,
    warp: &'a WarpSettings,
    mask_values: &'a [f64],
}

fn plan(spec: &JobSpec, catalog: &Catalog, asked: &Asked<'_>) -> Result<Plan, PlanError> {
    let output = required_output(spec, asked.name)?;
    let tolerance = asked.warp.error_threshold.unwrap_or(ERROR_THRESHOLD);
    if !(tolerance >= 0.0 && tolerance.is_finite()) {
        let threshold = tolerance;
        return Err(WarpError::Threshold { threshold }.into());
    }
    let mut grids = Grids::new(catalog, asked.warp)?;
    let (scenes, inputs) = gather(asked, &mut grids)?;
    let first = inputs.first().ok_or(WarpError::NoScenes)?;
    let target = grids.target(asked.grid, &first.profile)?;
    let profile = profile(output, asked, &inputs, &target)?;
    let kernel = WarpKernel {
        grids: grids.place(&target)?,
        crs: target.definition,
        crs_is_given: asked.warp.source_crs.is_some(),
        source_dtype: output.dtype.is_none().then_some(profile.dtype),
        scenes,
        method: asked.warp.resampling,
        tolerance,
        combine: asked.combine,
        mask_values: asked.mask_values.to_vec(),
        rows_at_once: u32::MAX,
    };
    Ok(stages(asked.name, kernel, profile, output, &inputs))
}

/// Resolves scenes to files with bands and grids; returns them in the order in which they win, and the facts of each layer.
fn gather<'c>(
    asked: &Asked<'_>,
    grids: &mut Grids<'c>,
) -> Result<(Vec<WarpScene>, Vec<&'c RasterFacts>), PlanError> {
    let mut scenes = Vec::with_capacity(asked.scenes.len());
    let mut inputs = Vec::new();
    let mut wanted = None;
    for scene in asked.scenes {
        let mut layers = Vec::with_capacity(scene.layers.len());
        for layer in &scene.layers {
            let (layer, facts) = grids.layer(layer)?;
            layers.push(layer);
            inputs.push(facts);
        }
        let found = layers.iter().map(|layer| layer.bands.len()).sum();
        let wanted = *wanted.get_or_insert(found);
        if found != wanted || found == 0 {
            let path = layers.first().map_or_else(String::new, |l| l.path.clone());
            return Err(WarpError::Bands {
                path,
                found,
                wanted,
            }
            .into());
        }
        let mask = scene.mask.as_ref().map(|mask| {
            let band = Some(mask.band.unwrap_or(1));
            grids.layer(&SceneLayer {
                band,
                ..mask.clone()
            })
        });
        let mask = mask.transpose()?.map(|(layer, _)| layer);
        scenes.push(WarpScene { layers, mask });
    }
    if asked.combine == Combine::Last {
        scenes.reverse();
    }
    Ok((scenes, inputs))
}

/// The distinct grids of the sources.
struct Grids<'c> {
    catalog: &'c Catalog,
    source_crs: Option<(Crs, Definition)>,
    /// With the path of the first file that is on it.
    found: Vec<(String, SourceGrid)>,
}

impl<'c> Grids<'c> {
    fn new(catalog: &'c Catalog, warp: &WarpSettings) -> Result<Self, PlanError> {
        let source_crs = warp.source_crs.as_deref().map(Definition::parse);
        Ok(Self {
            catalog,
            source_crs: source_crs
                .transpose()
                .map_err(|source| WarpError::Target { source })?,
            found: Vec::new(),
        })
    }

    fn layer(&mut self, layer: &SceneLayer) -> Result<(WarpLayer, &'c RasterFacts), PlanError> {
        let facts = known(self.catalog, &layer.path)?;
        let profile = &facts.profile;
        let bands = match layer.band {
            None => (1..=profile.bands).collect(),
            Some(band) if band > 0 && band <= profile.bands => vec![band],
            Some(band) => {
                return Err(PlanError::NoSuchBand {
                    path: layer.path.clone(),
                    band,
                    bands: profile.bands,
                });
            }
        };
        let grid = self.grid(&layer.path, profile)?;
        let path = layer.path.clone();
        let version = facts.version;
        let layer = WarpLayer {
            path,
            grid,
            bands,
            version,
        };
        Ok((layer, facts))
    }

    fn grid(&mut self, path: &str, profile: &RasterProfile) -> Result<u32, PlanError> {
        let transform = profile.transform.ok_or_else(|| WarpError::NoTransform {
            path: path.to_owned(),
        })?;
        let crs = match &self.source_crs {
            Some((_, definition)) => definition.clone(),
            None => Definition::of(&profile.crs).map_err(|source| WarpError::Source {
                path: path.to_owned(),
                source,
            })?,
        };
        let grid = SourceGrid {
            width: profile.width,
            height: profile.height,
            transform,
            crs,
        };
        let known = self.found.iter().position(|(_, known)| *known == grid);
        let number = known.unwrap_or_else(|| {
            self.found.push((path.to_owned(), grid));
            self.found.len() - 1
        });
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    }

    fn target(&self, wanted: &TargetGrid, first: &RasterProfile) -> Result<Target, PlanError> {
        let sources: Vec<_> = self
            .found
            .iter()
            .map(|(path, grid)| (path.as_str(), grid))
            .collect();
        let (_, grid) = sources.first().ok_or(WarpError::NoScenes)?;
        let crs = self.source_crs.as_ref().map_or(&first.crs, |(crs, _)| crs);
        Ok(target::find(wanted, &sources, (crs, &grid.crs))?)
    }

    /// Places every grid in the output.
    fn place(self, target: &Target) -> Result<Vec<WarpGrid>, PlanError> {
        let size = (target.width, target.height);
        let one = |(path, grid): (String, SourceGrid)| {
            let wrong = |source| WarpError::Source {
                path: path.clone(),
                source,
            };
            let crs = &target.definition;
            let footprint = footprint(&grid, &target.transform, crs, size).map_err(wrong)?;
            // A source that lies elsewhere is known to lie elsewhere by an empty footprint.
            let footprint = footprint.unwrap_or(Window::whole(0, 0));
            let scale = if footprint.cells() == 0 {
                (1.0, 1.0)
            } else {
                scale(&grid, &target.transform, crs, size).map_err(wrong)?
            };
            Ok(WarpGrid {
                grid,
                scale,
                footprint,
            })
        };
        self.found.into_iter().map(one).collect()
    }
}

/// Says what the raster that comes out is.
fn profile(
    output: &RasterOutput,
    asked: &Asked<'_>,
    inputs: &[&RasterFacts],
    target: &Target,
) -> Result<RasterProfile, PlanError> {
    let first = inputs.first().ok_or(WarpError::NoScenes)?;
    let mut layers = asked.scenes.iter().flat_map(|scene| &scene.layers);
    let dtype = match output.dtype {
        Some(dtype) => dtype,
        None => {
            let wanted = first.profile.dtype;
            let other = inputs.iter().zip(layers.clone());
            let mut other = other.filter(|(facts, _)| facts.profile.dtype != wanted);
            if let Some((facts, layer)) = other.next() {
                let (path, found) = (layer.path.clone(), facts.profile.dtype);
                return Err(WarpError::Types {
                    path,
                    found,
                    wanted,
                }
                .into());
            }
            wanted
        }
    };
    let nodata = match output.nodata {
        Some(value) => Some(checked_nodata(dtype, value)?),
        None => inputs
            .iter()
            .filter_map(|facts| facts.profile.nodata)
            .find(|value| checked_nodata(dtype, *value).is_ok())
            .or_else(|| dtype.is_float().then_some(f64::NAN)),
    };
    if nodata.is_none() {
        if !asked.mask_values.is_empty() {
            return Err(PlanError::NodataMissing { dtype });
        }
        let masked = inputs
            .iter()
            .zip(&mut layers)
            .find(|(facts, _)| facts.masked);
        if let Some((_, layer)) = masked {
            return Err(PlanError::Mask {
                path: layer.path.clone(),
            });
        }
    }
    let first_scene = asked.scenes.first().map_or(1, |scene| scene.layers.len());
    let bands = asked
        .scenes
        .first()
        .map(|scene| scene.layers.iter().zip(inputs).take(first_scene))
        .into_iter()
        .flatten()
        .map(|(layer, facts)| {
            if layer.band.is_some() {
                1
            } else {
                facts.profile.bands
            }
        })
        .sum();
    Ok(RasterProfile {
        width: target.width,
        height: target.height,
        bands,
        dtype,
        nodata,
        crs: target.crs.clone(),
        transform: Some(target.transform),
        pixel_is_point: false,
    })
}

fn stages(
    name: &str,
    mut kernel: WarpKernel,
    profile: RasterProfile,
    output: &RasterOutput,
    inputs: &[&RasterFacts],
) -> Plan {
    let strips = inputs.len() == 1
        && inputs
            .iter()
            .any(|facts| facts.chunk.0 >= facts.profile.width);
    let size = (profile.width, profile.height);
    let overviews = output.overviews == Overviews::Auto;
    let tile = output.blocksize;
    let layout = |window| PyramidLayout::new(size.0, size.1, tile, overviews, window);
    let mut window = window_size(size.0, tile, strips);
    let mut laid = layout(window);
    let mut scenes = most_scenes(&kernel, &laid);
    // A median keeps the values of all scenes: then windows are smaller.
    let bytes = |scenes: u32, window: &(u32, u32)| {
        let shape = stack_shape(&kernel, &profile, *window, scenes);
        let cells = u64::from(window.0.min(size.0)) * u64::from(window.1.min(size.1));
        shape.cell_bytes().saturating_mul(cells)
    };
    while kernel.combine == Combine::Median
        && bytes(scenes, &window) > STACK_BYTES
        && (window.0 > tile || window.1 > tile)
    {
        let halve = |edge: u32| (edge / 2).max(tile).next_multiple_of(tile);
        window = (halve(window.0.min(2048)), halve(window.1.min(2048)));
        laid = layout(window);
        scenes = most_scenes(&kernel, &laid);
    }
    let stack_bytes = bytes(scenes, &window);
    let rows = window.1.min(size.1);
    let source_bytes = source_bytes(&kernel, inputs, (window.0.min(size.0), rows));
    // Where the output is far coarser than its sources, a few of its rows are all that fits.
    let rows_at_once = if source_bytes > SOURCE_BYTES {
        let fits = u64::from(rows).saturating_mul(SOURCE_BYTES) / source_bytes;
        u32::try_from(fits).unwrap_or(rows).max(1)
    } else {
        rows
    };
    kernel.rows_at_once = rows_at_once;
    let positions = if kernel.tolerance == 0.0 { 16 } else { 1 };
    let step_cells = u64::from(window.0.min(size.0)) * u64::from(rows_at_once);
    let step_bytes = source_bytes / u64::from(rows).max(1) * u64::from(rows_at_once);
    let warp_bytes = TASK_OVERHEAD_BYTES + stack_bytes + step_bytes + step_cells * positions;

    let values_are_classes = inputs.iter().any(|facts| facts.classes);
    let details = details(&kernel, &profile, scenes);
    let raster = RasterStage {
        sources: Vec::new(),
        kernel: KernelSpec::Warp(Arc::new(kernel.without_scenes())),
        output: profile,
        layout: laid,
        compression: output.compress,
        resampling: if values_are_classes {
            Resampling::Nearest
        } else {
            Resampling::Average
        },
    };
    let first = Arc::new(RasterStage {
        kernel: KernelSpec::Warp(Arc::new(kernel)),
        ..raster.clone()
    });
    let mut plan = finish_raster(name, &Arc::new(raster), output, 0);
    if let Some(stage) = plan.stages.first_mut() {
        stage.work = StageWork::Raster(first);
        stage.memory_bytes = stage.memory_bytes.saturating_add(warp_bytes);
        stage.details = details;
    }
    plan
}

fn stack_shape(
    kernel: &WarpKernel,
    profile: &RasterProfile,
    size: (u32, u32),
    scenes: u32,
) -> StackShape {
    StackShape {
        size,
        bands: profile.bands,
        combine: kernel.combine,
        dtype: profile.dtype,
        nodata: profile.nodata,
        nudge: kernel.method != WarpMethod::Nearest,
        scenes,
    }
}

/// Returns the most scenes that lie in one window.
fn most_scenes(kernel: &WarpKernel, layout: &PyramidLayout) -> u32 {
    let all = u32::try_from(kernel.scenes.len()).unwrap_or(u32::MAX);
    let Some(group) = layout.groups.first() else {
        return all;
    };
    let (across, down) = layout.windows(group);
    let tasks = across.saturating_mul(down);
    if u64::from(tasks).saturating_mul(u64::from(all)) > COUNTS_MAX {
        return all;
    }
    let counts = (0..tasks)
        .filter_map(|task| layout.window(group, task))
        .map(|window| kernel.count_within(&window));
    counts
        .max()
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(all)
}

/// Estimates the bytes of the sources that a window of the output needs at one time, encoded and decoded.
fn source_bytes(kernel: &WarpKernel, inputs: &[&RasterFacts], (cols, rows): (u32, u32)) -> u64 {
    let dtype_bytes = inputs
        .iter()
        .map(|facts| facts.profile.dtype.bytes() as u64)
        .max()
        .unwrap_or(8);
    let layers = kernel
        .scenes
        .iter()
        .flat_map(|scene| scene.layers.iter().chain(&scene.mask));
    let largest = layers
        .filter_map(|layer| {
            let grid = kernel.grids.get(layer.grid as usize)?;
            let reach = Resampler::new(kernel.method, grid.scale).reach();
            let turned = if grid.grid.crs == kernel.crs {
                1.0
            } else {
                1.25
            };
            let length = |cells: u32, scale: f64, reach: f64, size: u32| {
                (f64::from(cells) / scale * turned + 2.0 * reach).min(f64::from(size))
            };
            let cells = length(cols, grid.scale.0, reach.0, grid.grid.width)
                * length(rows, grid.scale.1, reach.1, grid.grid.height);
            // Encoded, decoded, and whether each is valid. A cast of what is huge saturates.
            Some((cells * layer.bands.len() as f64 * (2 * dtype_bytes + 1) as f64) as u64)
        })
        .max()
        .unwrap_or(0);
    // While one source is computed, the next is read.
    let at_once = if kernel.scenes.len() > 1 { 2 } else { 1 };
    largest.saturating_mul(at_once)
}

fn details(kernel: &WarpKernel, profile: &RasterProfile, most: u32) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(transform) = &profile.transform {
        let [left, width, _, top, _, height] = transform.0;
        lines.push(format!(
            "grid: {}, upper left ({left}, {top}), cells of {width} × {}",
            profile.crs, -height
        ));
    }
    let positions = if kernel.tolerance > 0.0 {
        format!("within {} cells of the source", kernel.tolerance)
    } else {
        "exact".to_owned()
    };
    lines.push(format!(
        "resampling: {}; positions {positions}",
        kernel.method
    ));
    if kernel.scenes.len() > 1 {
        lines.push(format!(
            "{} scenes on {} grids, at most {most} on a task",
            kernel.scenes.len(),
            kernel.grids.len()
        ));
    }
    if profile.nodata.is_none() && profile.dtype != DataType::Float32 {
        lines.push("cells without a source are 0: give --nodata to tell them apart".to_owned());
    }
    lines
}
