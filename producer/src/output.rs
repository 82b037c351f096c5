//! Tables for people, documents for machines.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use swath::client::JobProgress;
use swath::ids::QueueName;
use swath::job::Outcome;
use swath::wire::WorkerState;

/// Writes a line to standard output, as `println!` does; see [`print`].
macro_rules! say {
    ($($words:tt)*) => {
        $crate::output::print(format_args!("{}\n", format_args!($($words)*)))
    };
}
pub(crate) use say;

/// Writes a line to standard error, as `eprintln!` does; where nobody reads it, nothing is lost.
macro_rules! note {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}
pub(crate) use note;

/// Writes to standard output; ends the program when that cannot be, quietly when the reader has gone as `head` does.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    if let Err(error) = write(text) {
        std::process::exit(unwritten(&error));
    }
}

/// Writes to standard output, at once.
pub(crate) fn write(text: fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_fmt(text)?;
    out.flush()
}

/// Says why standard output could not be written, unless it is that its reader has gone; returns the exit code.
pub(crate) fn unwritten(error: &io::Error) -> i32 {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return 0;
    }
    note!("swath: standard output cannot be written: {error}");
    1
}

/// Writes a document for machines.
pub(crate) fn json<T: Serialize>(value: &T) {
    match serde_json::to_string(value) {
        Ok(text) => say!("{text}"),
        Err(error) => note!("swath: the result cannot be written as JSON: {error}"),
    }
}

/// Writes rows under a header, columns aligned.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain(header.get(column).map(|name| name.len()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        say!("{}", padded.join("  ").trim_end());
    };
    line(header.to_vec());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
}

/// Writes a number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{value:.1} {name}")
    }
}

/// Writes a span of time for people.
pub(crate) fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

/// A job, as machines read it.
#[derive(Debug, Serialize)]
pub(crate) struct JobDocument {
    job: String,
    title: String,
    queue: String,
    state: &'static str,
    tasks: u64,
    done: u64,
    submitted_at_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_at_us: Option<i64>,
    finished_at_us: Option<i64>,
    /// Why the last try to plan the job failed, while it waits for the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_failure: Option<String>,
    /// How often the job was retried.
    retries: u32,
    stages: Vec<StageDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDocument>,
}

#[derive(Debug, Serialize)]
struct StageDocument {
    name: String,
    tasks: u32,
    done: u32,
    published: u32,
    retried: u64,
    failed: u64,
    dead: u32,
}

#[derive(Debug, Serialize)]
struct ErrorDocument {
    code: String,
    message: String,
    task: Option<String>,
}

impl From<&JobProgress> for JobDocument {
    fn from(job: &JobProgress) -> Self {
        let (done, tasks) = job.tasks();
        let stage = |stage: &swath::job::StageProgress| StageDocument {
            name: stage.name.clone(),
            tasks: stage.tasks,
            done: stage.done,
            published: stage.published,
            retried: stage.retried,
            failed: stage.failed,
            dead: stage.dead,
        };
        let error = match &job.outcome {
            Some(Outcome::Failed { task, failure }) => Some(ErrorDocument {
                code: failure.code.clone(),
                message: failure.message.clone(),
                task: task.map(|task| task.to_string()),
            }),
            _ => None,
        };
        Self {
            job: job.job.to_string(),
            title: job.title.clone(),
            queue: job.queue.to_string(),
            state: job.progress.state.name(),
            tasks,
            done,
            start_at_us: job.progress.start_at.map(|at| at.0),
            submitted_at_us: job.progress.submitted_at.map(|at| at.0),
            finished_at_us: job.progress.finished_at.map(|at| at.0),
            plan_failure: job.progress.plan_failure.as_ref().map(ToString::to_string),
            retries: job.progress.retries,
            stages: job.progress.stages.iter().map(stage).collect(),
            error,
        }
    }
}

/// Returns the row of a worker.
pub(crate) fn worker_row(worker: &WorkerState) -> Vec<String> {
    let coordinates: Vec<_> = worker.coordinates.iter().map(ToString::to_string).collect();
    let queues: Vec<_> = worker.queues.iter().map(QueueName::as_str).collect();
    vec![
        worker.id.to_string(),
        if worker.draining { "draining" } else { "up" }.to_owned(),
        format!("{}/{}", worker.running.len(), worker.slots),
        format!(
            "{}/{}",
            bytes(worker.memory_used_bytes),
            bytes(worker.memory_bytes)
        ),
        bytes(worker.stored_bytes),
        worker.succeeded.to_string(),
        worker.failed.to_string(),
        worker.flight.clone(),
        queues.join(","),
        coordinates.join(" "),
    ]
}

/// The header of [`worker_row`].
pub(crate) const WORKER_HEADER: [&str; 10] = [
    "WORKER",
    "STATE",
    "RUNNING",
    "MEMORY",
    "STORED",
    "DONE",
    "FAILED",
    "FLIGHT",
    "QUEUES",
    "COORDINATES",
];
