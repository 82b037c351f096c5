//! The workers that the job has met, each written once, and the lives that are known to be over.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Incarnation, WorkerId, WorkerRef};

/// A table of workers, so that a task names its worker in four bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Workers {
    known: Vec<Known>,
    numbers: BTreeMap<WorkerRef, u32>,
    lost: BTreeSet<(WorkerId, Incarnation)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Known {
    worker: WorkerRef,
    lost: bool,
    reports: u32,
}

impl Workers {
    /// Returns the number of a worker that has something to say, a new one if it was not met before.
    pub(super) fn number(&mut self, worker: &WorkerRef) -> u32 {
        if let Some(number) = self.numbers.get(worker) {
            return *number;
        }
        let number = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let worker = worker.clone();
        self.numbers.insert(worker.clone(), number);
        self.known.push(Known {
            worker,
            lost: false,
            reports: 0,
        });
        number
    }

    /// Returns the worker of a number.
    pub(super) fn get(&self, number: u32) -> Option<&WorkerRef> {
        self.known.get(number as usize).map(|known| &known.worker)
    }

    /// Lists the lives that were met and are not known to be over.
    pub(super) fn living(&self) -> impl Iterator<Item = &WorkerRef> {
        self.known
            .iter()
            .filter(|known| !known.lost)
            .map(|known| &known.worker)
    }

    /// Tells whether the life behind a number is known to be over.
    pub(super) fn is_lost_number(&self, number: u32) -> bool {
        self.known
            .get(number as usize)
            .is_some_and(|known| known.lost)
    }

    /// Notes that a life of a worker is over; returns the numbers under which it was met, none if
    /// that was known.
    pub(super) fn lose(&mut self, id: &WorkerId, incarnation: Incarnation) -> BTreeSet<u32> {
        let mut numbers = BTreeSet::new();
        if !self.lost.insert((id.clone(), incarnation)) {
            return numbers;
        }
        for (number, known) in (0..).zip(&mut self.known) {
            if known.worker.id == *id && known.worker.incarnation == incarnation {
                known.lost = true;
                numbers.insert(number);
            }
        }
        numbers
    }

    /// Notes that a life is not over; returns the numbers under which it was met, none if nobody took it for over.
    pub(super) fn find(&mut self, worker: &WorkerRef) -> BTreeSet<u32> {
        let mut numbers = BTreeSet::new();
        // Most jobs lose nobody, and this is asked for every success.
        if self.lost.is_empty() || !self.lost.remove(&(worker.id.clone(), worker.incarnation)) {
            return numbers;
        }
        for (number, known) in (0..).zip(&mut self.known) {
            if known.worker.id == worker.id && known.worker.incarnation == worker.incarnation {
                known.lost = false;
                numbers.insert(number);
            }
        }
        numbers
    }

    /// Counts a partition that a reader missed; returns how many it were.
    pub(super) fn report(&mut self, number: u32) -> u32 {
        let Some(known) = self.known.get_mut(number as usize) else {
            return 0;
        };
        known.reports = known.reports.saturating_add(1);
        known.reports
    }
}
