//! The virtual world around the machine: one clock, one list of what happens next, and chance.

mod coordinators;
mod judge;
mod log;
mod mishaps;
mod runs;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::broker::Broker;
use super::fault::Counts;
use super::rng::Rng;
use super::scenario::{Hostility, Scenario};
use super::worker::Worker;
use crate::ids::{ExecutionId, Incarnation, JobId, TaskId, WorkerId};
use crate::job::invariants::{Violation, Witness, hold};
use crate::job::{
    Command, Event, Failure, FailureClass, JobMachine, Outcome, Payload, StageShape, Submission,
};
use crate::time::Timestamp;

const MS: i64 = 1_000;
/// Without faults, a job must end within so many virtual microseconds.
const LIVENESS: i64 = 60_000 * MS;
/// The world turns on for so long after the end, for those who come late.
const AFTERWARDS: i64 = 1_200 * MS;
/// A world that takes more steps runs in a circle.
const STEPS_MAX: u32 = 60_000;
/// How far the stamps of records jump, either way: longer than any deadline and backoff of a scenario.
const JUMP_MAX: i64 = 10_000 * MS;

/// What happens at a moment.
enum Happening {
    /// A coordinator reads on in the log.
    Step {
        coordinator: usize,
        life: u32,
    },
    CoordinatorStarts {
        coordinator: usize,
    },
    /// A timer of a coordinator goes off.
    Timer {
        coordinator: usize,
        life: u32,
        command: Command,
    },
    Pull {
        worker: usize,
    },
    Extend {
        worker: usize,
        run: ExecutionId,
        life: Incarnation,
    },
    RunEnds {
        worker: usize,
        run: ExecutionId,
        life: Incarnation,
    },
    /// A record reaches the log; then its sender settles the message.
    Append {
        event: Event,
        sender: Option<Sender>,
    },
    Settle {
        sender: Sender,
    },
    WorkerDies,
    WorkerStarts {
        worker: usize,
    },
    WorkerPauses,
    WorkerLeaves,
    /// A worker that was leaving goes.
    WorkerGoes {
        worker: usize,
        life: Incarnation,
    },
    WorkerWakes {
        worker: usize,
        life: Incarnation,
    },
    /// A worker learns that it was said to be lost, and begins a new life.
    WorkerReborn {
        worker: usize,
        life: Incarnation,
    },
    Calm,
}

#[derive(Clone, Copy)]
struct Sender {
    worker: usize,
    life: Incarnation,
    queued: u64,
}

struct Coordinator {
    up: bool,
    life: u32,
    machine: JobMachine,
    /// Names its hold of the job.
    hold: u64,
    /// Whether it waits to see its own record before it does anything.
    joins: bool,
    read: usize,
    done: bool,
    /// A moment of the broker's clock, and when that was: of the last record, or of a heartbeat before there was one.
    clock: (i64, i64),
}

/// What came of a seed.
pub(super) struct Report {
    pub(super) log: Vec<(Timestamp, Event)>,
    pub(super) outcome: Outcome,
    pub(super) counts: Counts,
}

pub(super) struct World {
    rng: Rng,
    now: i64,
    steps: u32,
    happenings: BTreeMap<(i64, u64), Happening>,
    next_happening: u64,
    job: JobId,
    stages: Vec<StageShape>,
    hostility: Hostility,
    calm: bool,
    calm_at: i64,
    deadline_ms: Option<u64>,
    /// How far the clock by which records are stamped is ahead.
    stamps_ahead: i64,
    broker: Broker,
    workers: Vec<Worker>,
    coordinators: Vec<Coordinator>,
    /// Folds each record as it is appended; the coordinators lag behind it.
    reference: JobMachine,
    witness: Witness,
    /// What the job has made visible.
    commit: Option<u64>,
    succeeded: BTreeSet<TaskId>,
    lost: BTreeSet<(WorkerId, Incarnation)>,
    plans: u32,
    ended_at: Option<i64>,
    /// When this life of the job began.
    begun_at: i64,
    retries_left: u32,
    /// The dead letters: which life of the job gave up which task.
    letters: BTreeSet<(u32, TaskId)>,
    counts: Counts,
    trace: bool,
}

impl World {
    /// Makes the world of a seed.
    pub(super) fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let scenario = Scenario::draw(&mut rng);
        let mut world = Self {
            workers: (0..scenario.workers)
                .map(|n| Worker::new(n, rng.next()))
                .collect(),
            coordinators: Vec::new(),
            rng,
            now: 0,
            steps: 0,
            happenings: BTreeMap::new(),
            next_happening: 0,
            job: JobId::new("j").unwrap(),
            hostility: Hostility::default(),
            calm: false,
            calm_at: scenario.calm_at,
            deadline_ms: scenario.options.deadline_ms,
            stamps_ahead: JUMP_MAX,
            broker: Broker::default(),
            reference: JobMachine::new(),
            witness: Witness::default(),
            commit: None,
            succeeded: BTreeSet::new(),
            lost: BTreeSet::new(),
            plans: 0,
            ended_at: None,
            begun_at: 0,
            retries_left: scenario.retries,
            letters: BTreeSet::new(),
            counts: Counts::new(),
            trace,
            stages: Vec::new(),
        };
        world.begin(seed, scenario);
        world
    }

    fn begin(&mut self, seed: u64, scenario: Scenario) {
        self.tell(|| format!("seed {seed}: {:?}, {:?}", scenario.stages, scenario.options));
        let submission = Submission {
            spec: Payload::Inline(Bytes::new()),
            title: "simulated".to_owned(),
            options: scenario.options,
            seed,
            start_at: None,
        };
        self.at(
            0,
            Happening::Append {
                event: Event::Submitted(submission),
                sender: None,
            },
        );
        for coordinator in 0..scenario.coordinators {
            let machine = JobMachine::new();
            let new = Coordinator {
                up: false,
                life: 0,
                machine,
                hold: 0,
                joins: false,
                read: 0,
                done: false,
                clock: (0, 0),
            };
            self.coordinators.push(new);
            let late = if coordinator == 0 {
                0
            } else {
                self.rng.between(0, 400 * MS)
            };
            self.at(1 + late, Happening::CoordinatorStarts { coordinator });
        }
        for worker in 0..self.workers.len() {
            let begin = self.rng.between(0, 50 * MS);
            self.at(begin, Happening::Pull { worker });
        }
        for _ in 0..scenario.hostility.worker_deaths {
            let when = self.rng.between(0, scenario.calm_at);
            self.at(when, Happening::WorkerDies);
        }
        for _ in 0..scenario.hostility.worker_pauses {
            let when = self.rng.between(0, scenario.calm_at);
            self.at(when, Happening::WorkerPauses);
        }
        for _ in 0..scenario.hostility.worker_leaves {
            let when = self.rng.between(0, scenario.calm_at);
            self.at(when, Happening::WorkerLeaves);
        }
        for _ in 0..scenario.hostility.capacity_changes {
            let when = self.rng.between(0, scenario.calm_at);
            let slots = u32::try_from(self.rng.index(10)).unwrap();
            self.at(
                when,
                Happening::Append {
                    event: Event::Capacity { slots },
                    sender: None,
                },
            );
        }
        if scenario.hostility.cancels {
            let when = self.rng.between(1, 500 * MS);
            self.at(
                when,
                Happening::Append {
                    event: Event::CancelRequested,
                    sender: None,
                },
            );
        }
        self.at(scenario.calm_at, Happening::Calm);
        self.stages = scenario.stages;
        self.hostility = scenario.hostility;
    }

    /// Turns the world until the job has ended and all have heard of it.
    pub(super) fn run(mut self) -> Result<Report, Violation> {
        while let Some(((now, _), happening)) = self.happenings.pop_first() {
            self.now = now;
            self.steps += 1;
            if self
                .ended_at
                .is_some_and(|ended_at| now > ended_at + AFTERWARDS && self.all_know())
            {
                break;
            }
            let in_time = now < self.calm_at + LIVENESS && self.steps < STEPS_MAX;
            hold("every job ends", in_time, || {
                format!(
                    "{} steps, {} ms: {:?}",
                    self.steps,
                    now / MS,
                    self.reference
                )
            })?;
            self.happen(happening)?;
        }
        self.judge()
    }

    fn all_know(&self) -> bool {
        self.coordinators.iter().all(|coordinator| coordinator.done)
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Step { coordinator, life } => self.step(coordinator, life),
            Happening::CoordinatorStarts { coordinator } => self.coordinator_starts(coordinator),
            Happening::Timer {
                coordinator,
                life,
                command,
            } => {
                let it = &self.coordinators[coordinator];
                if it.up && it.life == life {
                    self.ring(coordinator, &command);
                }
            }
            Happening::Pull { worker } => self.pull(worker),
            Happening::Extend { worker, run, life } => self.extend(worker, run, life),
            Happening::RunEnds { worker, run, life } => {
                if self.workers[worker].lives(life) {
                    if self.workers[worker].paused {
                        self.workers[worker].late.push(run);
                    } else {
                        return self.end_run(worker, run);
                    }
                }
            }
            Happening::Append { event, sender } => return self.append(event, sender),
            Happening::Settle { sender } => self.settle(sender),
            Happening::WorkerDies => self.worker_dies(),
            Happening::WorkerStarts { worker } => self.workers[worker].up = true,
            Happening::WorkerPauses => self.worker_pauses(),
            Happening::WorkerLeaves => self.worker_leaves(),
            Happening::WorkerGoes { worker, life } => self.worker_goes(worker, life),
            Happening::WorkerWakes { worker, life } => {
                if self.workers[worker].lives(life) {
                    self.workers[worker].paused = false;
                    for run in std::mem::take(&mut self.workers[worker].late) {
                        self.end_run(worker, run)?;
                    }
                }
            }
            Happening::WorkerReborn { worker, life } => self.worker_reborn(worker, life),
            Happening::Calm => {
                self.tell(|| "calm".to_owned());
                self.calm = true;
                self.hostility = Hostility::default();
            }
        }
        Ok(())
    }

    fn soon(&mut self, event: Event) {
        let when = self.now + self.rng.between(MS, 30 * MS);
        self.at(
            when,
            Happening::Append {
                event,
                sender: None,
            },
        );
    }

    fn at(&mut self, when: i64, happening: Happening) {
        self.next_happening += 1;
        self.happenings
            .insert((when, self.next_happening), happening);
    }

    fn tell(&self, text: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>9} us  {}", self.now, text());
        }
    }
}

fn injected(class: FailureClass, code: &str) -> Failure {
    let message = "by the simulation".to_owned();
    Failure {
        class,
        code: code.to_owned(),
        message,
    }
}
