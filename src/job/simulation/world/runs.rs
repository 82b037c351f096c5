//! What workers do: pull, run, fetch, commit, report, and only then settle.

use super::super::broker::{Input, LEASE, Message};
use super::super::fault::Fault;
use super::super::scenario::content;
use super::super::worker::{Run, SLOTS};
use super::{Happening, MS, Sender, World, injected};
use crate::exchange::{PartitionAddress, PartitionKey};
use crate::ids::{ExecutionId, Incarnation};
use crate::job::invariants::{Violation, hold};
use crate::job::{Event, Failure, FailureClass, TaskFailure, TaskSuccess};

impl World {
    pub(super) fn pull(&mut self, number: usize) {
        let worker = &self.workers[number];
        let mut pause = self.rng.between(20 * MS, 60 * MS);
        if worker.up && !worker.paused && !worker.leaving && worker.running.len() < SLOTS {
            let twice = self.rng.permille(self.hostility.deliver_twice);
            let pulled = self.broker.pull(self.now, &mut self.rng, &worker.me, twice);
            if let Some((queued, message)) = pulled {
                if twice {
                    self.counts.hit(Fault::DeliverTwice);
                }
                pause = self.rng.between(MS, 15 * MS);
                self.start_run(number, queued, message);
            }
        }
        let next = self.now + pause;
        self.at(next, Happening::Pull { worker: number });
    }

    pub(super) fn start_run(&mut self, number: usize, queued: u64, message: Message) {
        let execution = ExecutionId(self.rng.next());
        let life = self.workers[number].me.incarnation;
        let long = self.rng.permille(100);
        let takes = self
            .rng
            .between(2 * MS, if long { 900 * MS } else { 80 * MS });
        if self.rng.permille(self.hostility.straggle) {
            // It may have ended by then.
            let noticed = self.now + self.rng.between(MS, 200 * MS);
            let (task, attempt) = (message.task, message.attempt);
            let event = Event::Straggling { task, attempt };
            self.at(
                noticed,
                Happening::Append {
                    event,
                    sender: None,
                },
            );
        }
        self.tell(|| {
            format!(
                "w{number} starts {execution} of {} #{}",
                message.task, message.attempt
            )
        });
        let run = Run {
            queued,
            message,
            execution,
        };
        self.workers[number].running.insert(execution, run);
        self.at(
            self.now + takes,
            Happening::RunEnds {
                worker: number,
                run: execution,
                life,
            },
        );
        if takes < LEASE {
            return;
        }
        if self.rng.permille(self.hostility.lease_lapses) {
            self.counts.hit(Fault::LeaseLapsed);
            return;
        }
        let half = self.now + LEASE / 2;
        self.at(
            half,
            Happening::Extend {
                worker: number,
                run: execution,
                life,
            },
        );
    }

    pub(super) fn extend(&mut self, number: usize, run: ExecutionId, life: Incarnation) {
        let worker = &self.workers[number];
        if !worker.lives(life) || worker.paused {
            return;
        }
        if let Some(running) = worker.running.get(&run) {
            self.broker.extend(self.now, running.queued);
            self.at(
                self.now + LEASE / 2,
                Happening::Extend {
                    worker: number,
                    run,
                    life,
                },
            );
        }
    }

    pub(super) fn end_run(&mut self, number: usize, run: ExecutionId) -> Result<(), Violation> {
        let Some(run) = self.workers[number].running.remove(&run) else {
            return Ok(());
        };
        self.evict(number);
        if let Some(failure) = self.misfortune() {
            self.report_failure(number, &run, failure);
            return Ok(());
        }
        let mut values = Vec::new();
        for input in &run.message.inputs {
            match self.fetch(input) {
                Some(value) => values.push(value),
                None => {
                    self.counts.hit(Fault::InputLost);
                    let address = Box::new(self.address(input));
                    let failure = injected(FailureClass::InputLost(address), "input-lost");
                    self.report_failure(number, &run, failure);
                    return Ok(());
                }
            }
        }
        let value = content(run.message.task, values);
        if run.message.task.stage.0 as usize + 1 == self.stages.len() {
            self.put_if_absent(value)?;
        }
        self.report_success(number, &run, value);
        Ok(())
    }

    /// The commit: the first one stays, and every other must be the same.
    pub(super) fn put_if_absent(&mut self, value: u64) -> Result<(), Violation> {
        match self.commit {
            None => self.commit = Some(value),
            Some(there) => {
                self.counts.hit(Fault::SecondCommit);
                hold("every run of a task makes the same", there == value, || {
                    format!("{there:x} was committed, then {value:x}")
                })?;
            }
        }
        Ok(())
    }

    /// Draws what goes wrong with a run, if anything does.
    pub(super) fn misfortune(&mut self) -> Option<Failure> {
        let hostility = &self.hostility;
        let after_ms = self.rng.permille(300).then_some(120);
        let drawn = [
            (
                hostility.retry,
                Fault::Retry,
                FailureClass::Retry { after_ms },
                "injected-retry",
            ),
            (
                hostility.timeout,
                Fault::Timeout,
                FailureClass::Timeout,
                "injected-timeout",
            ),
            (
                hostility.panic,
                Fault::Panic,
                FailureClass::Panic,
                "injected-panic",
            ),
            (
                hostility.fatal,
                Fault::Fatal,
                FailureClass::Fatal,
                "injected-fatal",
            ),
            (
                hostility.poison,
                Fault::Poison,
                FailureClass::Poison,
                "injected-poison",
            ),
            (
                hostility.worker_gone,
                Fault::WorkerGone,
                FailureClass::WorkerGone,
                "gone",
            ),
            (
                hostility.stray_cancelled,
                Fault::StrayCancelled,
                FailureClass::Cancelled,
                "stray",
            ),
        ];
        for (often, fault, class, code) in drawn {
            if self.rng.permille(often) {
                self.counts.hit(fault);
                return Some(injected(class, code));
            }
        }
        None
    }

    pub(super) fn evict(&mut self, number: usize) {
        if self.rng.permille(self.hostility.evict) {
            let partitions = &mut self.workers[number].partitions;
            if partitions.pop_first().is_some() {
                self.counts.hit(Fault::Evicted);
            }
        }
    }

    pub(super) fn fetch(&self, input: &Input) -> Option<u64> {
        let there = self
            .workers
            .iter()
            .find(|worker| worker.me == input.worker)?;
        let answers = there.up && !there.paused;
        there
            .partitions
            .get(&input.execution)
            .copied()
            .filter(|_| answers)
    }

    pub(super) fn address(&self, input: &Input) -> PartitionAddress {
        let key = PartitionKey {
            job: self.job.clone(),
            task: input.task,
            execution: input.execution,
            partition: 0,
        };
        PartitionAddress {
            key,
            worker: input.worker.clone(),
        }
    }

    pub(super) fn report_success(&mut self, number: usize, run: &Run, value: u64) {
        self.workers[number].partitions.insert(run.execution, value);
        let event = Event::TaskSucceeded(TaskSuccess {
            task: run.message.task,
            attempt: run.message.attempt,
            execution: run.execution,
            worker: self.workers[number].me.clone(),
            run_us: 1,
            stored_bytes: 8,
            result: None,
        });
        self.report(number, run, event);
    }

    pub(super) fn report_failure(&mut self, number: usize, run: &Run, failure: Failure) {
        let event = Event::TaskFailed(TaskFailure {
            task: run.message.task,
            attempt: run.message.attempt,
            execution: run.execution,
            worker: self.workers[number].me.clone(),
            failure,
        });
        self.report(number, run, event);
    }

    pub(super) fn report(&mut self, number: usize, run: &Run, event: Event) {
        let life = self.workers[number].me.incarnation;
        let sender = Some(Sender {
            worker: number,
            life,
            queued: run.queued,
        });
        let arrives = self.now + self.rng.between(MS, 30 * MS);
        self.at(arrives, Happening::Append { event, sender });
    }

    pub(super) fn settle(&mut self, sender: Sender) {
        let worker = &self.workers[sender.worker];
        if !worker.lives(sender.life) {
            self.counts.hit(Fault::DiedBeforeSettle);
            return;
        }
        if self.broker.settle(sender.queued, &worker.me) {
            self.counts.hit(Fault::LateSettle);
        }
    }
}
