//! Commands that look at a cluster: jobs, status, workers, dead letters.

use std::time::Duration;

use swath::Client;
use swath::client::{self, Audit, JobProgress};
use swath::ids::JobId;

use crate::arguments::Global;
use crate::failure::CliError;
use crate::output::{self, JobDocument, note, say};
use crate::progress::{self, Unread};

pub(crate) async fn jobs(global: &Global) -> Result<(), CliError> {
    let jobs = global.connect().await?.jobs().await?;
    if global.json {
        let documents: Vec<_> = jobs
            .iter()
            .map(|summary| JobDocument::from(&summary.progress))
            .collect();
        output::json(&documents);
        return Ok(());
    }
    let row = |summary: &client::JobSummary| {
        let (done, all) = summary.progress.tasks();
        vec![
            summary.job.to_string(),
            summary.progress.progress.state.name().to_owned(),
            format!("{done}/{all}"),
            summary.progress.queue.to_string(),
            summary.progress.title.clone(),
        ]
    };
    let rows: Vec<_> = jobs.iter().map(row).collect();
    output::table(&["JOB", "STATE", "TASKS", "QUEUE", "WHAT"], &rows);
    Ok(())
}

pub(crate) async fn status(job: &JobId, watch: bool, global: &Global) -> Result<(), CliError> {
    let client = global.connect().await?;
    if watch {
        let ended = progress::follow(&client, job, global, Unread::End).await?;
        return CliError::of_outcome(ended.outcome.as_ref());
    }
    let progress = client.status(job).await?;
    progress::print(&progress, global.json);
    if !global.json && !progress.is_complete() {
        let workers = client.workers().await?;
        if let Some(wanted) = progress::missing_worker(&progress.queue, &workers) {
            say!("The job waits: {wanted}.");
        }
    }
    Ok(())
}

pub(crate) async fn audit(job: &JobId, global: &Global) -> Result<(), CliError> {
    let found = global.connect().await?.audit(job).await?;
    let (events, left_out) = (found.events, found.left_out);
    verdict(&found)?;
    if global.json {
        output::json(&serde_json::json!({ "job": job, "events": events, "left_out": left_out }));
    } else if left_out > 0 {
        say!("{events} events keep the invariants; {left_out} records are not for this version");
    } else {
        say!("{events} events keep the invariants");
    }
    Ok(())
}

fn verdict(found: &Audit) -> Result<(), CliError> {
    match &found.violation {
        Some(violation) => Err(CliError::failed("invariant", violation)),
        None => Ok(()),
    }
}

pub(crate) async fn cancel(job: &JobId, global: &Global) -> Result<(), CliError> {
    let client = global.connect().await?;
    let mut waited = cancel_once(&client, job).await?;
    if waited.is_none() {
        // Who coordinated it may have been killed just before, and counted as alive.
        waited = cancel_once(&client, job).await?;
    }
    if global.json {
        let progress = match waited {
            Some(ended) => ended,
            None => client.status(job).await?,
        };
        output::json(&JobDocument::from(&progress));
    } else if !global.quiet {
        match waited {
            Some(ended) => note!("job {job} {}", ended.sentence()),
            None => note!("job {job} will be cancelled as soon as a worker coordinates it"),
        }
    }
    Ok(())
}

/// Asks to cancel a job; returns how it ended, if it did within 10 s.
async fn cancel_once(client: &Client, job: &JobId) -> Result<Option<JobProgress>, CliError> {
    client.cancel(job).await?;
    let waited = tokio::time::timeout(Duration::from_secs(10), client.wait(job)).await;
    Ok(waited.ok().and_then(Result::ok))
}

pub(crate) async fn retry(job: &JobId, watch: bool, global: &Global) -> Result<(), CliError> {
    let client = global.connect().await?;
    let progress = retry_now(&client, job, global).await?;
    if global.json {
        output::json(&JobDocument::from(&progress));
    }
    if !watch {
        return Ok(());
    }
    let ended = progress::follow(&client, job, global, Unread::End).await?;
    CliError::of_outcome(ended.outcome.as_ref())
}

/// Removes a job that has ended.
pub(crate) async fn forget(job: &JobId, global: &Global) -> Result<(), CliError> {
    global.connect().await?.forget(job).await?;
    if global.json {
        output::json(&serde_json::json!({ "job": job }));
    }
    Ok(())
}

/// Retries a job and says where it stands.
pub(super) async fn retry_now(
    client: &Client,
    job: &JobId,
    global: &Global,
) -> Result<JobProgress, CliError> {
    let progress = client.retry(job).await?;
    if !global.quiet && !global.json {
        let (done, all) = progress.tasks();
        note!("job {job} goes on: {done} of {all} tasks are done");
    }
    Ok(progress)
}

pub(crate) async fn workers(global: &Global) -> Result<(), CliError> {
    let workers = global.connect().await?.workers().await?;
    if global.json {
        output::json(&workers);
    } else {
        let rows: Vec<_> = workers.iter().map(output::worker_row).collect();
        output::table(&output::WORKER_HEADER, &rows);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use swath::job::invariants::Violation;

    use super::*;

    #[test]
    fn a_log_that_breaks_an_invariant_is_a_failure_that_names_it() {
        let mut found = Audit {
            events: 2,
            left_out: 0,
            violation: None,
        };
        assert!(verdict(&found).is_ok());
        found.violation = Some(Violation {
            invariant: "twice is once",
            detail: "it was not".to_owned(),
        });
        let error = verdict(&found).unwrap_err();
        assert_eq!(error.exit, 1);
        assert!(format!("{error:?}").contains("'twice is once' does not hold: it was not"));
    }
}
