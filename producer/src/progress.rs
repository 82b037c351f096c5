//! Progress of a job: a bar on a terminal, plain lines elsewhere, one JSON line an event for machines.

use std::io::IsTerminal;
use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use swath::Client;
use swath::client::JobProgress;
use swath::ids::{JobId, QueueName};
use swath::time::Timestamp;
use swath::wire::WorkerState;

use crate::arguments::{ColorWhen, Global};
use crate::failure::CliError;
use crate::output::{self, JobDocument, json, note, say};

/// How often a line is written where there is no terminal.
const LINE_PERIOD: Duration = Duration::from_secs(2);
/// How often the number of running tasks is asked for.
const WORKERS_PERIOD: Duration = Duration::from_millis(500);
/// How long no live worker is taken quietly.
const NO_WORKER_PATIENCE: Duration = Duration::from_secs(10);

/// What becomes of a command when nobody reads its events any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It ends: it only watched.
    End,
    /// It goes on to the job's end, without a word: the job is its own.
    GoOn,
}

/// Follows a job to its end and shows how it goes; returns how it ended.
pub(crate) async fn follow(
    client: &Client,
    job: &JobId,
    global: &Global,
    unread: Unread,
) -> Result<JobProgress, CliError> {
    let mut events = client.watch(job).await?;
    let mut view = View::new(global, unread);
    let mut ticks = tokio::time::interval(WORKERS_PERIOD);
    let mut last = None;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(progress) => {
                    let progress = progress?;
                    view.show(&progress);
                    let ended = progress.is_complete();
                    last = Some(progress);
                    if ended {
                        break;
                    }
                }
                None => break,
            },
            _ = ticks.tick() => {
                // Workers are a courtesy: a broker that is away for a moment is no reason to stop following.
                if let Ok(workers) = client.workers().await {
                    let running = workers.iter().flat_map(|worker| &worker.running);
                    let running = running.filter(|running| running.job == *job).count();
                    let queue = last.as_ref().map(|progress| &progress.queue);
                    view.workers(queue.and_then(|queue| missing_worker(queue, &workers)), running);
                }
                if let Some(progress) = &last {
                    view.show(progress);
                }
            }
        }
    }
    let last = last.ok_or_else(|| {
        CliError::asked("no-such-job", format!("the log of job '{job}' is empty"))
    })?;
    view.finish(&last);
    Ok(last)
}

enum Form {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
    Json { last: String },
    Silent,
}

struct View {
    form: Form,
    unread: Unread,
    started: Instant,
    running: usize,
    alone_since: Option<Instant>,
    warned: bool,
    quiet: bool,
}

impl View {
    fn new(global: &Global, unread: Unread) -> Self {
        let form = if global.json {
            Form::Json {
                last: String::new(),
            }
        } else if global.quiet {
            Form::Silent
        } else if std::io::stderr().is_terminal() {
            Form::Bar(bar(global.color))
        } else {
            Form::Lines { last: None }
        };
        Self {
            form,
            unread,
            started: Instant::now(),
            running: 0,
            alone_since: None,
            warned: false,
            quiet: global.quiet,
        }
    }

    /// Takes note of what runs; says so when nobody is there to do the work.
    fn workers(&mut self, missing: Option<String>, running: usize) {
        self.running = running;
        let Some(missing) = missing else {
            self.alone_since = None;
            return;
        };
        let since = *self.alone_since.get_or_insert_with(Instant::now);
        if !self.warned && !self.quiet && since.elapsed() >= NO_WORKER_PATIENCE {
            self.warned = true;
            let text = format!("swath: the job waits: {missing}");
            match &self.form {
                Form::Bar(bar) => bar.println(text),
                _ => note!("{text}"),
            }
        }
    }

    fn show(&mut self, progress: &JobProgress) {
        let (done, all) = progress.tasks();
        let line = self.line(progress, done, all);
        match &mut self.form {
            Form::Bar(bar) => {
                bar.set_length(all.max(1));
                bar.set_position(done);
                bar.set_message(line);
            }
            Form::Lines { last } => {
                if last.is_none_or(|last| last.elapsed() >= LINE_PERIOD) {
                    *last = Some(Instant::now());
                    note!("{done}/{all} tasks, {line}");
                }
            }
            Form::Json { last } => {
                let document = JobDocument::from(progress);
                let text = serde_json::to_string(&document).unwrap_or_default();
                if *last == text {
                    return;
                }
                match (output::write(format_args!("{text}\n")), self.unread) {
                    (Ok(()), _) => *last = text,
                    (Err(error), Unread::GoOn) => {
                        output::unwritten(&error);
                        self.form = Form::Silent;
                    }
                    (Err(error), Unread::End) => std::process::exit(output::unwritten(&error)),
                }
            }
            Form::Silent => {}
        }
    }

    fn line(&self, progress: &JobProgress, done: u64, all: u64) -> String {
        let retried = progress.progress.retried();
        let stage = progress
            .progress
            .stages
            .iter()
            .find(|stage| stage.done < stage.tasks);
        let stage = match stage {
            Some(stage) => stage.name.as_str(),
            None => progress.progress.state.name(),
        };
        let rate = done as f64 / self.elapsed(progress).as_secs_f64().max(1e-3);
        if progress.progress.plan_failure.is_some() {
            return format!("the job {}", progress.sentence());
        }
        let mut line = format!("{stage}, {} running", self.running);
        if retried > 0 {
            line.push_str(&format!(", {retried} retried"));
        }
        line.push_str(&format!(", {rate:.1} tasks/s"));
        if done > 0 && done < all {
            let left = Duration::from_secs_f64((all - done) as f64 / rate);
            line.push_str(&format!(", {} left", seconds(left)));
        }
        line
    }

    /// How long the job has been going on, or took: a watcher may have come late.
    fn elapsed(&self, progress: &JobProgress) -> Duration {
        let watched = self.started.elapsed();
        let Some(submitted) = progress.progress.submitted_at else {
            return watched;
        };
        match progress.progress.finished_at {
            Some(finished) => finished.since(submitted),
            None => Timestamp::from_system(SystemTime::now())
                .since(submitted)
                .max(watched),
        }
    }

    fn finish(&mut self, progress: &JobProgress) {
        let (done, all) = progress.tasks();
        let took = seconds(self.elapsed(progress));
        match &self.form {
            Form::Bar(bar) => bar.finish_and_clear(),
            Form::Json { .. } | Form::Silent => return,
            Form::Lines { .. } => {}
        }
        note!(
            "{}: job {} {} ({done} of {all} tasks in {took})",
            progress.title,
            progress.job,
            ended(progress)
        );
    }
}

fn ended(progress: &JobProgress) -> &'static str {
    progress.progress.state.name()
}

fn seconds(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

fn bar(color: ColorWhen) -> ProgressBar {
    match color {
        ColorWhen::Auto => {}
        ColorWhen::Always => indicatif_colors(true),
        ColorWhen::Never => indicatif_colors(false),
    }
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
    let template = "{bar:32.cyan/blue} {pos}/{len} tasks {elapsed} {wide_msg}";
    // The template is ours; were it wrong, the default bar is shown.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

fn indicatif_colors(on: bool) {
    console::set_colors_enabled_stderr(on);
}

/// Says what is to be done where no live worker serves a queue.
pub(crate) fn missing_worker(queue: &QueueName, workers: &[WorkerState]) -> Option<String> {
    if workers.iter().any(|worker| worker.serves(queue)) {
        return None;
    }
    Some(if queue.is_default() && workers.is_empty() {
        "no worker is up; start one with `swath-worker --nats URL`".to_owned()
    } else {
        format!(
            "no worker serves the queue '{queue}'; start one with `swath-worker --nats URL --queue {queue}`"
        )
    })
}

/// Writes where a job stands, once.
pub(crate) fn print(progress: &JobProgress, as_json: bool) {
    if as_json {
        return json(&JobDocument::from(progress));
    }
    say!(
        "{}  {}  {}",
        progress.job,
        progress.progress.state.name(),
        progress.title
    );
    let rows: Vec<Vec<String>> = progress
        .progress
        .stages
        .iter()
        .map(|stage| {
            vec![
                stage.name.clone(),
                format!("{}/{}", stage.done, stage.tasks),
                stage.published.to_string(),
                stage.retried.to_string(),
                stage.failed.to_string(),
                stage.dead.to_string(),
            ]
        })
        .collect();
    output::table(
        &["STAGE", "DONE", "QUEUED", "RETRIED", "FAILED RUNS", "DEAD"],
        &rows,
    );
    if progress.is_complete() || progress.progress.plan_failure.is_some() {
        say!("The job {}.", progress.sentence());
    } else if let Some(wait) = wait(progress) {
        say!("The job begins in {}.", output::span(wait));
    }
}

/// Returns how long a job is yet to wait before it may begin.
fn wait(job: &JobProgress) -> Option<Duration> {
    let now = Timestamp::from_system(SystemTime::now());
    let waits = job.progress.planned_at.is_none();
    let wait = job.progress.start_at.filter(|_| waits)?.since(now);
    (!wait.is_zero()).then_some(wait)
}
