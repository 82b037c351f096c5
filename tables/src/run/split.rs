//! A partition that does not fit is taken in shares.

use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode, SortMergeJoinExec};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::sorts::sort::SortExec;

use super::attempt::{Attempt, exhausted};
use super::repeat::RepeatExec;
use super::{RunError, RunStats, Sink, TaskSettings};
use crate::exchange::{ExchangeReadExec, ReadMode};
use crate::{Error, Outputs};

/// Shares into which one is split.
const FINER: u64 = 4;
/// A share of so many that does not fit is one key: it is joined by sorting.
const SHARES_MAX: u64 = 256;

/// One share of a partition.
#[derive(Debug, Clone, Copy)]
struct Share {
    at: u64,
    of: u64,
    sort_joins: bool,
}

pub(super) async fn run(
    bytes: &[u8],
    task: u32,
    settings: &TaskSettings,
    outputs: &mut dyn Outputs,
) -> Result<RunStats, Error> {
    let attempt = Attempt::new(bytes, (0, 1), settings)
        .map_err(|error| failed(RunError::Plan(error), None))?;
    let schema = attempt.fragment.plan.schema();
    outputs
        .begin(&schema)
        .map_err(|error| failed(RunError::Output(error), None))?;
    let mut sink = Sink::new(outputs);
    let mut first = Share {
        at: 0,
        of: 1,
        sort_joins: false,
    };
    loop {
        match shares(bytes, task, settings, first, &mut sink).await? {
            Ended::Well(stats) => return Ok(stats),
            // Some of the share's rows were written: all begins again, in shares from the start.
            Ended::Spoilt(next) => {
                sink.discard().map_err(|error| failed(error, None))?;
                first = next;
            }
        }
    }
}

enum Ended {
    Well(RunStats),
    Spoilt(Share),
}

async fn shares(
    bytes: &[u8],
    task: u32,
    settings: &TaskSettings,
    first: Share,
    sink: &mut Sink<'_>,
) -> Result<Ended, Error> {
    let plan = |error| failed(RunError::Plan(error), None);
    let write_bytes = settings.memory_bytes / 3;
    let mut writer = None;
    let mut left: Vec<Share> = (0..first.of)
        .rev()
        .map(|at| Share { at, ..first })
        .collect();
    let mut stats = RunStats::default();
    while let Some(share) = left.pop() {
        let mut attempt = Attempt::new(bytes, (share.at, share.of), settings).map_err(plan)?;
        let own = attempt.writer(write_bytes).map_err(plan)?;
        let writer = writer.get_or_insert(own);
        let splits = can_split(&attempt.fragment.plan);
        if share.sort_joins {
            attempt.fragment.plan = sort_joins(&attempt.fragment.plan).map_err(plan)?;
            attempt.leave_room();
            stats.sorted_joins += 1;
        }
        let mut taken = false;
        let ended = attempt.run(task, writer, &mut taken, sink).await;
        attempt.count(&mut stats);
        match ended {
            Ok(()) => stats.shares += 1,
            Err(error) if exhausted(&error) => {
                let finer = finer(share, splits, &attempt.fragment.plan);
                tracing::debug!(?share, taken, ?finer, "memory does not suffice");
                let Some(finer) = finer else {
                    return Err(failed(error, Some(&attempt)));
                };
                if taken {
                    return Ok(Ended::Spoilt(finer));
                }
                let parts = finer.of / share.of;
                left.extend((0..parts).rev().map(|part| Share {
                    at: share.at * parts + part,
                    ..finer
                }));
            }
            Err(error) => return Err(failed(error, Some(&attempt))),
        }
    }
    if let Some(writer) = writer {
        writer.finish(sink).map_err(|error| failed(error, None))?;
    }
    (stats.rows, stats.bytes) = (sink.rows, sink.bytes);
    Ok(Ended::Well(stats))
}

/// Returns what to try when a share does not fit.
fn finer(share: Share, splits: bool, plan: &Arc<dyn ExecutionPlan>) -> Option<Share> {
    if splits && share.of < SHARES_MAX {
        return Some(Share {
            of: share.of * FINER,
            ..share
        });
    }
    (!share.sort_joins && has_hash_join(plan)).then_some(Share {
        sort_joins: true,
        ..share
    })
}

/// Says whether a partition can be taken in shares: by the hash of keys, or by ranges of them.
fn can_split(plan: &Arc<dyn ExecutionPlan>) -> bool {
    splits_by_hash(plan) || splits_by_range(plan)
}

/// Rows of equal keys are all that an operator has to see together, when every leaf reads a hash exchange or is read
/// whole by every task.
fn splits_by_hash(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let (mut hashed, mut other) = (false, false);
    let _ = plan.apply(|node| {
        match node
            .downcast_ref::<ExchangeReadExec>()
            .map(ExchangeReadExec::mode)
        {
            Some(ReadMode::Hash { .. }) => hashed = true,
            Some(ReadMode::Whole { broadcast: true }) => {}
            Some(_) => other = true,
            None => other |= node.children().is_empty() && !node.is::<EmptyExec>(),
        }
        Ok(TreeNodeRecursion::Continue)
    });
    hashed && !other
}

/// Rows in order are taken range after range, when nothing looks at more than one.
fn splits_by_range(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(read) = plan.downcast_ref::<ExchangeReadExec>() {
        return matches!(read.mode(), ReadMode::Sorted { fetch: None, .. });
    }
    (plan.is::<ProjectionExec>() || plan.is::<CooperativeExec>())
        && plan.children().into_iter().all(splits_by_range)
}

fn has_hash_join(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.exists(|node| {
        Ok(node
            .downcast_ref::<HashJoinExec>()
            .is_some_and(|join| !join.null_aware))
    })
    .unwrap_or(false)
}

/// Replaces hash joins, which hold one side in memory, by joins of sorted sides, which spill.
fn sort_joins(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    Arc::clone(plan)
        .transform_up(|node| match node.downcast_ref::<HashJoinExec>() {
            Some(join) if !join.null_aware => Ok(Transformed::yes(sort_join(join)?)),
            _ => Ok(Transformed::no(node)),
        })
        .data()
}

fn sort_join(join: &HashJoinExec) -> Result<Arc<dyn ExecutionPlan>> {
    let (left_keys, right_keys): (Vec<_>, Vec<_>) = join.on().iter().cloned().unzip();
    let sorted = |side: &Arc<dyn ExecutionPlan>, keys: Vec<_>| -> Arc<dyn ExecutionPlan> {
        match LexOrdering::new(keys.into_iter().map(PhysicalSortExpr::new_default)) {
            Some(order) => {
                Arc::new(SortExec::new(order, Arc::clone(side)).with_preserve_partitioning(true))
            }
            None => Arc::clone(side),
        }
    };
    // A side that all tasks collect is one partition, which each of them sorts.
    let partitions = join.right().output_partitioning().partition_count();
    let left: Arc<dyn ExecutionPlan> = match join.partition_mode() {
        PartitionMode::CollectLeft => {
            Arc::new(RepeatExec::new(Arc::clone(join.left()), partitions))
        }
        PartitionMode::Partitioned | PartitionMode::Auto => Arc::clone(join.left()),
    };
    let merged: Arc<dyn ExecutionPlan> = Arc::new(SortMergeJoinExec::try_new(
        sorted(&left, left_keys),
        sorted(join.right(), right_keys),
        join.on().to_vec(),
        join.filter().cloned(),
        *join.join_type(),
        vec![SortOptions::default(); join.on().len()],
        join.null_equality(),
    )?);
    let Some(projection) = join.projection.as_ref() else {
        return Ok(merged);
    };
    let schema = merged.schema();
    let columns = projection.iter().map(|at| {
        let name = schema.field(*at).name();
        ProjectionExpr::new(Arc::new(Column::new(name, *at)), name.clone())
    });
    Ok(Arc::new(ProjectionExec::try_new(columns, merged)?))
}

fn failed(error: RunError, attempt: Option<&Attempt>) -> Error {
    if let Some(source) = attempt.and_then(|attempt| attempt.surroundings.take_failure()) {
        return Error::Input { source };
    }
    if let Some(source) = attempt.and_then(|attempt| attempt.surroundings.spill.take_failure()) {
        return Error::Spill { source };
    }
    if attempt.is_some_and(|attempt| attempt.surroundings.cancelled()) {
        return Error::Cancelled;
    }
    match error {
        RunError::Output(source) => Error::Output { source },
        RunError::Cancelled => Error::Cancelled,
        RunError::Plan(source) if exhausted_plan(&source) => Error::Memory {
            source: Box::new(source),
        },
        RunError::Plan(source) => Error::Run {
            source: Box::new(source),
        },
    }
}

fn exhausted_plan(error: &datafusion::error::DataFusionError) -> bool {
    matches!(
        error.find_root(),
        datafusion::error::DataFusionError::ResourcesExhausted(_)
    )
}
