//! Records how tasks ended, many in one record while the last one is under way, and then settles them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::lease::Held;
use crate::broker::{Broker, Settle};
use crate::ids::JobId;
use crate::job::failure::chain;
use crate::job::{Event, Payload, TaskSuccess};
use crate::wire::{self, LogEntry};

/// Reports taken together.
const REPORTS_AT_ONCE: usize = 512;
/// Part of the payload limit that a result may have in the log; a larger one is a blob.
const RESULT_SHARE: usize = 4;

/// How a task ended, and what to do with its delivery once that is recorded.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) job: JobId,
    pub(crate) event: Option<Event>,
    pub(crate) held: Held,
    pub(crate) how: Settle,
    /// Frees the worker's place for the next task when it drops.
    pub(crate) place: super::places::Place,
}

/// Records and settles until all senders are gone.
pub(crate) async fn run(broker: Arc<dyn Broker>, mut reports: mpsc::Receiver<Report>) {
    let mut batch = Vec::new();
    let settling = tokio_util::task::TaskTracker::new();
    while reports.recv_many(&mut batch, REPORTS_AT_ONCE).await > 0 {
        let mut by_job: BTreeMap<JobId, Vec<Report>> = BTreeMap::new();
        for report in batch.drain(..) {
            by_job.entry(report.job.clone()).or_default().push(report);
        }
        for (job, reports) in by_job {
            let recorded = record(&job, &broker, reports).await;
            // The next reports need not wait until these are settled.
            settling.spawn(settle(Arc::clone(&broker), recorded));
        }
    }
    settling.close();
    settling.wait().await;
}

/// Records how tasks of one job ended; returns those that may be settled. What could not be recorded keeps its
/// delivery, and runs again when the lease has run out.
async fn record(job: &JobId, broker: &Arc<dyn Broker>, reports: Vec<Report>) -> Vec<Report> {
    let limit = broker.payload_limit() / 2;
    let mut recorded = Vec::with_capacity(reports.len());
    let mut pending: Vec<Report> = Vec::new();
    let mut pending_bytes = 0;
    for mut report in reports {
        let bytes = match &mut report.event {
            None => {
                recorded.push(report);
                continue;
            }
            Some(event) => match shrink(job, &**broker, event).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    warn!(%job, error = chain(&error), "a result could not be stored; its task runs again");
                    continue;
                }
            },
        };
        if pending_bytes + bytes > limit {
            recorded.extend(append(job, broker, std::mem::take(&mut pending)).await);
            pending_bytes = 0;
        }
        pending_bytes += bytes;
        pending.push(report);
    }
    recorded.extend(append(job, broker, pending).await);
    recorded
}

async fn append(job: &JobId, broker: &Arc<dyn Broker>, mut reports: Vec<Report>) -> Vec<Report> {
    let events: Vec<Event> = reports
        .iter_mut()
        .filter_map(|report| report.event.take())
        .collect();
    if events.is_empty() {
        return reports;
    }
    let count = events.len();
    let appended = match wire::encode(&LogEntry { events }) {
        Ok(payload) => broker
            .append(job, None, payload)
            .await
            .map_err(|error| chain(&error)),
        Err(error) => Err(chain(&error)),
    };
    match appended {
        Ok(()) => {
            debug!(%job, count, "recorded how tasks ended");
            reports
        }
        Err(error) => {
            warn!(%job, count, error, "how tasks ended could not be recorded; they run again");
            Vec::new()
        }
    }
}

/// Moves a large result to a blob; returns about how many bytes the event has.
async fn shrink(
    job: &JobId,
    broker: &dyn Broker,
    event: &mut Event,
) -> Result<usize, crate::broker::Error> {
    const EVENT_BYTES: usize = 512;
    match event {
        Event::TaskSucceeded(TaskSuccess {
            task,
            execution,
            result: Some(result),
            ..
        }) => {
            let Payload::Inline(bytes) = &*result else {
                return Ok(EVENT_BYTES);
            };
            let bytes: Bytes = bytes.clone();
            if bytes.len() < broker.payload_limit() / RESULT_SHARE {
                return Ok(EVENT_BYTES + bytes.len());
            }
            let name = format!("result-{}-{}-{:016x}", task.stage, task.index, execution.0);
            broker.put_blob(job, &name, bytes).await?;
            *result = Payload::Blob(name);
            Ok(EVENT_BYTES)
        }
        Event::TaskFailed(failure) => Ok(EVENT_BYTES + failure.failure.message.len()),
        _ => Ok(EVENT_BYTES),
    }
}

/// Settles what is recorded. Only the last word waits for the broker: it covers those before it.
async fn settle(broker: Arc<dyn Broker>, mut reports: Vec<Report>) {
    let last = reports.pop();
    for mut report in reports {
        if report.how == Settle::Done {
            report.how = Settle::Recorded;
        }
        settle_one(&broker, report).await;
    }
    if let Some(last) = last {
        settle_one(&broker, last).await;
    }
}

async fn settle_one(broker: &Arc<dyn Broker>, report: Report) {
    let Report {
        held, how, place, ..
    } = report;
    if let Err(error) = broker.settle(&held.lease, how).await {
        warn!(
            error = chain(&error),
            "a task could not be settled; it runs again"
        );
    }
    drop((held, place));
}
