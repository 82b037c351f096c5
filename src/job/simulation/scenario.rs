//! What a seed asks of the job and of the world: its plan, its options, and how hostile the world is.

use std::collections::BTreeMap;

use super::rng::Rng;
use crate::ids::{StageId, TaskId};
use crate::job::StageShape;
use crate::job::backoff::mix;
use crate::spec::{JobOptions, RetryPolicy};

/// Everything that is drawn before the world begins to turn.
pub(super) struct Scenario {
    pub(super) stages: Vec<StageShape>,
    pub(super) options: JobOptions,
    pub(super) workers: usize,
    pub(super) coordinators: usize,
    /// When the faults end, in microseconds.
    pub(super) calm_at: i64,
    /// How often somebody retries the job when it fails or is cancelled.
    pub(super) retries: u32,
    pub(super) hostility: Hostility,
}

/// How often each misfortune comes, in a thousand runs, steps or messages.
#[derive(Default)]
pub(super) struct Hostility {
    pub(super) retry: u64,
    pub(super) timeout: u64,
    pub(super) panic: u64,
    pub(super) straggle: u64,
    pub(super) fatal: u64,
    pub(super) poison: u64,
    pub(super) worker_gone: u64,
    pub(super) stray_cancelled: u64,
    pub(super) evict: u64,
    pub(super) stamps_jump: u64,
    pub(super) append_twice: u64,
    pub(super) deliver_twice: u64,
    pub(super) lease_lapses: u64,
    pub(super) command_twice: u64,
    pub(super) coordinator_dies: u64,
    pub(super) coordinator_sleeps: u64,
    pub(super) notice_lost: u64,
    pub(super) plan_fails: u64,
    pub(super) plan_malformed: bool,
    pub(super) plan_kills: u64,
    /// How often in the whole run, not in a thousand.
    pub(super) worker_deaths: i64,
    pub(super) worker_pauses: i64,
    pub(super) worker_leaves: i64,
    pub(super) capacity_changes: i64,
    pub(super) cancels: bool,
}

impl Scenario {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        Self {
            stages: draw_stages(rng),
            options: draw_options(rng),
            workers: 1 + rng.index(4),
            coordinators: 1 + rng.index(3),
            calm_at: rng.between(300_000, 2_500_000),
            retries: if rng.permille(600) {
                1 + u32::from(rng.permille(300))
            } else {
                0
            },
            hostility: Hostility::draw(rng),
        }
    }
}

impl Hostility {
    fn draw(rng: &mut Rng) -> Self {
        // Each misfortune visits about half of the seeds, so that each also happens without the others.
        let mut sometimes = |most: u64| {
            let visits = rng.permille(500);
            let often = 1 + rng.next() % most;
            if visits { often } else { 0 }
        };
        let mut drawn = Self {
            retry: sometimes(120),
            timeout: sometimes(60),
            panic: 0,
            fatal: 0,
            poison: 0,
            worker_gone: sometimes(80),
            stray_cancelled: sometimes(40),
            evict: sometimes(40),
            stamps_jump: sometimes(60),
            append_twice: sometimes(150),
            deliver_twice: sometimes(150),
            lease_lapses: sometimes(150),
            straggle: sometimes(300),
            command_twice: sometimes(150),
            coordinator_dies: sometimes(60),
            coordinator_sleeps: sometimes(60),
            notice_lost: sometimes(500),
            ..Self::default()
        };
        if rng.permille(500) {
            drawn.worker_deaths = rng.between(1, 5);
        }
        if rng.permille(400) {
            drawn.worker_leaves = rng.between(1, 4);
        }
        if rng.permille(400) {
            drawn.worker_pauses = rng.between(1, 4);
        }
        if rng.permille(500) {
            drawn.capacity_changes = rng.between(1, 4);
        }
        drawn.cancels = rng.permille(40);
        // These end a job, so they are rare.
        if rng.permille(60) {
            drawn.fatal = 10;
        }
        if rng.permille(100) {
            drawn.poison = 10;
        }
        if rng.permille(100) {
            drawn.panic = 200;
        }
        if rng.permille(80) {
            drawn.plan_fails = 500;
        }
        if rng.permille(40) {
            drawn.plan_kills = if rng.permille(500) { 1_000 } else { 600 };
        }
        drawn.plan_malformed = rng.permille(10);
        drawn
    }
}

fn draw_options(rng: &mut Rng) -> JobOptions {
    let max_attempts = u32::try_from(rng.between(2, 6)).unwrap();
    let base_ms = rng.next() % 40;
    let deadline = rng.permille(100);
    let deadline_ms = 200 + rng.next() % 4_000;
    JobOptions {
        retry: Some(RetryPolicy {
            max_attempts,
            base_ms,
            max_ms: base_ms * 8,
        }),
        deadline_ms: deadline.then_some(deadline_ms),
        ..JobOptions::default()
    }
}

/// Up to three stages over random earlier ones, and a commit that reads every stage that nobody else does.
fn draw_stages(rng: &mut Rng) -> Vec<StageShape> {
    let mut stages = Vec::new();
    for number in 0..u32::try_from(rng.index(4)).unwrap() {
        // A stage of 40 now and then, or the window would hardly be felt.
        let most = if rng.permille(100) { 40 } else { 12 };
        let tasks = u32::try_from(rng.between(0, most)).unwrap();
        let inputs = (0..number)
            .map(StageId)
            .filter(|_| rng.permille(600))
            .collect();
        stages.push(StageShape {
            name: format!("s{number}"),
            tasks,
            inputs,
        });
    }
    let read: Vec<StageId> = stages
        .iter()
        .flat_map(|stage| stage.inputs.clone())
        .collect();
    let numbers = (0..u32::try_from(stages.len()).unwrap()).map(StageId);
    let inputs = numbers
        .filter(|number| !read.contains(number) || rng.permille(300))
        .collect();
    stages.push(StageShape {
        name: "commit".to_owned(),
        tasks: 1,
        inputs,
    });
    stages
}

/// What a task makes of its inputs.
pub(super) fn content(task: TaskId, inputs: impl IntoIterator<Item = u64>) -> u64 {
    let own = mix((u64::from(task.stage.0) << 32) | u64::from(task.index));
    inputs.into_iter().fold(own, |sum, input| mix(sum ^ input))
}

/// The oracle: what the commit must hold, by one plain pass over the plan.
pub(super) fn expected_commit(stages: &[StageShape]) -> u64 {
    let mut made: BTreeMap<TaskId, u64> = BTreeMap::new();
    for (stage, shape) in (0..).map(StageId).zip(stages) {
        for index in 0..shape.tasks {
            let task = TaskId { stage, index };
            let reads = |input: &StageId| {
                let made = &made;
                let stage = *input;
                (0..stages[stage.0 as usize].tasks).map(move |index| made[&TaskId { stage, index }])
            };
            let value = content(task, shape.inputs.iter().flat_map(reads));
            made.insert(task, value);
        }
    }
    made.last_key_value().map_or(0, |(_, value)| *value)
}
