//! Following a job.

use futures::stream::{self, BoxStream, StreamExt};

use super::{Client, Error};
use crate::broker::{self, LogStream};
use crate::ids::{JobId, QueueName};
use crate::job::{JobMachine, Outcome, Progress};
use crate::wire::LogEntry;

/// Where a job stands.
#[derive(Debug, Clone)]
pub struct JobProgress {
    /// The job.
    pub job: JobId,
    /// A few words: the operation and its output.
    pub title: String,
    /// Whose workers run it.
    pub queue: QueueName,
    /// Counts and times.
    pub progress: Progress,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
}

impl JobProgress {
    pub(crate) fn of(job: &JobId, machine: &JobMachine) -> Self {
        let (title, queue) = machine
            .submission()
            .map(|it| (it.title.clone(), it.options.queue.clone()))
            .unwrap_or_default();
        let outcome = machine
            .is_finished()
            .then(|| machine.outcome().cloned())
            .flatten();
        Self {
            job: job.clone(),
            title,
            queue,
            progress: machine.progress(),
            outcome,
        }
    }

    /// Tells whether the job has ended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.outcome.is_some()
    }

    /// Tells whether the job has ended well.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Succeeded))
    }

    /// Returns the number of tasks done and the number of tasks, of all stages known.
    #[must_use]
    pub fn tasks(&self) -> (u64, u64) {
        (self.progress.done(), self.progress.tasks())
    }

    /// Says in a few words what the job is doing, to follow "it".
    #[must_use]
    pub fn sentence(&self) -> String {
        match &self.outcome {
            None => {
                let (done, all) = self.tasks();
                let state = self.progress.state.name();
                match &self.progress.plan_failure {
                    Some(failure) => format!("waits to be planned again: {failure}"),
                    None => format!("is {state} ({done} of {all} tasks done)"),
                }
            }
            Some(Outcome::Succeeded) => "succeeded".to_owned(),
            Some(Outcome::Cancelled) => "was cancelled".to_owned(),
            Some(Outcome::Failed { failure, .. }) => format!("failed: {failure}"),
        }
    }
}

impl Client {
    /// Follows a job: an item whenever something is recorded, several records in one item when they come
    /// fast; the last item is the end of the job.
    ///
    /// # Errors
    /// When there is no such job, or the broker fails.
    pub async fn watch(
        &self,
        job: &JobId,
    ) -> Result<BoxStream<'static, Result<JobProgress, Error>>, Error> {
        // A tail of a job that is not there would wait for ever. What is there already is told at once: a job that
        // was retried has ended before.
        let past = self.broker.read_log(job).await?;
        let seen = past.last().map(|record| record.sequence);
        let Some(seen) = seen.filter(|_| !broker::is_forgotten(&broker::replay(&past), &past))
        else {
            return Err(Error::NoSuchJob { job: job.clone() });
        };
        let log = self.broker.tail(job).await?;
        let state = Some((log, JobMachine::new(), job.clone()));
        let follow = move |state: Option<(LogStream, JobMachine, JobId)>| async move {
            let (mut log, mut machine, job) = state?;
            let mut next = log.next().await;
            loop {
                let sequence = match next {
                    None => return None,
                    Some(Err(error)) => return Some((Err(error.into()), None)),
                    Some(Ok(record)) => {
                        let _ = LogEntry::fold(&record.payload, record.at, &mut machine);
                        record.sequence
                    }
                };
                if sequence < seen {
                    next = log.next().await;
                    continue;
                }
                if machine.is_finished() {
                    return Some((Ok(JobProgress::of(&job, &machine)), None));
                }
                match futures::FutureExt::now_or_never(log.next()) {
                    Some(ready) => next = ready,
                    None => break,
                }
            }
            let progress = JobProgress::of(&job, &machine);
            Some((Ok(progress), Some((log, machine, job))))
        };
        Ok(stream::unfold(state, follow).boxed())
    }

    /// Waits until a job has ended.
    ///
    /// # Errors
    /// When there is no such job, or the broker fails.
    pub async fn wait(&self, job: &JobId) -> Result<JobProgress, Error> {
        let mut progress = self.watch(job).await?;
        let mut last = None;
        while let Some(item) = progress.next().await {
            last = Some(item?);
        }
        last.ok_or_else(|| Error::NoSuchJob { job: job.clone() })
    }
}
