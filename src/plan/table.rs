//! A query's stages, as the relational engine cut them, and the commit of their result.

use std::sync::Arc;

use super::catalog::{Catalog, QueryStage};
use super::error::PlanError;
use super::stage::{FragmentRows, FragmentStage, Plan, Stage, StageWork};
use crate::ids::StageId;
use crate::job::Payload;
use crate::spec::{JobSpec, Output, TableOutput};

/// The least memory that a fragment can do with; a worker gives it its slot's share.
const FRAGMENT_BYTES: u64 = 32 << 20;
/// Memory that a commit needs: parts in flight and what is written about them.
const COMMIT_BYTES: u64 = 64 << 20;

/// Plans an operation on tables.
pub(super) fn plan(spec: &JobSpec, catalog: &Catalog) -> Result<Plan, PlanError> {
    let Some(Output::Table(output)) = &spec.output else {
        return Err(PlanError::NoOutput {
            operation: "a table operation",
            example: "OUT.parquet",
        });
    };
    let query = catalog.query.as_ref().ok_or(PlanError::NoTables)?;
    let mut stages: Vec<Stage> = query.iter().map(|stage| fragment(stage, output)).collect();
    let last = u32::try_from(stages.len().saturating_sub(1)).unwrap_or(u32::MAX);
    stages.push(commit(output, last));
    Ok(Plan { stages })
}

/// Makes the stage that puts the encoded parts of `input` together.
pub(super) fn commit(output: &TableOutput, input: u32) -> Stage {
    Stage {
        name: "commit".to_owned(),
        work: StageWork::CommitTable(Arc::new(output.clone())),
        tasks: 1,
        inputs: vec![StageId(input)],
        memory_bytes: COMMIT_BYTES,
        output_bytes: 0,
        details: Vec::new(),
    }
}

fn fragment(stage: &QueryStage, output: &TableOutput) -> Stage {
    let rows = stage
        .rows
        .clone()
        .unwrap_or_else(|| FragmentRows::Result(output.clone()));
    Stage {
        name: stage.name.clone(),
        work: StageWork::Fragment(Arc::new(FragmentStage {
            fragment: Payload::Inline(stage.fragment.clone()),
            rows,
        })),
        tasks: stage.tasks,
        inputs: stage.inputs.iter().copied().map(StageId).collect(),
        memory_bytes: FRAGMENT_BYTES,
        output_bytes: stage.output_bytes,
        details: stage.details.clone(),
    }
}
