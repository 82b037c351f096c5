//! One run of a fragment's plan over one share of its partition.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryPool, MemoryReservation,
};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use futures::StreamExt;

use super::metered::MeteredStores;
use super::spill::{Files, Spill};
use super::write::Writer;
use super::{RunError, RunStats, Sink, Surroundings, TaskSettings};
use crate::PlanSettings;
use crate::fragment::{self, Fragment};
use crate::plan::session;

/// The part of a task's memory that operators are told of: two fifths.
///
/// Operators count what they gather, and then need as much again without counting it: a hash join copies the batches of
/// its build side into one, a group-by turns its table into rows to spill or hand on, and a table that grows is there twice.
const POOL_SHARE: (usize, usize) = (2, 5);

/// A fragment that is ready to run.
pub(super) struct Attempt {
    pub(super) fragment: Fragment,
    context: Arc<TaskContext>,
    pub(super) surroundings: Arc<Surroundings>,
    /// Places in the pool that are kept free.
    free: Vec<MemoryReservation>,
}

/// Shares of the pool that sorts of joins leave to those that begin later, and to the merges of what they spilled.
const FREE_SHARES: usize = 2;

impl Attempt {
    /// Reads a fragment; every attempt reads it anew, because operators keep what they did.
    pub(super) fn new(bytes: &[u8], share: (u64, u64), settings: &TaskSettings) -> Result<Self> {
        let spill = Spill::new(settings.spill_dir.clone(), Arc::clone(&settings.spill_room));
        let surroundings = Arc::new(Surroundings::new(
            Arc::clone(&settings.inputs),
            Arc::clone(&settings.cancelled),
            share,
            Arc::clone(&spill),
        ));
        let pool_bytes = settings.memory_bytes / POOL_SHARE.1 * POOL_SHARE.0;
        let pool: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(pool_bytes));
        let mut config =
            session::config(settings.batch_rows).with_extension(Arc::clone(&surroundings));
        // What a sort keeps back to merge what it spilled: several batches, and several sorts may share the pool.
        config.options_mut().execution.sort_spill_reservation_bytes =
            (pool_bytes / 8).min(10 << 20);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::clone(&pool))
            .with_object_store_registry(Arc::new(MeteredStores {
                stores: Arc::clone(&settings.stores),
                pool,
            }))
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_temp_file_factory(Arc::new(Files(spill))),
            )
            .build_arc()?;
        let context = session::session(config, runtime, &PlanSettings::default()).task_ctx();
        let fragment = fragment::decode(bytes, &context)?;
        Ok(Self {
            fragment,
            context,
            surroundings,
            free: Vec::new(),
        })
    }

    /// Keeps a sort that begins first from taking all of the pool: a fair pool gives each an equal share of what is there when it
    /// asks, and knows only those that have begun.
    pub(super) fn leave_room(&mut self) {
        let pool = self.context.memory_pool();
        let later = || {
            let consumer = MemoryConsumer::new("a sort to come").with_can_spill(true);
            consumer.register(pool)
        };
        self.free = std::iter::repeat_with(later).take(FREE_SHARES).collect();
    }

    /// Returns the writer of the fragment's output, and turns the plan into what is run for it.
    pub(super) fn writer(&mut self, memory_bytes: usize) -> Result<Writer> {
        let Fragment {
            output,
            tasks,
            plan,
        } = &mut self.fragment;
        let Some(level) = plan.downcast_ref::<ScalarSubqueryExec>() else {
            let (writer, inner) = Writer::new(*output, plan, *tasks, memory_bytes)?;
            *plan = inner;
            return Ok(writer);
        };
        let (writer, inner) = Writer::new(*output, level.input(), *tasks, memory_bytes)?;
        let (links, results) = (level.subqueries().to_vec(), level.results().clone());
        *plan = Arc::new(ScalarSubqueryExec::new(inner, links, results));
        Ok(writer)
    }

    pub(super) async fn run(
        &self,
        task: u32,
        writer: &mut Writer,
        taken: &mut bool,
        sink: &mut Sink<'_>,
    ) -> Result<(), RunError> {
        let mut rows = self
            .fragment
            .plan
            .execute(task as usize, Arc::clone(&self.context))?;
        while let Some(batch) = rows.next().await {
            if self.surroundings.cancelled() {
                return Err(RunError::Cancelled);
            }
            let batch = batch?;
            if batch.num_rows() > 0 {
                *taken = true;
                writer.push(batch, sink)?;
            }
        }
        writer.end_share(sink)
    }

    /// Adds what the operators spilled.
    pub(super) fn count(&self, stats: &mut RunStats) {
        let _ = self.fragment.plan.apply(|node: &Arc<dyn ExecutionPlan>| {
            let spilled = node.metrics().and_then(|metrics| metrics.spilled_bytes());
            stats.spilled_bytes += spilled.unwrap_or(0) as u64;
            Ok(TreeNodeRecursion::Continue)
        });
    }
}

/// Says whether an attempt ended for want of memory.
pub(super) fn exhausted(error: &RunError) -> bool {
    matches!(error, RunError::Plan(error)
        if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)))
}
