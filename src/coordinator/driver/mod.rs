//! Drives one job: tail → apply → carry out.
//!
//! Around that loop: `hold` (a job is taken up, and given back), `planning`, `publishing` (tasks onto the queue).

mod hold;
mod planning;
mod publishing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::live::{LiveWorkers, Unseen};
use super::stragglers::RunTimes;
use super::{Error, letters, publish};
use crate::broker::{self, Broker, LogRecord, LogStream, Signal};
use crate::ids::{Attempt, JobId, LetterId, QueueName, TaskId, WorkerId};
use crate::io::source::Sources;
use crate::job::{Command, Event, JobMachine, JobState, Outcome};
use crate::ops::Registry;
use crate::plan::{Plan, StageWork};
use crate::spec::{JobSpec, TaskOperation};
use crate::tables::Tables;
use crate::time::Timestamp;
use crate::wire::{self, LogEntry};
use planning::Planning;

pub(crate) use hold::Hold;

/// Log records applied before their commands are carried out.
const RECORDS_AT_ONCE: usize = 1024;
/// How often it is looked whether the job was forgotten: its end was recorded by another coordinator, and then its log removed.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How driving a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The job has ended, and all that follows from it is done.
    Finished,
    /// The job has no log (any more).
    NoSuchJob,
    /// The job was to be ended for want of workers of its queue, and goes on after all: they look after it.
    NotOurs,
    /// The job is not to begin before so long.
    Waits(Duration),
}

/// Returns what time it is at the broker, and when that was read: heartbeats tell, this process's own at the latest. Our own clock
/// may be minutes off, and a deadline that another coordinator watched must not come sooner for it.
async fn brokers_clock(live: &mut watch::Receiver<LiveWorkers>) -> (Timestamp, Instant) {
    let told = live.wait_for(|live| live.clock.is_some()).await;
    match told.ok().and_then(|live| live.clock) {
        Some(clock) => clock,
        // The service is going down; its select ends this future.
        None => std::future::pending().await,
    }
}

/// Drives a job to its end.
pub(crate) async fn drive(
    job: &JobId,
    hold: &Hold,
    broker: &Arc<dyn Broker>,
    with: (&Sources, &Tables, &Registry),
    mut live: watch::Receiver<LiveWorkers>,
) -> Result<End, Error> {
    let past = broker.read_log(job).await?;
    let Some(seen) = past.last().map(|record| record.sequence) else {
        // A server that lags behind may not have the log of a new job yet; the list of jobs comes from the one that leads.
        return match broker.jobs().await?.contains(job) {
            true => Err(Error::LogEnded),
            false => Ok(End::NoSuchJob),
        };
    };
    let mut driver = Driver::new(job, broker, with);
    for record in &past {
        driver.apply(record);
    }
    if broker::is_forgotten(&driver.machine, &past) {
        return Ok(End::NoSuchJob);
    }
    let ends = matches!(
        driver.machine.progress().state,
        JobState::Finishing | JobState::Succeeded | JobState::Failed | JobState::Cancelled
    );
    if !ends && !hold.queues.contains(&driver.queue()) {
        return Ok(End::NotOurs);
    }
    let clock = brokers_clock(&mut live).await;
    if let Some(start) = driver.machine.waits_until() {
        let (at, read) = clock;
        let wait = start.since(at.after(read.elapsed()));
        if !wait.is_zero() {
            return Ok(End::Waits(wait));
        }
    }
    if past.len() > 1 {
        info!(records = past.len(), "took the job over");
    }
    driver.take_up(hold, clock).await?;
    let new = broker.tail(job).await?.filter(move |record| {
        let old = record.as_ref().is_ok_and(|record| record.sequence <= seen);
        std::future::ready(!old)
    });
    let mut log: LogStream = new.boxed();
    let mut looked = Instant::now();
    loop {
        if driver.carry_out(&live).await? {
            return Ok(End::Finished);
        }
        let alive = live.borrow_and_update().clone();
        if looked.elapsed() >= LOOK_AGAIN {
            looked = Instant::now();
            if driver.is_forgotten().await? {
                return Ok(End::NoSuchJob);
            }
        }
        if driver.report_lost(&alive).await? {
            return Ok(End::NoSuchJob);
        }
        driver.report_stragglers(&alive).await?;
        let planning = driver.planning.as_mut();
        let planned = async {
            match planning {
                Some(planning) => planning.await,
                None => std::future::pending().await,
            }
        };
        let alarm = driver.alarms.first_key_value().map(|(at, _)| *at);
        let asleep = async {
            match alarm {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            record = log.next() => {
                driver.apply(&record.ok_or(Error::LogEnded)??);
                driver.apply_ready(&mut log)?;
            }
            () = asleep => driver.ring(),
            planned = planned => {
                driver.planning = None;
                driver.record_plan(planned).await?;
            }
            changed = live.changed() => if changed.is_err() {
                // The service is going down; its select ends this future.
                std::future::pending::<()>().await;
            },
        }
    }
}

/// What waits for a moment.
#[derive(Debug, Clone, Copy)]
enum Alarm {
    Plan(Attempt),
    Publish(TaskId, Attempt),
    Deadline,
    Held,
}

struct Driver<'a> {
    job: &'a JobId,
    broker: &'a Arc<dyn Broker>,
    sources: &'a Sources,
    tables: &'a Tables,
    registry: &'a Registry,
    machine: JobMachine,
    spec: Option<Arc<JobSpec>>,
    plan: Option<Arc<Plan>>,
    commands: Vec<Command>,
    alarms: BTreeMap<Instant, Vec<Alarm>>,
    due: Vec<(TaskId, Attempt)>,
    /// Tasks that were published to go first, and have not ended.
    first: BTreeSet<TaskId>,
    deadline_rang: bool,
    /// The hold whose record is not folded yet: nothing is carried out before.
    joins: Option<u64>,
    /// The hold that is to be recorded as one that went well, once its moment has come.
    holds: Option<u64>,
    held_rang: bool,
    /// The try to plan whose moment has come.
    plan_due: Option<Attempt>,
    planning: Option<Planning>,
    /// A moment of the broker's clock, and when that was by ours: of the last record, or of a heartbeat before there was one.
    last: (Timestamp, Instant),
    slots_told: u32,
    lost_told: BTreeSet<(WorkerId, crate::ids::Incarnation)>,
    unseen: Unseen,
    /// Tasks of which letters were kept.
    buried: BTreeSet<TaskId>,
    times: RunTimes,
    /// Attempts that were said to straggle.
    doubled_told: BTreeSet<(TaskId, Attempt)>,
}

impl<'a> Driver<'a> {
    fn new(
        job: &'a JobId,
        broker: &'a Arc<dyn Broker>,
        (sources, tables, registry): (&'a Sources, &'a Tables, &'a Registry),
    ) -> Self {
        Self {
            job,
            broker,
            sources,
            tables,
            registry,
            machine: JobMachine::new(),
            spec: None,
            plan: None,
            commands: Vec::new(),
            alarms: BTreeMap::new(),
            due: Vec::new(),
            first: BTreeSet::new(),
            deadline_rang: false,
            joins: None,
            holds: None,
            held_rang: false,
            plan_due: None,
            planning: None,
            last: (Timestamp::default(), Instant::now()),
            slots_told: 0,
            lost_told: BTreeSet::new(),
            unseen: Unseen::default(),
            buried: BTreeSet::new(),
            times: RunTimes::default(),
            doubled_told: BTreeSet::new(),
        }
    }

    /// Applies a record; its commands wait in `self.commands`. A record that does not decode is left out by every
    /// coordinator alike.
    fn apply(&mut self, record: &LogRecord) {
        self.last = (record.at, Instant::now());
        match wire::decode::<LogEntry>(&record.payload) {
            Ok(entry) => {
                for event in &entry.events {
                    self.times.note(event);
                    match event {
                        Event::TaskSucceeded(it) => self.first.remove(&it.task),
                        Event::TaskFailed(it) => self.first.remove(&it.task),
                        _ => false,
                    };
                    self.commands.extend(self.machine.apply(record.at, event));
                }
            }
            Err(error) => warn!(%error, sequence = record.sequence, "a log record was left out"),
        }
        // After each record: what is recorded next may be progress, which strikes the hold again.
        self.begin_if_taken_up();
    }

    /// Applies the records that are there already, so that their commands go out together.
    fn apply_ready(&mut self, log: &mut LogStream) -> Result<(), Error> {
        for _ in 0..RECORDS_AT_ONCE {
            match log.next().now_or_never() {
                Some(record) => self.apply(&record.ok_or(Error::LogEnded)??),
                None => break,
            }
        }
        Ok(())
    }

    fn ring(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.alarms.first_entry() {
            if *entry.key() > now {
                break;
            }
            for alarm in entry.remove() {
                self.rang(alarm);
            }
        }
    }

    fn rang(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Plan(attempt) => self.plan_due = Some(attempt),
            Alarm::Publish(task, attempt) => self.due.push((task, attempt)),
            Alarm::Deadline => self.deadline_rang = true,
            Alarm::Held => self.held_rang = true,
        }
    }

    /// Carries out all commands; returns whether the job is over.
    async fn carry_out(&mut self, live: &watch::Receiver<LiveWorkers>) -> Result<bool, Error> {
        let mut over = false;
        let mut finish = None;
        let mut bury = Vec::new();
        let mut again = Vec::new();
        for command in std::mem::take(&mut self.commands) {
            match command {
                Command::Plan {
                    attempt,
                    not_before,
                } => self.at(not_before, Alarm::Plan(attempt)),
                Command::Publish {
                    task,
                    attempt,
                    not_before,
                } => {
                    self.at(not_before, Alarm::Publish(task, attempt));
                }
                Command::WatchDeadline { at } => self.at(at, Alarm::Deadline),
                Command::PublishAgain { task, attempt } => again.push((task, attempt)),
                Command::Stop { task, attempt } => {
                    let job = self.job.clone();
                    self.broker
                        .signal(Signal::Stop { job, task, attempt })
                        .await?;
                }
                Command::Bury { task } => bury.push(task),
                Command::Finish(outcome) => finish = Some(*outcome),
                Command::Release => over = true,
            }
        }
        if over {
            // A job that was retried meanwhile has been put on the queue again, for another coordinator or this one.
            if self.machine.is_finished() {
                self.end().await?;
            }
            return Ok(true);
        }
        if !bury.is_empty() {
            let (spec, plan) = (self.spec().await?, self.plan().await?);
            let sources = (&*spec, &*plan, self.registry);
            letters::bury(self.job, &**self.broker, sources, &self.machine, &bury).await?;
            self.buried.extend(bury);
        }
        let life = self.machine.life();
        if let Some(outcome) = finish {
            return self
                .append("finished", Event::Finished { life, outcome })
                .await
                .map(|()| false);
        }
        if std::mem::take(&mut self.deadline_rang) {
            self.append("deadline", Event::DeadlineReached { life })
                .await?;
        }
        self.record_held().await?;
        self.plan_if_due(live).await?;
        self.publish_due().await?;
        self.publish_again(again).await?;
        Ok(false)
    }

    /// Sets an alarm for a moment of the broker's clock. The wait is counted from the last record, or else from the last
    /// heartbeat, so that it does not matter how far our clock is off.
    fn at(&mut self, moment: Timestamp, alarm: Alarm) {
        let (from, base) = self.last;
        let wait = moment.since(from);
        if wait.is_zero() {
            self.rang(alarm);
        } else {
            self.alarms.entry(base + wait).or_default().push(alarm);
        }
    }

    /// Records which runs take far longer than their peers did, as many as there are slots in which nothing runs.
    async fn report_stragglers(&mut self, live: &LiveWorkers) -> Result<(), Error> {
        let policy = match self.machine.submission() {
            Some(submission) => submission.options.speculation,
            None => return Ok(()),
        };
        let mine: Vec<_> = live
            .long_runs
            .iter()
            .filter(|run| run.job == *self.job)
            .collect();
        let free_slots = live.capacity(&self.queue()).free_slots;
        if !policy.enabled || free_slots == 0 || mine.is_empty() {
            return Ok(());
        }
        let stages = self.machine.progress().stages;
        let mut events = Vec::new();
        for (task, attempt) in self.times.stragglers(&policy, &stages, mine.into_iter()) {
            let told = self.doubled_told.contains(&(task, attempt));
            if !told && events.len() < free_slots as usize && self.may_run_twice().await? {
                info!(%task, "a run takes far longer than its peers did: a second one may begin");
                self.doubled_told.insert((task, attempt));
                events.push(Event::Straggling { task, attempt });
            }
        }
        if events.is_empty() {
            return Ok(());
        }
        let payload = wire::encode(&LogEntry { events })?;
        Ok(self.broker.append(self.job, None, payload).await?)
    }

    async fn may_run_twice(&mut self) -> Result<bool, Error> {
        Ok(match &self.spec().await?.operation {
            TaskOperation::Custom { operation, .. } => self.registry.may_run_twice(operation),
            _ => true,
        })
    }

    async fn spec(&mut self) -> Result<Arc<JobSpec>, Error> {
        if let Some(spec) = &self.spec {
            return Ok(Arc::clone(spec));
        }
        let submission = self.machine.submission().ok_or(Error::Bug {
            what: "a job that was not submitted",
        })?;
        let bytes = publish::fetch(self.job, &**self.broker, &submission.spec).await?;
        let spec = Arc::new(wire::decode::<JobSpec>(&bytes)?);
        self.spec = Some(Arc::clone(&spec));
        Ok(spec)
    }

    async fn plan(&mut self) -> Result<Arc<Plan>, Error> {
        if let Some(plan) = &self.plan {
            return Ok(Arc::clone(plan));
        }
        let payload = self.machine.plan().ok_or(Error::Bug {
            what: "a task before the plan",
        })?;
        let bytes = publish::fetch(self.job, &**self.broker, payload).await?;
        let plan = Arc::new(wire::decode::<Plan>(&bytes)?);
        self.plan = Some(Arc::clone(&plan));
        Ok(plan)
    }

    /// Records which workers are gone that hold partitions still needed, and how many slots there are; returns whether the
    /// job was forgotten instead.
    async fn report_lost(&mut self, live: &LiveWorkers) -> Result<bool, Error> {
        let slots = live.capacity(&self.queue()).slots;
        if self.machine.is_finished() || !live.settled && slots == 0 {
            return Ok(false);
        }
        let mut events = Vec::new();
        if slots != self.slots_told {
            self.slots_told = slots;
            events.push(Event::Capacity { slots });
        }
        for holder in self.machine.holders() {
            let key = (holder.id.clone(), holder.incarnation);
            if !self.unseen.is_lost(live, &key) {
                // It was away, and may be lost once more.
                self.lost_told.remove(&key);
            } else if self.lost_told.insert(key) {
                warn!(worker = %holder.id, "a worker with needed partitions is lost");
                let (worker, incarnation) = (holder.id.clone(), holder.incarnation);
                events.push(Event::WorkerLost {
                    worker,
                    incarnation,
                });
            }
        }
        if events.is_empty() {
            return Ok(false);
        }
        // A record would make its log come to be again.
        if self.is_forgotten().await? {
            return Ok(true);
        }
        let payload = wire::encode(&LogEntry { events })?;
        self.broker.append(self.job, None, payload).await?;
        Ok(false)
    }

    fn queue(&self) -> QueueName {
        let submission = self.machine.submission();
        submission.map_or_else(QueueName::default, |it| it.options.queue.clone())
    }

    async fn is_forgotten(&self) -> Result<bool, Error> {
        Ok(!self.broker.jobs().await?.contains(self.job))
    }

    async fn append(&self, what: &str, event: Event) -> Result<(), Error> {
        let payload = wire::encode(&LogEntry {
            events: vec![event],
        })?;
        let id = format!("{}.{:x}.{what}", self.job, self.machine.seed());
        Ok(self.broker.append(self.job, Some(id), payload).await?)
    }

    /// Does what follows from the end of a job.
    async fn end(&mut self) -> Result<(), Error> {
        let outcome = self.machine.outcome().cloned();
        self.broker
            .signal(Signal::Release {
                job: self.job.clone(),
                seed: self.machine.seed(),
                keep: matches!(outcome, Some(Outcome::Failed { .. })),
            })
            .await?;
        match &outcome {
            Some(Outcome::Succeeded) => {
                info!("the job succeeded");
                // Runs that were given up ended well, or nobody needed them.
                for task in std::mem::take(&mut self.buried) {
                    let letter = LetterId::Task(self.job.clone(), task);
                    self.broker.unbury(&letter).await?;
                }
            }
            Some(Outcome::Failed { failure, .. }) => {
                warn!(reason = failure.message, "the job failed");
            }
            Some(Outcome::Cancelled) => info!("the job was cancelled"),
            None => {
                return Err(Error::Bug {
                    what: "a job released before its end",
                });
            }
        }
        if !matches!(outcome, Some(Outcome::Succeeded)) && self.machine.plan().is_some() {
            let plan = self.plan().await?;
            for stage in &plan.stages {
                let path = match &stage.work {
                    StageWork::Commit { path, .. } => path,
                    StageWork::CommitTable(output) => &output.path,
                    _ => continue,
                };
                crate::io::commit::sweep(Path::new(path), self.job);
            }
        }
        Ok(())
    }
}
