//! What happens when results are gone, and which results are needed at all.

use super::Board;
use crate::ids::{ExecutionId, Incarnation, StageId, TaskId, WorkerId, WorkerRef};

impl Board {
    /// Notes that a life of a worker is over: what only it held and somebody still needs is made again.
    pub(in crate::job) fn worker_lost(&mut self, id: &WorkerId, incarnation: Incarnation) {
        let numbers = self.workers.lose(id, incarnation);
        if numbers.is_empty() {
            return;
        }
        for stage in &mut self.stages {
            for (worker, _) in stage.tasks.iter().filter_map(|task| task.winner()) {
                stage.stale += u32::from(numbers.contains(&worker));
            }
        }
        self.settle();
    }

    /// Notes that a life that was taken for over goes on, since it says something: what it holds counts again.
    pub(super) fn goes_on(&mut self, worker: &WorkerRef) {
        let numbers = self.workers.find(worker);
        if numbers.is_empty() {
            return;
        }
        for stage in &mut self.stages {
            for (worker, _) in stage.tasks.iter().filter_map(|task| task.winner()) {
                stage.stale -= u32::from(numbers.contains(&worker));
            }
        }
    }

    /// Notes that the partitions of runs lie with another worker now, which says so itself; of runs that do not stand it changes
    /// nothing.
    pub(in crate::job) fn moved(
        &mut self,
        from: &WorkerRef,
        to: &WorkerRef,
        runs: &[(TaskId, ExecutionId)],
    ) {
        self.goes_on(to);
        let mut new = None;
        for (task, execution) in runs {
            let Some((old, winner)) = self.task(*task).and_then(|record| record.winner()) else {
                continue;
            };
            if winner != *execution || self.workers.get(old) != Some(from) {
                continue;
            }
            let new = *new.get_or_insert_with(|| self.workers.number(to));
            let was_stale = self.workers.is_lost_number(old);
            let Some(stage) = self.stage_mut(task.stage) else {
                continue;
            };
            stage.stale -= u32::from(was_stale);
            if let Some(record) = stage.tasks.get_mut(task.index as usize) {
                record.win(new, winner);
            }
        }
        if new.is_some() {
            self.settle();
        }
    }

    /// Decides, from the last stage to the first, which stages are settled; takes back the winners of needed stages
    /// that are on lost lives. Losing one may make the stages before it needed again, hence the order.
    pub(super) fn settle(&mut self) {
        let count = u32::try_from(self.stages.len()).unwrap_or(u32::MAX);
        for number in (0..count).rev().map(StageId) {
            let needed = self.is_needed(number);
            if needed && self.stage(number).is_some_and(|stage| stage.stale > 0) {
                self.lose_where(number, |board, worker| board.workers.is_lost_number(worker));
            }
            let Some(stage) = self.stage_mut(number) else {
                continue;
            };
            let unneeded = !stage.readers.is_empty() && !needed && stage.was_complete();
            stage.settled = stage.is_complete() || unneeded;
            if stage.has_work() {
                self.ready.insert(number);
            }
        }
    }

    /// Tells whether the results of a stage are still to be read.
    pub(super) fn is_needed(&self, number: StageId) -> bool {
        let Some(stage) = self.stage(number) else {
            return false;
        };
        let settled = |reader: &StageId| self.stage(*reader).is_none_or(|stage| stage.settled);
        !stage.readers.iter().all(settled)
    }

    /// Tells whether a stage reads another.
    pub(super) fn reads(&self, reader: StageId, input: StageId) -> bool {
        self.stage(reader)
            .is_some_and(|stage| stage.inputs.contains(&input))
    }

    /// Takes back every winner that somebody still needs. From the last stage to the first: losing one may make the
    /// stages before it needed again.
    pub(super) fn lose_needed(&mut self) {
        let count = u32::try_from(self.stages.len()).unwrap_or(u32::MAX);
        for number in (0..count).rev().map(StageId) {
            if self.is_needed(number) {
                self.lose_where(number, |_, _| true);
            }
            self.settle();
        }
    }

    /// Takes back every needed winner on a worker that was found without its partitions.
    pub(super) fn lose_all_of(&mut self, worker: u32) {
        let count = u32::try_from(self.stages.len()).unwrap_or(u32::MAX);
        for number in (0..count).map(StageId) {
            if self.is_needed(number) {
                self.lose_where(number, |_, winner| winner == worker);
            }
        }
    }

    fn lose_where(&mut self, number: StageId, gone: impl Fn(&Self, u32) -> bool) {
        let Some(stage) = self.stage(number) else {
            return;
        };
        let winners = (0..).zip(&stage.tasks).filter_map(|(index, task)| {
            let (worker, _) = task.winner()?;
            gone(self, worker).then_some(index)
        });
        let lost: Vec<u32> = winners.collect();
        for index in lost {
            self.lose(TaskId {
                stage: number,
                index,
            });
        }
    }

    /// Takes back the winner of a task: it runs again, without a charge. Call [`Self::settle`] after it.
    pub(super) fn lose(&mut self, task: TaskId) {
        let Some((worker, _)) = self.task(task).and_then(|record| record.winner()) else {
            return;
        };
        let stale = self.workers.is_lost_number(worker);
        let Some(stage) = self.stage_mut(task.stage) else {
            return;
        };
        let was_complete = stage.is_complete();
        stage.done -= 1;
        stage.stale -= u32::from(stale);
        stage.wait_again(task.index);
        if was_complete {
            for reader in stage.readers.clone() {
                self.block(reader);
            }
        }
    }
}
