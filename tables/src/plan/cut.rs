//! A physical plan, taken apart at its exchanges.
//!
//! ```text
//! RepartitionExec(Hash)       tasks write by the hash of keys         task p reads partition p of each
//! SortPreservingMergeExec     tasks write sorted runs                 one reader merges them, or each a range
//! CoalescePartitionsExec      tasks write one partition               one reader, all of them in order
//! left side of a join that    tasks write one partition               every task reads all of them
//!   collects it, subqueries
//! ```
//!
//! The node that is the exchange stays on top of the stage that writes: it says how. Its reader is an
//! [`ExchangeReadExec`], which has the same rows in the same order, as far as one partition has an order.

use std::sync::Arc;

use datafusion::common::not_impl_err;
use datafusion::error::Result;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode,
};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::{ScalarSubqueryExec, ScalarSubqueryLink};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, ReplaceChildrenOptions,
};

use super::describe;
use super::joins::left_rows_wait;
use crate::exchange::{ExchangeReadExec, ReadMode};
use crate::fragment::{self, Output};
use crate::spatial::SpatialJoinExec;
use crate::{StageOutput, TablePlan, TableStage};

/// Cuts a plan into stages.
///
/// # Errors
/// When it has a part that cannot be cut, or not be written down.
pub(super) fn stages(plan: Arc<dyn ExecutionPlan>, partitions: usize) -> Result<TablePlan> {
    let schema = plan.schema();
    let mut cutter = Cutter {
        partitions,
        stages: Vec::new(),
        subqueries: Vec::new(),
    };
    cutter.result(&plan)?;
    Ok(TablePlan {
        schema,
        stages: cutter.stages,
    })
}

/// Makes one stage of one task of a plan.
pub(super) fn whole(plan: Arc<dyn ExecutionPlan>) -> Result<TablePlan> {
    let plan = match plan.output_partitioning().partition_count() {
        1 => plan,
        _ => Arc::new(CoalescePartitionsExec::new(plan)) as Arc<dyn ExecutionPlan>,
    };
    let stage = TableStage {
        name: describe::name(&plan),
        tasks: 1,
        inputs: Vec::new(),
        fragment: fragment::encode(Output::Result, &plan, 1)?,
        output: StageOutput::Result,
        output_bytes: describe::bytes(&plan),
        display: describe::lines(&plan),
    };
    Ok(TablePlan {
        schema: plan.schema(),
        stages: vec![stage],
    })
}

struct Cutter {
    partitions: usize,
    stages: Vec<TableStage>,
    /// The scalar subqueries around the part at hand, innermost last.
    subqueries: Vec<Subqueries>,
}

/// Subqueries that give one value, which any fragment of their level may want.
struct Subqueries {
    node: Arc<dyn ExecutionPlan>,
    stages: Vec<u32>,
}

/// The part of a plan that becomes one stage: its inputs so far, and how many ranges a sorted one may have.
struct Part {
    inputs: Vec<u32>,
    ranges: usize,
}

impl Part {
    fn new() -> Self {
        Self {
            inputs: Vec::new(),
            ranges: 1,
        }
    }

    fn input(&mut self, stage: u32) -> u32 {
        self.inputs.push(stage);
        number(self.inputs.len() - 1)
    }
}

impl Cutter {
    fn result(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        let mut part = Part::new();
        part.ranges = self.partitions;
        if let Some(level) = plan.downcast_ref::<ScalarSubqueryExec>() {
            self.enter(plan, level)?;
            let root = self.rewrite(level.input(), &mut part)?;
            self.stage(Output::Result, root, part, plan)?;
            self.subqueries.pop();
        } else {
            let root = self.rewrite(plan, &mut part)?;
            self.stage(Output::Result, root, part, plan)?;
        }
        Ok(())
    }

    fn enter(&mut self, node: &Arc<dyn ExecutionPlan>, level: &ScalarSubqueryExec) -> Result<()> {
        let stages = level
            .subqueries()
            .iter()
            .map(|subquery| self.subquery(&subquery.plan))
            .collect::<Result<_>>()?;
        self.subqueries.push(Subqueries {
            node: Arc::clone(node),
            stages,
        });
        Ok(())
    }

    /// A subquery is a level of its own: it sees only its own subqueries.
    fn subquery(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Result<u32> {
        let around = std::mem::take(&mut self.subqueries);
        let mut part = Part::new();
        let stage = if let Some(level) = plan.downcast_ref::<ScalarSubqueryExec>() {
            self.enter(plan, level)?;
            self.producer(Output::Broadcast, level.input(), &mut part)
        } else {
            self.producer(Output::Broadcast, plan, &mut part)
        };
        self.subqueries = around;
        stage
    }

    fn producer(
        &mut self,
        output: Output,
        plan: &Arc<dyn ExecutionPlan>,
        part: &mut Part,
    ) -> Result<u32> {
        let child = self.rewrite(plan, part)?;
        let root = Arc::new(CoalescePartitionsExec::new(child));
        let part = std::mem::replace(part, Part::new());
        self.stage(output, root, part, plan)
    }

    fn rewrite(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        part: &mut Part,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Only what keeps rows one by one may stand above several ranges.
        let ranges = if plan.is::<ProjectionExec>() || plan.is::<CooperativeExec>() {
            part.ranges
        } else {
            std::mem::replace(&mut part.ranges, 1)
        };
        if let Some(node) = plan.downcast_ref::<RepartitionExec>() {
            self.hash(plan, node, part)
        } else if let Some(node) = plan.downcast_ref::<SortPreservingMergeExec>() {
            self.sorted(plan, node, ranges, part)
        } else if let Some(node) = plan.downcast_ref::<SortExec>()
            // Sorted runs need little memory, and several readers share the merge.
            && node.fetch().is_none()
            && node.input().output_partitioning().partition_count() == 1
            && (ranges > 1 || describe::is_large(node.input()))
        {
            let merge = SortPreservingMergeExec::new(node.expr().clone(), Arc::clone(plan));
            self.sorted(plan, &merge, ranges, part)
        } else if let Some(node) = plan.downcast_ref::<CoalescePartitionsExec>() {
            self.gather(plan, node, part)
        } else if let Some(join) = Collecting::of(plan) {
            self.collecting(plan, &join, part)
        } else if plan.is::<ScalarSubqueryExec>() {
            not_impl_err!("a subquery below the top of its level")
        } else {
            let children = plan.children().into_iter().cloned().collect::<Vec<_>>();
            let children = children
                .iter()
                .map(|child| self.rewrite(child, part))
                .collect::<Result<Vec<_>>>()?;
            with_children(plan, children)
        }
    }

    fn hash(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        node: &RepartitionExec,
        part: &mut Part,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Partitioning::Hash(keys, partitions) = node.partitioning() else {
            return not_impl_err!("an exchange by {}", node.partitioning());
        };
        if node.preserve_order() {
            return not_impl_err!("a hash exchange that keeps an order");
        }
        let mut below = Part::new();
        let child = self.rewrite(node.input(), &mut below)?;
        let root = Arc::new(RepartitionExec::try_new(
            child,
            node.partitioning().clone(),
        )?);
        let stage = self.stage(Output::Hash, root, below, plan)?;
        let mode = ReadMode::Hash {
            keys: keys.clone(),
            partitions: *partitions,
        };
        Ok(read(part.input(stage), mode, plan))
    }

    fn sorted(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        node: &SortPreservingMergeExec,
        ranges: usize,
        part: &mut Part,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut below = Part::new();
        let child = self.rewrite(node.input(), &mut below)?;
        let fetch = node.fetch();
        let root = SortPreservingMergeExec::new(node.expr().clone(), limited(child, fetch))
            .with_fetch(fetch);
        let stage = self.stage(Output::Sorted, Arc::new(root), below, plan)?;
        let mode = ReadMode::Sorted {
            ordering: node.expr().clone(),
            ranges: if fetch.is_some() { 1 } else { ranges },
            fetch,
        };
        Ok(read(part.input(stage), mode, plan))
    }

    fn gather(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        node: &CoalescePartitionsExec,
        part: &mut Part,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut below = Part::new();
        let child = self.rewrite(node.input(), &mut below)?;
        let root = Arc::new(CoalescePartitionsExec::new(limited(child, node.fetch())));
        let stage = self.stage(Output::Whole, root, below, plan)?;
        let reader = read(
            part.input(stage),
            ReadMode::Whole { broadcast: false },
            plan,
        );
        Ok(match node.fetch() {
            None => reader,
            fetch => Arc::new(GlobalLimitExec::new(reader, 0, fetch)),
        })
    }

    /// A join one side of which every task needs whole.
    fn collecting(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        join: &Collecting,
        part: &mut Part,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let streamed = match join.streamed.output_partitioning().partition_count() {
            1 => Arc::clone(&join.streamed),
            _ if join.waits => Arc::new(CoalescePartitionsExec::new(Arc::clone(&join.streamed))),
            _ => {
                let broadcast = self.broadcast(&join.collected, part)?;
                let streamed = self.rewrite(&join.streamed, part)?;
                return with_children(plan, join.in_order(broadcast, streamed));
            }
        };
        let collected = self.rewrite(&join.collected, part)?;
        let streamed = self.rewrite(&streamed, part)?;
        with_children(plan, join.in_order(collected, streamed))
    }

    fn broadcast(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        part: &mut Part,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = match plan.downcast_ref::<CoalescePartitionsExec>() {
            Some(gather) if gather.fetch().is_none() => gather.input(),
            _ => plan,
        };
        let stage = self.producer(Output::Broadcast, rows, &mut Part::new())?;
        Ok(read(
            part.input(stage),
            ReadMode::Whole { broadcast: true },
            plan,
        ))
    }

    /// Makes a stage of a part and returns its number.
    fn stage(
        &mut self,
        output: Output,
        root: Arc<dyn ExecutionPlan>,
        mut part: Part,
        original: &Arc<dyn ExecutionPlan>,
    ) -> Result<u32> {
        let below = match output {
            Output::Result => &root,
            _ => root.children().first().copied().unwrap_or(&root),
        };
        let tasks = number(below.output_partitioning().partition_count());
        let (name, display) = (describe::name(below), describe::lines(&root));
        let stage = TableStage {
            name,
            tasks,
            output: describe::output(output, &root),
            output_bytes: describe::bytes(original),
            display,
            fragment: fragment::encode(output, &self.with_subqueries(root, &mut part)?, tasks)?,
            inputs: part.inputs,
        };
        self.stages.push(stage);
        Ok(number(self.stages.len() - 1))
    }

    /// Puts the subqueries over a fragment that has their values in its expressions.
    fn with_subqueries(
        &self,
        root: Arc<dyn ExecutionPlan>,
        part: &mut Part,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(level) = self.subqueries.last() else {
            return Ok(root);
        };
        let Some(node) = level.node.downcast_ref::<ScalarSubqueryExec>() else {
            return Ok(root);
        };
        if !describe::has_subquery(&root)? {
            return Ok(root);
        }
        let links = node
            .subqueries()
            .iter()
            .zip(&level.stages)
            .map(|(link, stage)| ScalarSubqueryLink {
                plan: read(
                    part.input(*stage),
                    ReadMode::Whole { broadcast: true },
                    &link.plan,
                ),
                index: link.index,
            })
            .collect();
        Ok(Arc::new(ScalarSubqueryExec::new(
            root,
            links,
            node.results().clone(),
        )))
    }
}

/// A join that collects one side in memory and streams the other.
struct Collecting {
    collected: Arc<dyn ExecutionPlan>,
    streamed: Arc<dyn ExecutionPlan>,
    /// Whether the streamed side is the left one.
    swapped: bool,
    /// Whether collected rows wait for all of the streamed ones.
    waits: bool,
}

impl Collecting {
    fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let (swapped, waits) = if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            let collects = *join.partition_mode() == PartitionMode::CollectLeft;
            (false, collects.then(|| left_rows_wait(*join.join_type()))?)
        } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
            (false, left_rows_wait(*join.join_type()))
        } else if let Some(join) = plan.downcast_ref::<SpatialJoinExec>() {
            (join.broadcast_child()? == 1, false)
        } else if plan.is::<CrossJoinExec>() {
            (false, false)
        } else {
            return None;
        };
        let [left, right] = <[_; 2]>::try_from(plan.children()).ok()?;
        let (collected, streamed) = if swapped {
            (right, left)
        } else {
            (left, right)
        };
        Some(Self {
            collected: Arc::clone(collected),
            streamed: Arc::clone(streamed),
            swapped,
            waits,
        })
    }

    fn in_order(
        &self,
        collected: Arc<dyn ExecutionPlan>,
        streamed: Arc<dyn ExecutionPlan>,
    ) -> Vec<Arc<dyn ExecutionPlan>> {
        if self.swapped {
            vec![streamed, collected]
        } else {
            vec![collected, streamed]
        }
    }
}

fn read(
    exchange: u32,
    mode: ReadMode,
    replaced: &Arc<dyn ExecutionPlan>,
) -> Arc<dyn ExecutionPlan> {
    let properties = replaced.equivalence_properties().clone();
    Arc::new(ExchangeReadExec::new(exchange, mode, properties))
}

/// Each task gives at most as many rows as the reader wants.
fn limited(plan: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> Arc<dyn ExecutionPlan> {
    match fetch {
        Some(fetch) if !plan.is::<SortExec>() => Arc::new(LocalLimitExec::new(plan, fetch)),
        _ => plan,
    }
}

fn with_children(
    plan: &Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let same = plan
        .children()
        .into_iter()
        .zip(&children)
        .all(|(old, new)| Arc::ptr_eq(old, new));
    if same {
        return Ok(Arc::clone(plan));
    }
    let recompute = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(plan).replace_children(children, recompute)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
