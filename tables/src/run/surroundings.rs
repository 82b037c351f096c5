//! What the operators of a task know of the task.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use datafusion::common::exec_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::spill::Spill;
use crate::{BoxError, Inputs};

/// The inputs of an attempt, and which share of its partition it takes.
#[derive(Debug)]
pub(crate) struct Surroundings {
    inputs: Arc<dyn Inputs>,
    cancelled: Arc<AtomicBool>,
    share: (u64, u64),
    pub(super) spill: Arc<Spill>,
    /// DataFusion wraps and shares errors; the first one of the inputs is kept here as it was.
    failure: Mutex<Option<BoxError>>,
}

impl Surroundings {
    pub(super) fn new(
        inputs: Arc<dyn Inputs>,
        cancelled: Arc<AtomicBool>,
        share: (u64, u64),
        spill: Arc<Spill>,
    ) -> Self {
        Self {
            inputs,
            cancelled,
            share,
            spill,
            failure: Mutex::new(None),
        }
    }

    /// Returns the share of the partition, and of how many.
    pub(crate) fn share(&self) -> (u64, u64) {
        self.share
    }

    /// Returns the share as numbers of ranges.
    pub(crate) fn share_of_range(&self) -> (usize, usize) {
        let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
        (count(self.share.0), count(self.share.1))
    }

    pub(crate) fn producers(&self, exchange: u32) -> u32 {
        self.inputs.producers(exchange)
    }

    pub(super) fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(super) fn take_failure(&self) -> Option<BoxError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Opens a partition.
    pub(crate) async fn open(
        self: Arc<Self>,
        exchange: u32,
        producer: u32,
        partition: u32,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let rows = match self.inputs.open(exchange, producer, partition).await {
            Ok(rows) => rows,
            Err(error) => return Err(self.fail(error)),
        };
        let checked = rows.map_err({
            let task = Arc::clone(&self);
            move |error| task.fail(error)
        });
        let checked = checked.map(move |batch| match batch {
            Ok(_) if self.cancelled() => Err(exec_datafusion_err!("cancelled")),
            other => other,
        });
        Ok(checked.boxed())
    }

    fn fail(&self, error: BoxError) -> DataFusionError {
        let text = exec_datafusion_err!("an input could not be read: {error}");
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
        text
    }
}
