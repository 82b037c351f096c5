//! A plan for people and for programs.

use std::fmt::Write;

use serde::Serialize;

use super::stage::{FragmentRows, KernelSpec, Plan, StageWork};

/// One stage of an explained plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedStage {
    /// Its number.
    pub stage: u32,
    /// Its name.
    pub name: String,
    /// What its tasks do.
    pub work: String,
    /// Number of tasks.
    pub tasks: u32,
    /// The stages that it reads.
    pub inputs: Vec<u32>,
    /// Partitions that its tasks store, all together.
    pub partitions: u64,
    /// Bytes that it stores, estimated before compression.
    pub output_bytes: u64,
    /// Memory that one task needs at most.
    pub task_memory_bytes: u64,
    /// More about the work, a line each.
    pub details: Vec<String>,
}

/// Explains a plan, stage by stage.
#[must_use]
pub fn explain(plan: &Plan) -> Vec<ExplainedStage> {
    let mut stages = Vec::new();
    for (number, stage) in (0u32..).zip(&plan.stages) {
        let (work, partitions) = describe(&stage.work);
        stages.push(ExplainedStage {
            stage: number,
            name: stage.name.clone(),
            work,
            tasks: stage.tasks,
            inputs: stage.inputs.iter().map(|input| input.0).collect(),
            partitions: u64::from(stage.tasks) * partitions,
            output_bytes: stage.output_bytes,
            task_memory_bytes: stage.memory_bytes,
            details: stage.details.clone(),
        });
    }
    stages
}

/// Writes an explained plan as lines.
#[must_use]
pub fn to_text(stages: &[ExplainedStage]) -> String {
    let mut text = String::new();
    for stage in stages {
        let inputs = match stage.inputs.as_slice() {
            [] => String::new(),
            inputs => {
                let list: Vec<_> = inputs.iter().map(u32::to_string).collect();
                format!(" <- stage {}", list.join(", "))
            }
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "stage {} {}{inputs}\n  {}\n  {} tasks, {} partitions, about {} MiB stored, at most {} MiB of memory a task",
            stage.stage,
            stage.name,
            stage.work,
            stage.tasks,
            stage.partitions,
            stage.output_bytes.div_ceil(1 << 20),
            stage.task_memory_bytes.div_ceil(1 << 20),
        );
        for line in &stage.details {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

/// Returns what a task does, and how many partitions it stores.
fn describe(work: &StageWork) -> (String, u64) {
    match work {
        StageWork::Custom { operation } => (format!("call operation '{operation}'"), 0),
        StageWork::Raster(raster) => {
            let kernel = match &raster.kernel {
                KernelSpec::Focal(kernel) => {
                    format!(
                        "compute {kernel}, reading {} cells around a window,",
                        kernel.halo()
                    )
                }
                KernelSpec::Warp(kernel) => kernel.describe(),
                KernelSpec::Copy | KernelSpec::Convert(_) => "copy".to_owned(),
                KernelSpec::Calc { expressions, .. } => {
                    format!("compute {}", expressions.join("; "))
                }
            };
            let sources: Vec<_> = raster
                .sources
                .iter()
                .map(|source| {
                    let bands: Vec<_> = source.bands.iter().map(u16::to_string).collect();
                    format!("{}@{}", source.path, bands.join(","))
                })
                .collect();
            let made = raster
                .layout
                .groups
                .first()
                .map_or(1, |group| group.last + 1);
            let from = if sources.is_empty() {
                String::new()
            } else {
                format!(" from {}", sources.join(" and "))
            };
            let text = format!(
                "{kernel}{from}; {} × {} cells of {} in tiles of {}, levels 0 to {}",
                raster.output.width,
                raster.output.height,
                raster.output.dtype,
                raster.layout.tile,
                made - 1,
            );
            (
                text,
                u64::from(made) + u64::from(made < raster.layout.levels),
            )
        }
        StageWork::Overviews { raster, group } => {
            let Some(group) = raster.layout.groups.get(*group as usize) else {
                return (String::new(), 0);
            };
            let made = group.last - group.first + 1;
            let text = format!(
                "halve the stage below: levels {} to {}",
                group.first, group.last
            );
            (
                text,
                u64::from(made) + u64::from(group.last + 1 < raster.layout.levels),
            )
        }
        StageWork::Fragment(fragment) => match &fragment.rows {
            FragmentRows::Hash(partitions) => (
                format!("exchange: rows by the hash of their keys, {partitions} partitions"),
                u64::from(*partitions),
            ),
            FragmentRows::Sorted => ("exchange: sorted runs, read by ranges".to_owned(), 1),
            FragmentRows::Whole => ("exchange: all rows, read whole".to_owned(), 1),
            FragmentRows::Result(_) => ("encode the rows of the result".to_owned(), 1),
        },
        StageWork::Zonal(role, stage) => super::zonal::describe(*role, stage),
        StageWork::CommitTable(output) => {
            let (_, folder) = output.layout();
            let into = if folder {
                "a folder of parts"
            } else {
                "one file"
            };
            let path = &output.path;
            (
                format!("stream the encoded parts into {into} and commit it as {path}"),
                0,
            )
        }
        StageWork::Commit { path, .. } => (
            format!("stream all tiles into one file and commit it as {path}"),
            0,
        ),
    }
}
