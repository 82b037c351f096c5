//! Retrying a job that did not end well.

use super::submit::job_message;
use super::{Client, Error, JobProgress};
use crate::broker::Queue;
use crate::ids::JobId;
use crate::job::{Event, Outcome};
use crate::wire::{self, LogEntry};

impl Client {
    /// Runs again what did not succeed of a job that failed or was cancelled; returns where the job stands then.
    ///
    /// The job keeps its id, its plan and its log. Tasks that succeeded before its end was decided stand; partitions
    /// that are gone (of a cancelled job all of them) are made again where somebody still reads them. Attempts and the
    /// deadline count anew. A retry that dies half way, or whose answer was lost, may be asked for again: it is the same
    /// retry. The job's dead letters are removed: their tasks run again.
    ///
    /// # Errors
    /// [`Error::NothingToRetry`] when the job has not ended or has succeeded, [`Error::NoSuchJob`]; when the broker
    /// fails.
    pub async fn retry(&self, job: &JobId) -> Result<JobProgress, Error> {
        let mut machine = self.replay(job).await?;
        match machine.outcome() {
            Some(Outcome::Failed { .. } | Outcome::Cancelled) => {
                let life = machine.life().saturating_add(1);
                let entry = LogEntry {
                    events: vec![Event::Retried { life }],
                };
                // Two retries at once append one record, or two of which the first counts.
                let id = format!("{:x}.retried", machine.seed());
                let payload = wire::encode(&entry)?;
                self.broker.append(job, Some(id), payload).await?;
                self.remove_letters(job).await?;
                machine = self.replay(job).await?;
            }
            // It may be that whoever retried it died before the message below.
            None if machine.life() > 0 => {}
            Some(Outcome::Succeeded) | None => {
                return Err(Error::NothingToRetry {
                    job: job.clone(),
                    state: JobProgress::of(job, &machine).sentence(),
                });
            }
        }
        if let Some(submission) = machine.submission() {
            let message = job_message(job, machine.seed(), &submission.options)?;
            self.broker.publish(Queue::Jobs, vec![message]).await?;
        }
        Ok(JobProgress::of(job, &machine))
    }
}
