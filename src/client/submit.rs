//! Submitting a job.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Client, Error};
use crate::broker::{self, Lane, Message, Queue};
use crate::ids::JobId;
use crate::job::{Event, Payload, Submission};
use crate::spec::{JobOptions, JobSpec, TableInput, TaskOperation};
use crate::time::Timestamp;
use crate::wire::{self, JobMessage, LogEntry};

/// How to submit.
#[derive(Debug, Clone, Default)]
pub struct SubmitOptions {
    /// The job's id; a second submit of the same job under the same id is the same job. Default a new one.
    pub id: Option<JobId>,
    /// The moment before which the job is not to begin; a job that was submitted before keeps its own. Default now.
    pub start_at: Option<Timestamp>,
}

impl Client {
    /// Enqueues a job, durably; returns its id.
    ///
    /// The log's first record is written before the queue's message: a submit that dies between the two is
    /// sent again under the same id.
    ///
    /// # Errors
    /// When the broker fails, or another job has the id.
    pub async fn submit(&self, spec: &JobSpec, options: SubmitOptions) -> Result<JobId, Error> {
        let named = options.id.is_some();
        let job = options.id.unwrap_or_else(new_id);
        let bytes = wire::encode(spec)?;
        let start_at = options.start_at;
        if let Some(seed) = self.submit_log(&job, spec, bytes, start_at).await? {
            let message = job_message(&job, seed, &spec.options)?;
            let published = self.broker.publish(Queue::Jobs, vec![message]).await;
            if matches!(published, Err(broker::Error::Full { .. })) && !named {
                // It is certain that nobody looks after the job, and nobody knows the id, to send it again.
                let _ = self.broker.forget(&job).await;
            }
            published?;
        }
        Ok(job)
    }

    /// Appends `Submitted`; returns the seed of the job when it still wants a coordinator.
    async fn submit_log(
        &self,
        job: &JobId,
        spec: &JobSpec,
        bytes: bytes::Bytes,
        start_at: Option<Timestamp>,
    ) -> Result<Option<u64>, Error> {
        // An id that was given may have been submitted before.
        match self.replay(job).await {
            Ok(machine) => {
                let known = match machine.submission().map(|submission| &submission.spec) {
                    Some(Payload::Inline(known)) => Some(known.clone()),
                    Some(Payload::Blob(name)) => self.broker.get_blob(job, name).await?,
                    None => None,
                };
                if known.as_ref() != Some(&bytes) {
                    return Err(Error::IdTaken { job: job.clone() });
                }
                return Ok((!machine.is_finished()).then(|| machine.seed()));
            }
            Err(Error::NoSuchJob { .. }) => {}
            Err(error) => return Err(error),
        }
        let spec_payload = if bytes.len() < self.broker.payload_limit() / 2 {
            Payload::Inline(bytes)
        } else {
            self.broker.put_blob(job, "spec", bytes).await?;
            Payload::Blob("spec".to_owned())
        };
        let seed = rand::random();
        let submission = Submission {
            spec: spec_payload,
            title: title(spec),
            options: spec.options.clone(),
            seed,
            start_at,
        };
        let entry = LogEntry {
            events: vec![Event::Submitted(submission)],
        };
        // Two submits at once append two records, of which the first counts. An id without the seed would
        // swallow the submit of a job that was forgotten a minute ago.
        let id = Some(format!("{job}.{seed:x}.submitted"));
        self.broker.append(job, id, wire::encode(&entry)?).await?;
        Ok(Some(seed))
    }
}

/// Makes the message that calls for a coordinator of one life of a job.
pub(super) fn job_message(
    job: &JobId,
    seed: u64,
    options: &JobOptions,
) -> Result<Message, wire::Error> {
    Ok(Message {
        id: format!("job.{job}.{seed:x}"),
        payload: wire::encode(&JobMessage { job: job.clone() })?,
        queue: options.queue.clone(),
        priority: options.priority,
        lane: Lane::First,
    })
}

/// Makes an id that sorts by time.
fn new_id() -> JobId {
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let stamp = uuid::Timestamp::from_unix_time(time.as_secs(), time.subsec_nanos(), 0, 0);
    let id = uuid::Uuid::new_v7(stamp).simple().to_string();
    JobId::new(id).unwrap_or_else(|_| unreachable!("32 hexadecimal digits are an id"))
}

fn title(spec: &JobSpec) -> String {
    let what = match &spec.operation {
        TaskOperation::Index { names, .. } => format!("index {}", names.join(",")),
        TaskOperation::Calc { expressions, .. } => {
            format!(
                "calc {}",
                expressions.join("; ").chars().take(40).collect::<String>()
            )
        }
        TaskOperation::Convert { input } => format!("convert {}", file_name(input)),
        TaskOperation::Terrain(terrain) => {
            format!("{} {}", terrain.product.name(), file_name(&terrain.input))
        }
        TaskOperation::Focal(focal) => {
            let name = focal.statistic.name();
            format!("focal {name} {}", file_name(&focal.input))
        }
        TaskOperation::Convolve(convolve) => format!("convolve {}", file_name(&convolve.input)),
        TaskOperation::Reproject(reproject) => format!("reproject {}", file_name(&reproject.input)),
        TaskOperation::Composite(composite) => format!(
            "{} of {} scenes",
            composite.combine.name(),
            composite.scenes.len()
        ),
        TaskOperation::GroupBy { input, by, .. } => {
            format!("group-by {} of {}", by.join(","), table_name(input))
        }
        TaskOperation::Sort { input, by, .. } => {
            format!("sort {} by {}", table_name(input), by.join(","))
        }
        TaskOperation::Join { left, right, .. } => {
            format!("join {} and {}", table_name(left), table_name(right))
        }
        TaskOperation::SpatialJoin { left, right, .. } => {
            format!(
                "spatial-join {} and {}",
                table_name(left),
                table_name(right)
            )
        }
        TaskOperation::ZonalStats(zonal) => format!(
            "zonal-stats of {} by {}",
            file_name(&zonal.raster),
            file_name(&zonal.zones)
        ),
        TaskOperation::Sql { statement, .. } => {
            let words: Vec<_> = statement.split_whitespace().collect();
            format!(
                "sql {}",
                words.join(" ").chars().take(40).collect::<String>()
            )
        }
        TaskOperation::Custom { operation, tasks } => format!("{} x {operation}", tasks.len()),
    };
    match &spec.output {
        Some(output) => format!("{what} -> {}", file_name(output.path())),
        None => what,
    }
}

fn table_name(table: &TableInput) -> &str {
    table.paths.first().map_or("", |path| file_name(path))
}

fn file_name(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(path)
}
