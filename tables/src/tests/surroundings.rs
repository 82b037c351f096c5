//! What goes wrong around a task comes back as it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::execution::object_store::DefaultObjectStoreRegistry;
use futures::StreamExt;

use super::support::{Trial, sql};
use crate::tests::support::left_out;
use crate::{
    BatchStream, BoxError, Error, Inputs, Outputs, TablePlan, TaskSettings, WholeDisk, run,
};

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("lost")]
struct Lost(u32);

/// Inputs that cannot be opened, or end with an error.
#[derive(Debug)]
struct Broken {
    opens: bool,
}

#[async_trait]
impl Inputs for Broken {
    fn producers(&self, _: u32) -> u32 {
        1
    }

    async fn open(&self, exchange: u32, _: u32, _: u32) -> Result<BatchStream, BoxError> {
        if self.opens {
            let end: Result<RecordBatch, BoxError> = Err(Box::new(Lost(exchange)));
            return Ok(futures::stream::iter([end]).boxed());
        }
        Err(Box::new(Lost(exchange)))
    }
}

struct Full;

impl Outputs for Full {
    fn begin(&mut self, _: &SchemaRef) -> Result<(), BoxError> {
        Ok(())
    }

    fn write(&mut self, partition: u32, _: &RecordBatch) -> Result<(), BoxError> {
        Err(Box::new(Lost(partition)))
    }

    fn discard(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

async fn plan() -> (Trial, TablePlan) {
    let trial = Trial::new(2)
        .csv("countries", "tables/ourairports/countries.csv")
        .await;
    let statement = "select a.id from countries a join countries b on a.code = b.code order by 1";
    let plan = trial.plan(&sql(statement)).await;
    (trial, plan)
}

fn settings(trial: &Trial, inputs: Broken, cancelled: bool) -> TaskSettings {
    TaskSettings {
        inputs: Arc::new(inputs),
        stores: Arc::new(DefaultObjectStoreRegistry::new()),
        memory_bytes: 64 << 20,
        spill_dir: trial.local.spill_dir.clone(),
        spill_room: Arc::new(WholeDisk),
        cancelled: Arc::new(AtomicBool::new(cancelled)),
        batch_rows: 1024,
    }
}

#[tokio::test]
async fn a_lost_input_comes_back_as_it_was() {
    if left_out() {
        return;
    }
    let (trial, plan) = plan().await;
    for stage in plan.stages.iter().filter(|stage| !stage.inputs.is_empty()) {
        for opens in [false, true] {
            let settings = settings(&trial, Broken { opens }, false);
            let error = run(&stage.fragment, 0, settings, &mut Full)
                .await
                .unwrap_err();
            let Error::Input { source } = error else {
                panic!("{error:?}");
            };
            assert_eq!(source.downcast_ref(), Some(&Lost(0)));
        }
    }
}

#[tokio::test]
async fn an_output_that_is_full_comes_back_as_it_was() {
    if left_out() {
        return;
    }
    let (trial, plan) = plan().await;
    let settings = settings(&trial, Broken { opens: false }, false);
    let error = run(&plan.stages[0].fragment, 0, settings, &mut Full)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Output { source } if source.is::<Lost>()));
}

#[tokio::test]
async fn a_cancelled_task_stops() {
    if left_out() {
        return;
    }
    let (trial, plan) = plan().await;
    let settings = settings(&trial, Broken { opens: false }, true);
    assert!(settings.cancelled.load(Ordering::Relaxed));
    let error = run(&plan.stages[0].fragment, 0, settings, &mut Full)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error:?}");
}
