//! A fragment of a query over one partition.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::{Done, Error, Executor};
use crate::broker;
use crate::ids::JobId;
use crate::job::Payload;
use crate::ops::TaskContext;
use crate::plan::stage::FragmentStage;
use crate::tables::FragmentRun;
use crate::wire::InputStage;

/// Fragments kept, so that not every task of a stage reads its own from the broker.
const FRAGMENTS_KEPT: usize = 16;

impl Executor {
    pub(super) async fn run_fragment(
        &self,
        stage: Arc<FragmentStage>,
        memory_bytes: u64,
        inputs: Vec<InputStage>,
        context: TaskContext,
    ) -> Result<Done, Error> {
        let run = FragmentRun {
            fragment: self.fragment(&context.job, &stage.fragment).await?,
            rows: stage.rows.clone(),
            job: context.job,
            task: context.task,
            execution: context.execution,
            inputs,
            memory_bytes,
            spill_dir: self.ports.store.spill_dir(),
            cancelled: context.cancelled,
            store: context.store,
            exchange: Arc::clone(&self.ports.exchange),
            network: Handle::current(),
        };
        let tables = self.ports.tables.clone();
        let stored_bytes = self.cpu.run(move || tables.run(run)).await??;
        Ok(Done {
            stored_bytes,
            result: None,
        })
    }

    async fn fragment(&self, job: &JobId, payload: &Payload) -> Result<Bytes, Error> {
        let name = match payload {
            Payload::Inline(bytes) => return Ok(bytes.clone()),
            Payload::Blob(name) => name,
        };
        let key = (job.clone(), name.clone());
        let kept = {
            let kept = self
                .fragments
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            kept.iter()
                .find(|(known, _)| *known == key)
                .map(|(_, bytes)| bytes.clone())
        };
        if let Some(bytes) = kept {
            return Ok(bytes);
        }
        let found = self.ports.broker.get_blob(job, name).await?;
        let bytes = found.ok_or_else(|| broker::Error::Full {
            reason: format!("blob '{name}' is gone"),
        })?;
        let mut kept = self
            .fragments
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= FRAGMENTS_KEPT {
            kept.pop_front();
        }
        kept.push_back((key, bytes.clone()));
        Ok(bytes)
    }
}
