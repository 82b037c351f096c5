//! Planning: a task of its own beside the log, so that the end of the job is heard meanwhile.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, info};

use super::Driver;
use crate::coordinator::live::LiveWorkers;
use crate::coordinator::{Error, plan, publish};
use crate::ids::Attempt;
use crate::io::commit;
use crate::job::{Event, Failure, FailureClass};
use crate::partition::hash_key;
use crate::plan::Plan;
use crate::plan::catalog::Capacity;
use crate::spec::{JobSpec, OutputKind, TaskOperation};
use crate::wire;

/// How long the plan of a query waits until it is known how many slots there are.
const SLOTS_WAIT: Duration = Duration::from_secs(1);

/// A try to plan, which ends when it is dropped.
pub(super) type Planning = AbortOnDropHandle<(Attempt, Result<Plan, Failure>)>;

/// Returns what a job is planned for; for tables, at the start of a process, it may take a moment to know.
async fn capacity(spec: &JobSpec, mut live: watch::Receiver<LiveWorkers>) -> Capacity {
    match spec.operation.output_kind() {
        OutputKind::Table => {}
        OutputKind::Raster | OutputKind::Nothing => return Capacity::default(),
    }
    let queue = &spec.options.queue;
    let known = live.wait_for(|live| live.capacity(queue).slots > 0);
    match tokio::time::timeout(SLOTS_WAIT, known).await {
        Ok(Ok(live)) => {
            let known = live.capacity(queue);
            Capacity {
                slots: known.slots,
                task_bytes: known.task_bytes,
            }
        }
        Ok(Err(_)) | Err(_) => Capacity::default(),
    }
}

/// Says why the output could not be committed later, before any work is done for it. A folder into which nothing can be written now
/// may be mended until then.
async fn refused(spec: &JobSpec) -> Option<Failure> {
    let output = spec.output.clone()?;
    let remote = commit::check_remote(&output).await;
    let local = tokio::task::spawn_blocking(move || commit::check_output(&output));
    match remote.and(local.await.ok()?) {
        Ok(()) | Err(commit::Error::NotWritable { .. }) => None,
        Err(error) => Some(Failure::of(error.class(), error.code(), &error)),
    }
}

fn panicked() -> Failure {
    Failure {
        class: FailureClass::Panic,
        code: "panic".to_owned(),
        message: "the planner panicked; that is a bug: report it".to_owned(),
    }
}

impl Driver<'_> {
    /// Begins the try to plan whose moment has come, in a task of its own: the job's end is heard meanwhile, and drops it.
    pub(super) async fn plan_if_due(
        &mut self,
        live: &watch::Receiver<LiveWorkers>,
    ) -> Result<(), Error> {
        if !self.machine.wants_plan() {
            (self.plan_due, self.planning) = (None, None);
        }
        if self.planning.is_some() {
            return Ok(());
        }
        let Some(attempt) = self.plan_due.take() else {
            return Ok(());
        };
        let spec = match self.spec().await {
            Ok(spec) => spec,
            // No coordinator can read it: the job ends here, instead of going round for ever.
            Err(error @ (Error::Wire(wire::Error::Decode { .. }) | Error::BlobMissing { .. })) => {
                let failure = Failure::of(FailureClass::Fatal, "spec-unreadable", &error);
                return self.record_plan_failure(attempt, failure).await;
            }
            Err(error) => return Err(error),
        };
        let (sources, tables, live) = (self.sources.clone(), self.tables.clone(), live.clone());
        let planning = async move {
            if let Some(failure) = refused(&spec).await {
                return (attempt, Err(failure));
            }
            let capacity = capacity(&spec, live).await;
            let making = AssertUnwindSafe(plan::make_plan(&spec, &sources, &tables, capacity));
            let made = making.catch_unwind().await;
            (attempt, made.unwrap_or_else(|_| Err(panicked())))
        };
        let planning = tokio::spawn(planning.in_current_span());
        self.planning = Some(AbortOnDropHandle::new(planning));
        Ok(())
    }

    pub(super) async fn record_plan(
        &mut self,
        tried: Result<(Attempt, Result<Plan, Failure>), JoinError>,
    ) -> Result<(), Error> {
        let (attempt, planned) = tried.map_err(|_| Error::Bug {
            what: "a planning task that was stopped by nobody",
        })?;
        let mut plan = match planned {
            Ok(plan) => plan,
            Err(failure) => return self.record_plan_failure(attempt, failure).await,
        };
        publish::place_fragments(self.job, &**self.broker, &mut plan).await?;
        let limit = self.broker.payload_limit();
        if let Err(error) = publish::check_sizes(&*self.spec().await?, &plan, limit) {
            let failure = Failure::of(FailureClass::Fatal, "task-too-large", &error);
            return self.record_plan_failure(attempt, failure).await;
        }
        let stages = plan.shapes();
        let bytes = wire::encode(&plan)?;
        let name = format!("plan-{:016x}", hash_key(&bytes));
        let plan = publish::place(self.job, &**self.broker, &name, bytes).await?;
        let retry = match &self.spec().await?.operation {
            TaskOperation::Custom { operation, .. } => self.registry.retry(operation),
            _ => None,
        };
        let event = Event::Planned {
            stages,
            plan,
            retry,
        };
        self.append("planned", event).await
    }

    async fn record_plan_failure(&self, attempt: Attempt, failure: Failure) -> Result<(), Error> {
        info!(reason = failure.message, %attempt, "the job could not be planned");
        let life = self.machine.life();
        let event = Event::PlanFailed {
            life,
            attempt,
            failure: failure.shortened(),
        };
        self.append(&format!("plan-failed.{attempt}"), event).await
    }
}
