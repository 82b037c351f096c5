//! What happens when a record reaches the log: all invariants are checked here.

use super::super::fault::Fault;
use super::{Happening, MS, Sender, World};
use crate::job::Event;
use crate::job::invariants::{Violation, twice_is_once};
use crate::time::Timestamp;

impl World {
    pub(super) fn append(&mut self, event: Event, sender: Option<Sender>) -> Result<(), Violation> {
        if let Some(sender) = sender {
            let lives = self.workers[sender.worker].lives(sender.life);
            if !lives && self.rng.permille(500) {
                self.counts.hit(Fault::AppendLost);
                return Ok(());
            }
            let later = self.now + self.rng.between(MS, 30 * MS);
            self.at(later, Happening::Settle { sender });
        }
        if self.rng.permille(self.hostility.append_twice) {
            self.counts.hit(Fault::AppendTwice);
            let later = self.now + self.rng.between(MS, 400 * MS);
            self.at(
                later,
                Happening::Append {
                    event: event.clone(),
                    sender: None,
                },
            );
        }
        self.count(&event);
        let at = Timestamp(self.now);
        let commands = self.reference.apply(at, &event);
        self.tell(|| format!("log {event:?} gives {commands:?}"));
        self.witness
            .observe(at, &event, &commands, &self.reference)?;
        if self.broker.log.len().is_multiple_of(4) {
            twice_is_once(at, &event, &self.reference)?;
        }
        self.broker.log.push((at, event));
        if self.reference.is_finished() && self.ended_at.is_none() {
            self.ended_at = Some(self.now);
        }
        Ok(())
    }

    pub(super) fn count(&mut self, event: &Event) {
        match event {
            Event::Planned { .. } => {
                self.plans += 1;
                if self.plans == 2 {
                    self.counts.hit(Fault::PlannedTwice);
                }
            }
            Event::PlanFailed(_) => self.counts.hit(Fault::PlanFailed),
            Event::Capacity { .. } => self.counts.hit(Fault::CapacityChanged),
            Event::TaskSucceeded(success) => {
                let worker = &success.worker;
                if !self.succeeded.insert(success.task) {
                    self.counts.hit(Fault::SecondSuccess);
                }
                if self.lost.contains(&(worker.id.clone(), worker.incarnation)) {
                    self.counts.hit(Fault::ZombieReport);
                }
            }
            Event::WorkerLost {
                worker,
                incarnation,
            } => {
                self.lost.insert((worker.clone(), *incarnation));
                let numbered = self.workers.iter().position(|it| it.me.id == *worker);
                let Some(number) = numbered else { return };
                if self.workers[number].lives(*incarnation) {
                    self.counts.hit(Fault::FalselyLost);
                    let learns = self.now + self.rng.between(50 * MS, 500 * MS);
                    let life = *incarnation;
                    self.at(
                        learns,
                        Happening::WorkerReborn {
                            worker: number,
                            life,
                        },
                    );
                }
            }
            Event::CancelRequested => self.counts.hit(Fault::Cancelled),
            Event::DeadlineReached => self.counts.hit(Fault::Deadline),
            Event::Submitted(_) | Event::TaskFailed(_) | Event::Finished(_) => {}
        }
    }
}
