//! Lanes: each submits a job, sees it through to its end, compares its output, and takes the next.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::cluster::{BROKER, Swath};
use super::journal::Journal;
use super::load::{LoadKind, Made, difference};
use super::plan::FaultKind;
use super::random::Random;

/// How long a job may take, or may go on after it was retried: a job of a few seconds, and the longest faults.
const JOB_MAX: Duration = Duration::from_secs(300);
/// How often a job is asked for its status.
const PERIOD: Duration = Duration::from_millis(400);
/// How long a broker that is away may stay away.
const BROKER_MAX: Duration = Duration::from_secs(60);

/// What the lanes and the faults know of each other.
#[derive(Debug)]
pub(super) struct Lanes {
    swath: Swath,
    kinds: Vec<LoadKind>,
    seed: u64,
    /// Where jobs write.
    outputs: PathBuf,
    /// Where the outputs of the undisturbed jobs are.
    references: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: Random,
    round: Vec<usize>,
    number: usize,
    open: bool,
    under_way: BTreeMap<String, UnderWay>,
    ended: BTreeMap<&'static str, Ended>,
    /// How long the next submit may run before it is killed.
    submit_kill: Option<Duration>,
    submits_killed: u64,
    /// Faults that may fail a job.
    excuses: Vec<Excuse>,
    /// Jobs that ended well and have a log.
    to_forget: Vec<String>,
    violations: Vec<String>,
}

/// A fault that tasks are charged for, and that may fail a job.
#[derive(Debug, Clone, Copy)]
struct Excuse {
    kind: FaultKind,
    began: Instant,
    ended: Option<Instant>,
}

impl Excuse {
    /// Whether a job of a kind may have met it.
    fn is_for(&self, kind: &LoadKind, submitted: Instant) -> bool {
        let lasted = self.ended.is_none_or(|ended| ended >= submitted);
        lasted && (kind.by_http || self.kind == FaultKind::DiskFull)
    }

    /// Whether it is what a job says that it failed of.
    fn explains(&self, message: &str) -> bool {
        match self.kind {
            FaultKind::DiskFull => {
                message.contains("store")
                    && (message.contains("no space is left") || message.contains("has no room"))
            }
            _ => message.contains("http://"),
        }
    }
}

#[derive(Debug, Default)]
struct UnderWay {
    runs: bool,
    cancel_asked: bool,
    cancel_seen: bool,
}

/// The jobs of a kind that ended well.
#[derive(Debug, Default, Clone)]
pub(super) struct Ended {
    pub(super) jobs: u64,
    pub(super) longest: Duration,
    /// Runs of tasks that were repeated.
    pub(super) repeated: u64,
    /// Retries after a job was cancelled.
    pub(super) retries: u64,
    /// Retries after a job had failed of a fault that may fail it.
    pub(super) failures: u64,
    /// Attempts charged while there was such a fault.
    pub(super) charged: u64,
}

impl Lanes {
    pub(super) fn new(
        swath: &Swath,
        kinds: Vec<LoadKind>,
        seed: u64,
        folder: &Path,
    ) -> Result<Self> {
        let (outputs, references) = (folder.join("outputs"), folder.join("references"));
        std::fs::create_dir_all(&outputs)?;
        std::fs::create_dir_all(&references)?;
        let state = State {
            // Another sequence than that of the faults.
            random: Random::new(!seed),
            round: Vec::new(),
            number: 0,
            open: true,
            under_way: BTreeMap::new(),
            ended: BTreeMap::new(),
            submit_kill: None,
            submits_killed: 0,
            excuses: Vec::new(),
            to_forget: Vec::new(),
            violations: Vec::new(),
        };
        Ok(Self {
            swath: swath.clone(),
            kinds,
            seed,
            outputs,
            references,
            state: Mutex::new(state),
        })
    }

    fn state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(
            &mut self
                .state
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }

    /// No more jobs: lanes end with those that they have.
    pub(super) fn close(&self) {
        self.state(|state| state.open = false);
    }

    /// Lists the jobs that are submitted and have not ended.
    pub(super) fn under_way(&self) -> Vec<String> {
        self.state(|state| state.under_way.keys().cloned().collect())
    }

    /// Lists the jobs that were seen running and whose cancelling nobody asked for yet.
    pub(super) fn running(&self) -> Vec<String> {
        let runs = |(job, under_way): (&String, &UnderWay)| {
            (under_way.runs && !under_way.cancel_asked).then(|| job.clone())
        };
        self.state(|state| state.under_way.iter().filter_map(runs).collect())
    }

    /// The lane of a job that is about to be cancelled must know that it may be.
    pub(super) fn expect_cancel(&self, job: &str) {
        self.state(|state| {
            if let Some(under_way) = state.under_way.get_mut(job) {
                under_way.cancel_asked = true;
            }
        });
    }

    /// Whether the lane saw the job cancelled; `None` when the job has ended.
    pub(super) fn cancel_seen(&self, job: &str) -> Option<bool> {
        self.state(|state| {
            state
                .under_way
                .get(job)
                .map(|under_way| under_way.cancel_seen)
        })
    }

    /// Has the next submit killed after that time.
    pub(super) fn kill_a_submit(&self, after: Duration) {
        self.state(|state| state.submit_kill = Some(after));
    }

    pub(super) fn submits_killed(&self) -> u64 {
        self.state(|state| state.submits_killed)
    }

    /// A fault has begun that tasks may be charged for.
    pub(super) fn excuse(&self, kind: FaultKind) {
        let excuse = Excuse {
            kind,
            began: Instant::now(),
            ended: None,
        };
        self.state(|state| state.excuses.push(excuse));
    }

    /// It has ended.
    pub(super) fn no_more_excuse(&self, kind: FaultKind) {
        self.state(|state| {
            let open = state
                .excuses
                .iter_mut()
                .find(|excuse| excuse.kind == kind && excuse.ended.is_none());
            if let Some(excuse) = open {
                excuse.ended = Some(Instant::now());
            }
        });
    }

    /// Lists the faults that a job may have met since it was submitted.
    fn excuses_of(&self, kind: &LoadKind, submitted: Instant) -> Vec<Excuse> {
        self.state(|state| {
            let excuses = state
                .excuses
                .iter()
                .filter(|excuse| excuse.is_for(kind, submitted));
            excuses.copied().collect()
        })
    }

    pub(super) fn violation(&self, text: String) {
        self.state(|state| state.violations.push(text));
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.state(|state| state.violations.clone())
    }

    pub(super) fn ended(&self) -> BTreeMap<&'static str, Ended> {
        self.state(|state| state.ended.clone())
    }

    pub(super) fn outputs(&self) -> &Path {
        &self.outputs
    }

    /// Runs one job of every kind, one after the other, and keeps the outputs.
    pub(super) fn make_references(&self, journal: &Journal) -> Result<()> {
        for kind in &self.kinds {
            journal.check_interrupt()?;
            let began = Instant::now();
            let id = undisturbed(kind);
            let output = kind.output(&self.references, kind.name);
            self.submit(kind, &id, output.as_deref())?;
            let status = self.end_of(&id, journal)?;
            ensure!(
                status.state == "succeeded",
                "{id} {}: {}",
                status.state,
                status.error
            );
            if kind.ending.is_none() {
                std::fs::write(self.references.join(kind.name), self.results(&id)?)?;
            }
            self.forget(&id)?;
            journal.say(&format!(
                "undisturbed {}: {:.1} s",
                kind.name,
                began.elapsed().as_secs_f64()
            ));
        }
        Ok(())
    }

    /// Runs jobs until the lanes are closed.
    pub(super) fn run(&self, journal: &Journal) {
        while let Some((id, kind)) = self.next() {
            let ran = self.see_through(&id, kind, journal);
            self.state(|state| state.under_way.remove(&id));
            match ran {
                Ok(()) => {}
                Err(_) if journal.is_interrupted() => return,
                Err(error) => {
                    let text = format!("job {id}: {error:#}");
                    journal.say(&format!("WRONG  {text}"));
                    self.violation(text);
                }
            }
        }
    }

    fn next(&self) -> Option<(String, &LoadKind)> {
        let (number, at) = self.state(|state| {
            if !state.open {
                return None;
            }
            if state.round.is_empty() {
                let all: Vec<usize> = (0..self.kinds.len()).collect();
                state.round = state.random.shuffled(&all);
            }
            state.number += 1;
            Some((state.number, state.round.pop()?))
        })?;
        let kind = self.kinds.get(at)?;
        Some((format!("s{}-{number}-{}", self.seed, kind.name), kind))
    }

    fn see_through(&self, id: &str, kind: &LoadKind, journal: &Journal) -> Result<()> {
        let began = Instant::now();
        let output = kind.output(&self.outputs, id);
        self.state(|state| state.under_way.insert(id.to_owned(), UnderWay::default()));
        self.submit(kind, id, output.as_deref())?;
        let (mut retries, mut failures) = (0, 0);
        let status = loop {
            let status = self.end_of(id, journal)?;
            match status.state.as_str() {
                "succeeded" => break status,
                "cancelled" if self.takes_cancel(id) => {
                    retries += 1;
                    self.retry(id)?;
                }
                "failed" if self.is_excused(kind, began, &status, journal)? => {
                    failures += 1;
                    self.retry(id)?;
                }
                state => bail!("{state}: {}", status.error),
            }
        };
        // The log keeps the invariants that a log alone can tell, and every record of it can be read.
        let audit: Value = serde_json::from_str(&self.insist(&["audit", id, "--json"])?)?;
        let read = audit["events"].as_u64() > Some(0) && audit["left_out"] == 0;
        ensure!(read, "its log cannot be read whole: {audit}");
        ensure!(
            status.charged == 0 || !self.excuses_of(kind, began).is_empty(),
            "{} attempts were charged to tasks",
            status.charged
        );
        let reference = kind.output(&self.references, kind.name);
        match (reference, &output) {
            (Some(reference), Some(output)) => {
                let expected = Made {
                    job: &undisturbed(kind),
                    path: &reference,
                };
                if let Some(text) = difference(
                    expected,
                    Made {
                        job: id,
                        path: output,
                    },
                )? {
                    bail!(
                        "the output differs from the undisturbed one: {text}; compare {} and {}",
                        reference.display(),
                        output.display()
                    );
                }
                remove(output)?;
            }
            _ => {
                let expected = std::fs::read_to_string(self.references.join(kind.name))?;
                ensure!(
                    self.results(id)? == expected,
                    "the tasks returned something else"
                );
            }
        }
        self.state(|state| {
            state.to_forget.push(id.to_owned());
            let ended = state.ended.entry(kind.name).or_default();
            ended.jobs += 1;
            ended.retries += retries;
            ended.failures += failures;
            ended.charged += status.charged;
            ended.repeated += status.repeated;
            ended.longest = ended.longest.max(began.elapsed());
        });
        Ok(())
    }

    /// Whether a job failed of a fault that may fail it, and says so; if so, waits until that has ended.
    fn is_excused(
        &self,
        kind: &LoadKind,
        submitted: Instant,
        failed: &Status,
        journal: &Journal,
    ) -> Result<bool> {
        let excuses = self.excuses_of(kind, submitted);
        let Some(excuse) = excuses.iter().find(|excuse| excuse.explains(&failed.error)) else {
            return Ok(false);
        };
        journal.wait(JOB_MAX, || {
            let goes_on = |other: &Excuse| other.began == excuse.began && other.ended.is_none();
            Ok(!self.excuses_of(kind, submitted).iter().any(goes_on))
        })
    }

    /// Takes note that a job was cancelled; false when nobody had asked for that.
    fn takes_cancel(&self, id: &str) -> bool {
        self.state(|state| match state.under_way.get_mut(id) {
            Some(under_way) if under_way.cancel_asked => {
                under_way.cancel_asked = false;
                under_way.cancel_seen = true;
                true
            }
            _ => false,
        })
    }

    /// Submits a job until the broker has it; sending it again under its id must be the same job.
    fn submit(&self, kind: &LoadKind, id: &str, output: Option<&Path>) -> Result<()> {
        let arguments = kind.submit(id, output);
        if let Some(after) = self.state(|state| state.submit_kill.take()) {
            let mut submit = self.swath.start(&arguments)?;
            if submit.wait(after)?.is_none() {
                submit.kill()?;
                self.state(|state| state.submits_killed += 1);
            } else {
                // It was through already: the next one then.
                self.state(|state| state.submit_kill = Some(after / 2));
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let printed = self.insist(&arguments)?;
        ensure!(printed == id, "submit printed '{printed}' as id of '{id}'");
        Ok(())
    }

    fn retry(&self, id: &str) -> Result<()> {
        self.insist(&["retry", id]).map(|_| ())
    }

    fn forget(&self, id: &str) -> Result<()> {
        self.insist(&["forget", id]).map(|_| ())
    }

    /// Forgets every job that ended well, which is for when nobody can have anything more to say of one.
    pub(super) fn forget_all(&self) -> Result<()> {
        let jobs = self.state(|state| std::mem::take(&mut state.to_forget));
        jobs.iter().try_for_each(|job| self.forget(job))
    }

    fn results(&self, id: &str) -> Result<String> {
        self.insist(&["results", id])
    }

    /// Runs a command again while the broker is away, and returns what it printed.
    fn insist(&self, arguments: &[&str]) -> Result<String> {
        let deadline = Instant::now() + BROKER_MAX;
        loop {
            let answer = self.swath.run(arguments)?;
            match answer.code {
                Some(0) => return Ok(answer.stdout),
                Some(BROKER) if Instant::now() < deadline => std::thread::sleep(PERIOD),
                code => bail!(
                    "swath {}: exit code {code:?}: {}",
                    arguments.join(" "),
                    answer.stderr
                ),
            }
        }
    }

    /// Waits for the end of a job.
    fn end_of(&self, id: &str, journal: &Journal) -> Result<Status> {
        let deadline = Instant::now() + JOB_MAX;
        let mut last = String::new();
        while Instant::now() < deadline {
            journal.check_interrupt()?;
            if let Some(document) = self.swath.json(&["status", id])? {
                let status = Status::read(&document);
                if matches!(status.state.as_str(), "succeeded" | "failed" | "cancelled") {
                    return Ok(status);
                }
                self.state(|state| {
                    if let Some(under_way) = state.under_way.get_mut(id) {
                        under_way.runs = status.state == "running";
                    }
                });
                last = document.to_string();
            }
            std::thread::sleep(PERIOD);
        }
        Err(anyhow::anyhow!("its status is {last}"))
            .context(format!("it did not end within {JOB_MAX:?}"))
    }
}

/// What `swath status --json` says that matters here.
#[derive(Debug)]
struct Status {
    state: String,
    error: String,
    /// Attempts charged to tasks.
    charged: u64,
    /// Runs of tasks beyond the first.
    repeated: u64,
}

impl Status {
    fn read(document: &Value) -> Self {
        let stages = document["stages"].as_array().cloned().unwrap_or_default();
        let sum = |field: &str| {
            stages
                .iter()
                .filter_map(|stage| stage[field].as_u64())
                .sum()
        };
        Self {
            state: document["state"].as_str().unwrap_or_default().to_owned(),
            error: document["error"]["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            charged: sum("failed"),
            repeated: sum("retried"),
        }
    }
}

/// The id of the job that nothing disturbs.
fn undisturbed(kind: &LoadKind) -> String {
    format!("undisturbed-{}", kind.name)
}

fn remove(output: &Path) -> Result<()> {
    if output.is_dir() {
        std::fs::remove_dir_all(output)?;
    } else {
        std::fs::remove_file(output)?;
    }
    Ok(())
}
