//! What a stage tells people.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, displayable};

use crate::StageOutput;
use crate::fragment::Output;

/// Names a stage by the heaviest thing that it does.
pub(super) fn name(plan: &Arc<dyn ExecutionPlan>) -> String {
    const RANKED: [(&str, &str); 7] = [
        ("Join", "join"),
        ("Spatial", "spatial join"),
        ("Aggregate", "aggregate"),
        ("Window", "window"),
        ("Sort", "sort"),
        ("Limit", "limit"),
        ("Exchange", "merge"),
    ];
    let mut names = Vec::new();
    let mut scan = None;
    let _ = plan.apply(|node| {
        names.push(node.name().to_owned());
        scan = scan.take().or_else(|| scanned(node));
        Ok(TreeNodeRecursion::Continue)
    });
    let work = RANKED
        .iter()
        .find(|(part, _)| names.iter().any(|name| name.contains(part)))
        .map(|(_, word)| (*word).to_owned());
    match (scan, work) {
        (Some(table), None) => format!("scan {table}"),
        (Some(table), Some(work)) => format!("scan {table}, {work}"),
        (None, Some(work)) => work,
        (None, None) => "rows".to_owned(),
    }
}

/// Names what a scan reads: the first file without its ending.
fn scanned(node: &Arc<dyn ExecutionPlan>) -> Option<String> {
    let source = node.downcast_ref::<DataSourceExec>()?;
    let config = source.data_source().downcast_ref::<FileScanConfig>()?;
    let file = config
        .file_groups
        .iter()
        .flat_map(|group| group.files())
        .next()?;
    let name = file.object_meta.location.filename()?;
    Some(name.split('.').next().unwrap_or(name).to_owned())
}

/// Returns the operators, a line each, indented.
pub(super) fn lines(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    let text = displayable(plan.as_ref()).indent(false).to_string();
    text.lines().map(str::to_owned).collect()
}

/// Returns the bytes that a part gives, as far as statistics say.
pub(super) fn bytes(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    StatisticsContext::new()
        .compute(plan.as_ref(), &StatisticsArgs::new())
        .ok()
        .and_then(|statistics| statistics.total_byte_size.get_value().copied())
        .map_or(0, |bytes| bytes as u64)
}

/// Says whether a part gives, or may give, more than a task should sort in memory.
pub(super) fn is_large(plan: &Arc<dyn ExecutionPlan>) -> bool {
    const IN_MEMORY_BYTES: u64 = 32 << 20;
    !(1..=IN_MEMORY_BYTES).contains(&bytes(plan))
}

/// Returns what a stage writes, for people.
pub(super) fn output(output: Output, root: &Arc<dyn ExecutionPlan>) -> StageOutput {
    match output {
        Output::Result => StageOutput::Result,
        Output::Whole => StageOutput::Whole { broadcast: false },
        Output::Broadcast => StageOutput::Whole { broadcast: true },
        Output::Sorted => StageOutput::Sorted {
            keys: root
                .downcast_ref::<SortPreservingMergeExec>()
                .map(|node| node.expr().iter().map(ToString::to_string).collect())
                .unwrap_or_default(),
        },
        Output::Hash => match root
            .downcast_ref::<RepartitionExec>()
            .map(RepartitionExec::partitioning)
        {
            Some(Partitioning::Hash(keys, partitions)) => StageOutput::Hash {
                keys: keys.iter().map(ToString::to_string).collect(),
                partitions: u32::try_from(*partitions).unwrap_or(u32::MAX),
            },
            _ => StageOutput::Result,
        },
    }
}

/// Says whether an expression of a plan holds the value of a subquery.
pub(super) fn has_subquery(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        node.apply_expressions(&mut |expr| {
            found |= is_subquery(expr)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

/// Says whether an expression holds the value of a subquery.
fn is_subquery(expr: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    expr.exists(|part| Ok(part.is::<ScalarSubqueryExpr>()))
}
