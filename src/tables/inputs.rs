//! The partitions that a fragment reads: fetched where the network is served, handed to the thread that computes.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use swath_tables::{BatchStream, BoxError, Inputs};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::exchange::{self, Exchange, PartitionAddress, PartitionKey};
use crate::ids::{JobId, TaskId};
use crate::wire::InputStage;

/// Batches of one partition that wait for the fragment.
const BATCHES_AHEAD: usize = 2;

/// The winners of the stages that a fragment reads.
#[derive(Debug)]
pub(crate) struct PeerInputs {
    pub(crate) job: JobId,
    pub(crate) stages: Vec<InputStage>,
    pub(crate) exchange: Arc<dyn Exchange>,
    /// Where connections live: not on the fragment's own runtime, which ends with it.
    pub(crate) network: Handle,
}

/// Says that a fragment reads what its plan does not name.
#[derive(Debug, thiserror::Error)]
#[error(
    "a bug in the worker: the fragment reads task {producer} of exchange {exchange}, which it was not given"
)]
struct NoSuchInput {
    exchange: u32,
    producer: u32,
}

#[async_trait]
impl Inputs for PeerInputs {
    fn producers(&self, exchange: u32) -> u32 {
        let winners = self
            .stages
            .get(exchange as usize)
            .map(|stage| stage.winners.len());
        u32::try_from(winners.unwrap_or(0)).unwrap_or(u32::MAX)
    }

    async fn open(
        &self,
        exchange: u32,
        producer: u32,
        partition: u32,
    ) -> Result<BatchStream, BoxError> {
        let no_such = NoSuchInput { exchange, producer };
        let address = self.address(exchange, producer, partition).ok_or(no_such)?;
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let pump = self
            .network
            .spawn(pump(Arc::clone(&self.exchange), address, sender));
        let pump = AbortOnDropHandle::new(pump);
        Ok(stream::unfold((receiver, pump), next).boxed())
    }
}

impl PeerInputs {
    fn address(&self, exchange: u32, producer: u32, partition: u32) -> Option<PartitionAddress> {
        let stage = self.stages.get(exchange as usize)?;
        let (index, execution, worker) = stage.winners.get(producer as usize)?;
        let task = TaskId {
            stage: stage.stage,
            index: *index,
        };
        Some(PartitionAddress {
            key: PartitionKey {
                job: self.job.clone(),
                task,
                execution: *execution,
                partition,
            },
            worker: stage.workers.get(*worker as usize)?.clone(),
        })
    }
}

/// A batch, or the end of the partition: a channel that closes without it is no end.
type Fetched = Result<Option<RecordBatch>, exchange::Error>;

async fn pump(
    exchange: Arc<dyn Exchange>,
    address: PartitionAddress,
    sender: mpsc::Sender<Fetched>,
) {
    let fetched = async {
        let mut batches = exchange.fetch(&address).await?;
        while let Some(batch) = batches.try_next().await? {
            if sender.send(Ok(Some(batch))).await.is_err() {
                break;
            }
        }
        Ok(None)
    };
    // A fragment that has stopped reading wants neither end nor error.
    let last = fetched.await;
    let _ = sender.send(last).await;
}

type Reading = (mpsc::Receiver<Fetched>, AbortOnDropHandle<()>);

async fn next((mut receiver, pump): Reading) -> Option<(Result<RecordBatch, BoxError>, Reading)> {
    match receiver.recv().await {
        Some(Ok(None)) => None,
        Some(Ok(Some(batch))) => Some((Ok(batch), (receiver, pump))),
        Some(Err(error)) => Some((Err(error.into()), (receiver, pump))),
        None => Some((
            Err("the fetch of a partition was stopped".into()),
            (receiver, pump),
        )),
    }
}
