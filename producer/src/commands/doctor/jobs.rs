//! The jobs: whether somebody coordinates each, and what could never be done.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use swath::broker::nats::ClockReading;
use swath::client::JobSummary;
use swath::ids::JobId;
use swath::job::JobState;
use swath::time::Timestamp;
use swath::wire::WorkerState;

use super::{Check, Verdict};

/// How long a job may wait for its coordinator before that is worth a word: longer than a lease, and than heartbeats are apart.
const PATIENCE: Duration = Duration::from_secs(10);
/// Jobs that are named.
const NAMED_MAX: usize = 5;

/// Finds jobs that nobody coordinates.
pub(super) fn coordination(
    jobs: &[JobSummary],
    workers: &[WorkerState],
    server_clock: Option<ClockReading>,
) -> Check {
    let ahead = server_clock.map_or(0, |reading| reading.ahead_us);
    let now = Timestamp::from_system(SystemTime::now());
    let now = Timestamp(now.0.saturating_add(ahead));
    let coordinated: BTreeSet<&JobId> = workers.iter().flat_map(|it| &it.coordinates).collect();
    let open: Vec<&JobSummary> = jobs.iter().filter(|job| is_open(job)).collect();
    let waits = |job: &&&JobSummary| !coordinated.contains(&job.job) && is_due(job, now);
    let alone: Vec<&JobSummary> = open.iter().filter(waits).copied().collect();
    if alone.is_empty() {
        let found = format!(
            "{} of {} go on or wait for their time",
            open.len(),
            jobs.len()
        );
        return Check::new("jobs", Verdict::Ok, found);
    }
    let named = alone.iter().take(NAMED_MAX).map(|job| job.job.as_str());
    let named = named.collect::<Vec<_>>().join(", ");
    let found = format!("{} wait without a coordinator: {named}", alone.len());
    let check = Check::new("jobs", Verdict::Problem, found);
    let served = |job: &&&JobSummary| workers.iter().any(|it| it.serves(&job.progress.queue));
    match alone.iter().find(|job| !served(job)) {
        Some(job) => check.advise(format!(
            "start a worker with --queue {}; no live one serves it",
            job.progress.queue
        )),
        None => check.advise(
            "start a worker without --no-coordinate; a worker that has just begun takes some seconds",
        ),
    }
}

fn is_open(job: &JobSummary) -> bool {
    match job.progress.progress.state {
        JobState::Submitted | JobState::Planned | JobState::Running | JobState::Finishing => true,
        JobState::Unknown | JobState::Succeeded | JobState::Failed | JobState::Cancelled => false,
    }
}

/// Tells whether somebody should have begun with a job by now.
fn is_due(job: &JobSummary, now: Timestamp) -> bool {
    let progress = &job.progress.progress;
    let from = progress.submitted_at.max(progress.start_at);
    from.is_none_or(|from| now.since(from) > PATIENCE)
}

/// Tells of dead letters.
pub(super) fn letters(count: usize) -> Check {
    let verdict = if count == 0 {
        Verdict::Ok
    } else {
        Verdict::Warning
    };
    Check::new("dead letters", verdict, count.to_string())
        .advise("`swath dead list` shows why; then `swath dead replay` or `swath dead purge`")
}
