//! A whole plan in one process: every stage's tasks one after the other, partitions in memory.
//!
//! What the crate's own tests run, and programs that want a query's answer without a cluster.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::StreamExt;

use crate::{
    BatchStream, BoxError, Error, Inputs, Outputs, RunStats, SpillRoom, TablePlan, TaskSettings,
    run,
};

/// What tasks may use.
#[derive(Debug, Clone)]
pub struct LocalSettings {
    /// Opens the files of tables.
    pub stores: Arc<dyn ObjectStoreRegistry>,
    /// Memory of each task.
    pub memory_bytes: usize,
    /// Where tasks spill.
    pub spill_dir: PathBuf,
    /// How much they may spill.
    pub spill_room: Arc<dyn SpillRoom>,
    /// Rows of a batch.
    pub batch_rows: usize,
}

/// Runs a plan and returns the batches of each task of its last stage, in order, and what all tasks did.
///
/// # Errors
/// As [`run`].
pub async fn run_plan(
    plan: &TablePlan,
    settings: &LocalSettings,
) -> Result<(Vec<Vec<RecordBatch>>, RunStats), Error> {
    let store = Store::default();
    let mut total = RunStats::default();
    for (stage, number) in plan.stages.iter().zip(0_u32..) {
        let inputs = Arc::new(StageInputs {
            store: store.clone(),
            stages: stage.inputs.clone(),
            tasks: plan.stages.iter().map(|stage| stage.tasks).collect(),
        });
        for task in 0..stage.tasks {
            let settings = TaskSettings {
                inputs: Arc::clone(&inputs) as Arc<dyn Inputs>,
                stores: Arc::clone(&settings.stores),
                memory_bytes: settings.memory_bytes,
                spill_dir: settings.spill_dir.clone(),
                spill_room: Arc::clone(&settings.spill_room),
                cancelled: Arc::new(AtomicBool::new(false)),
                batch_rows: settings.batch_rows,
            };
            let mut outputs = TaskOutputs {
                store: store.clone(),
                stage: number,
                task,
            };
            let stats = run(&stage.fragment, task, settings, &mut outputs).await?;
            total.rows += stats.rows;
            total.bytes += stats.bytes;
            total.shares = total.shares.max(stats.shares);
            total.sorted_joins += stats.sorted_joins;
            total.spilled_bytes += stats.spilled_bytes;
        }
    }
    let last = (0_u32..).zip(&plan.stages).last();
    let (last, tasks) = last.map_or((0, 0), |(number, stage)| (number, stage.tasks));
    Ok((
        (0..tasks).map(|task| store.get((last, task, 0))).collect(),
        total,
    ))
}

/// A partition: its stage, the task that wrote it, its number.
type Place = (u32, u32, u32);

#[derive(Debug, Clone, Default)]
struct Store(Arc<Mutex<HashMap<Place, Vec<RecordBatch>>>>);

impl Store {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Place, Vec<RecordBatch>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn get(&self, place: Place) -> Vec<RecordBatch> {
        self.with(|partitions| partitions.get(&place).cloned().unwrap_or_default())
    }
}

#[derive(Debug)]
struct StageInputs {
    store: Store,
    stages: Vec<u32>,
    tasks: Vec<u32>,
}

impl StageInputs {
    fn stage(&self, exchange: u32) -> Option<u32> {
        self.stages.get(exchange as usize).copied()
    }
}

#[async_trait]
impl Inputs for StageInputs {
    fn producers(&self, exchange: u32) -> u32 {
        let stage = self.stage(exchange);
        stage
            .and_then(|stage| self.tasks.get(stage as usize).copied())
            .unwrap_or(0)
    }

    async fn open(
        &self,
        exchange: u32,
        producer: u32,
        partition: u32,
    ) -> Result<BatchStream, BoxError> {
        let stage = self.stage(exchange).ok_or("no such exchange")?;
        let batches = self.store.get((stage, producer, partition));
        // As from peers: nothing is there at once, and one later than the other.
        #[cfg(test)]
        for _ in 0..=partition % 8 {
            tokio::task::yield_now().await;
        }
        Ok(futures::stream::iter(batches.into_iter().map(Ok)).boxed())
    }
}

struct TaskOutputs {
    store: Store,
    stage: u32,
    task: u32,
}

impl Outputs for TaskOutputs {
    fn begin(&mut self, _: &SchemaRef) -> Result<(), BoxError> {
        Ok(())
    }

    fn write(&mut self, partition: u32, batch: &RecordBatch) -> Result<(), BoxError> {
        let place = (self.stage, self.task, partition);
        self.store
            .with(|partitions| partitions.entry(place).or_default().push(batch.clone()));
        Ok(())
    }

    fn discard(&mut self) -> Result<(), BoxError> {
        let (stage, task) = (self.stage, self.task);
        self.store
            .with(|partitions| partitions.retain(|place, _| (place.0, place.1) != (stage, task)));
        Ok(())
    }
}
