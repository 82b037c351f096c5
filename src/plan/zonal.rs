//! Zonal statistics: polygons → windows of the raster → ranges of zones → one table.
//!
//! Partial statistics are dealt out by zone: zones have dense numbers, so the partition of one is its number divided by
//! the zones of a range. That spreads them as a hash would, and the merged ranges are in the order of the zones.

use std::sync::Arc;

use super::catalog::Catalog;
use super::error::PlanError;
use super::planner::{TASK_CELLS, TASK_EDGE, TASK_OVERHEAD_BYTES, known};
use super::stage::{Plan, Stage, StageWork, ZonalRole, ZonalStage};
use super::table;
use crate::grid::profile::RasterFacts;
use crate::ids::StageId;
use crate::ops::zonal::{Needs, WindowGrid};
use crate::spec::{JobSpec, Output, Pixels, TableFormat, TableOutput, ZonalStats};

/// Zones that one task merges, about: their partial statistics take a few hundred bytes each.
const RANGE_ZONES: u64 = 1 << 14;
/// Ranges there are at most.
const RANGES_MAX: u64 = 1 << 10;
/// Bytes of an entry of a value and its weight.
const VALUE_BYTES: u64 = 24;
/// Memory of a merge: the values that wait in memory (see `worker::execute::zonal`), and the partial statistics.
const MERGE_BYTES: u64 = 160 << 20;
/// Memory of the polygons' task: a batch of them, its sides, and the buffers of what it stores.
const ZONES_BYTES: u64 = 192 << 20;

/// Cuts a raster into the windows that tasks read, in whole chunks of the file: about 2048 × 2048 cells, or whole rows
/// over a file of strips.
#[must_use]
pub fn window_grid(facts: &RasterFacts) -> WindowGrid {
    let (width, height) = (facts.profile.width, facts.profile.height);
    let (cols, rows) = (facts.chunk.0.max(1), facts.chunk.1.max(1));
    let many = |chunk: u32, edge: u32| (edge / chunk).max(1).saturating_mul(chunk);
    let size = if cols >= width {
        let wanted = TASK_CELLS / u64::from(width.max(1));
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).clamp(1, 1 << 16);
        // A strip of very many rows is cut all the same, for the sake of memory.
        let rows = if rows > wanted.saturating_mul(8) {
            1
        } else {
            rows
        };
        (width, many(rows, wanted))
    } else {
        let edge = |chunk: u32| {
            if chunk > 4 * TASK_EDGE {
                TASK_EDGE
            } else {
                many(chunk, TASK_EDGE)
            }
        };
        (edge(cols), edge(rows))
    };
    WindowGrid {
        raster: (width, height),
        size: (size.0.min(width).max(1), size.1.min(height).max(1)),
    }
}

/// Tells whether the result keeps the zones' geometry.
#[must_use]
pub fn keeps_geometry(spec: &ZonalStats, output: &TableOutput) -> bool {
    spec.geometry || output.layout().0 == TableFormat::Geojson
}

/// Plans zonal statistics.
pub(super) fn plan(
    asked: &ZonalStats,
    spec: &JobSpec,
    catalog: &Catalog,
) -> Result<Plan, PlanError> {
    let Some(Output::Table(output)) = &spec.output else {
        return Err(PlanError::NoOutput {
            operation: "zonal-stats",
            example: "OUT.parquet",
        });
    };
    let facts = known(catalog, &asked.raster)?;
    let bands = facts.profile.bands;
    if asked.band == 0 || asked.band > bands {
        return Err(PlanError::NoSuchBand {
            path: asked.raster.clone(),
            band: asked.band,
            bands,
        });
    }
    let zones = catalog.zones.as_ref().ok_or(PlanError::NoTables)?;
    check_columns(asked, output, &zones.columns)?;
    let count =
        u32::try_from(zones.zones).map_err(|_| PlanError::TooManyTasks { tasks: zones.zones })?;
    let ranges = zones.zones.div_ceil(RANGE_ZONES).clamp(1, RANGES_MAX);
    let per_range = zones.zones.div_ceil(ranges).max(1);
    let grid = window_grid(facts);
    let stage = Arc::new(ZonalStage {
        spec: asked.clone(),
        window: grid.size,
        // Where no zone touches the raster, one task finds that out.
        windows: zones.windows.max(1),
        zones: count,
        zones_per_range: u32::try_from(per_range).unwrap_or(u32::MAX),
        ranges: u32::try_from(zones.zones.div_ceil(per_range).max(1)).unwrap_or(u32::MAX),
        output: output.clone(),
        version: facts.version,
    });
    let mut stages = stages(&stage, facts, zones.side_bytes);
    stages.push(table::commit(output, 2));
    Ok(Plan { stages })
}

fn stages(stage: &Arc<ZonalStage>, facts: &RasterFacts, side_bytes: u64) -> Vec<Stage> {
    let cells = u64::from(stage.window.0) * u64::from(stage.window.1);
    let sample_bytes = facts.profile.dtype.bytes() as u64;
    let bands = if facts.pixel_interleaved {
        u64::from(facts.profile.bands)
    } else {
        1
    };
    let windows = u64::from(stage.windows);
    let needs = Needs::of(&stage.spec.statistics);
    let value_bytes = if needs.values { cells * VALUE_BYTES } else { 0 };
    let sides = side_bytes.div_ceil(windows) * 3;
    // The samples, what the file stores of them, the values of a zone that fills the window, its sides.
    let window_bytes = cells * sample_bytes * (1 + bands) + value_bytes + sides;
    let make = |name: &str, role, tasks, inputs: &[u32], memory_bytes, output_bytes| Stage {
        name: name.to_owned(),
        work: StageWork::Zonal(role, Arc::clone(stage)),
        tasks,
        inputs: inputs.iter().copied().map(StageId).collect(),
        memory_bytes,
        output_bytes,
        details: Vec::new(),
    };
    let overhead = TASK_OVERHEAD_BYTES;
    vec![
        make("zones", ZonalRole::Zones, 1, &[], ZONES_BYTES, side_bytes),
        make(
            "windows",
            ZonalRole::Window,
            stage.windows,
            &[0],
            window_bytes + overhead,
            u64::from(stage.zones) * 160 + windows * value_bytes / 4,
        ),
        make(
            "merge",
            ZonalRole::Merge,
            stage.ranges,
            &[0, 1],
            MERGE_BYTES + overhead,
            u64::from(stage.zones) * 16 * stage.spec.statistics.len() as u64,
        ),
    ]
}

fn check_columns(
    asked: &ZonalStats,
    output: &TableOutput,
    columns: &[String],
) -> Result<(), PlanError> {
    if asked.statistics.is_empty() {
        return Err(PlanError::NoStatistics);
    }
    let format = match output.layout().0 {
        TableFormat::Csv => Some("CSV"),
        TableFormat::Ndjson => Some("lines of JSON"),
        TableFormat::Parquet | TableFormat::Geojson | TableFormat::Arrow => None,
    };
    if let Some(format) = format.filter(|_| asked.geometry) {
        return Err(PlanError::ZonalGeometry { format });
    }
    let mut seen: Vec<&str> = columns.iter().map(String::as_str).collect();
    let names: Vec<String> = asked
        .statistics
        .iter()
        .map(|statistic| format!("{}{}", asked.prefix, statistic.name()))
        .collect();
    for name in &names {
        if seen.contains(&name.as_str()) {
            return Err(PlanError::ZonalColumn {
                column: name.clone(),
            });
        }
        seen.push(name);
    }
    Ok(())
}

/// Says what a task does, and how many partitions it stores.
pub(super) fn describe(role: ZonalRole, stage: &ZonalStage) -> (String, u64) {
    let spec = &stage.spec;
    let ranges = u64::from(stage.ranges);
    let values = Needs::of(&spec.statistics).values;
    match role {
        ZonalRole::Zones => (
            format!(
                "read {} zones from {}: sides to the windows that they touch, attributes to the merges",
                stage.zones, spec.zones
            ),
            u64::from(stage.windows) + ranges,
        ),
        ZonalRole::Window => {
            let pixels = match spec.pixels {
                Pixels::Default => "cells by their centres",
                Pixels::AllTouched => "every cell touched",
                Pixels::Fractional => "cells by the share covered",
            };
            let text = format!(
                "partial statistics of {}@{}, {pixels}, in a window of {} × {} cells{}; exchange: by zone, {ranges} partitions",
                spec.raster,
                spec.band,
                stage.window.0,
                stage.window.1,
                if values { ", with every value" } else { "" },
            );
            (text, if values { ranges * 2 } else { ranges })
        }
        ZonalRole::Merge => {
            let names: Vec<_> = spec.statistics.iter().map(|s| s.name()).collect();
            let text = format!(
                "merge {} zones: {}; encode their rows",
                stage.zones_per_range.min(stage.zones),
                names.join(", ")
            );
            (text, 2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::{Crs, DataType, RasterProfile};

    fn facts((width, height): (u32, u32), chunk: (u32, u32)) -> RasterFacts {
        RasterFacts {
            profile: RasterProfile {
                width,
                height,
                bands: 1,
                dtype: DataType::UInt16,
                nodata: None,
                crs: Crs::default(),
                transform: None,
                pixel_is_point: false,
            },
            chunk,
            stored_bytes: 0,
            masked: false,
            pixel_interleaved: false,
            classes: false,
            look: crate::grid::Look::default(),
            version: None,
        }
    }

    #[test]
    fn windows_are_whole_chunks_and_of_a_bounded_size() {
        let check = |size, chunk, expected| {
            assert_eq!(
                window_grid(&facts(size, chunk)).size,
                expected,
                "{size:?} {chunk:?}"
            );
        };
        check((10_980, 10_980), (512, 512), (2048, 2048));
        check((10_980, 10_980), (1024, 1024), (2048, 2048));
        check((10_980, 10_980), (5000, 3000), (5000, 3000));
        check((84, 78), (84, 24), (84, 78));
        check((10_980, 10_980), (10_980, 1), (10_980, 381));
        check((10_980, 10_980), (10_980, 100), (10_980, 300));
        check((10_980, 10_980), (10_980, 10_980), (10_980, 381));
        check((1, 1), (1, 1), (1, 1));
    }
}
