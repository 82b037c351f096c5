//! What a plan must keep to, so that a job over it can end.

use super::error::Error;
use super::event::StageShape;
use crate::ids::StageId;

/// Most stages of a plan. Every end of a stage looks at all stages, so their number is bounded.
pub(crate) const STAGES_MAX: usize = 1024;
/// Most tasks of a plan, over all stages: a few gigabytes of records at the coordinator.
pub(crate) const TASKS_MAX: u64 = 100_000_000;
/// Most inputs that the stages of a plan name in all.
pub(crate) const EDGES_MAX: usize = 65_536;

/// Checks that a job over these stages can end: bounded in number, and each reads only stages before it.
pub(crate) fn check(stages: &[StageShape]) -> Result<(), Error> {
    if stages.len() > STAGES_MAX {
        let stages = stages.len();
        return Err(Error::TooManyStages { stages });
    }
    let tasks = stages.iter().map(|stage| u64::from(stage.tasks)).sum();
    if tasks > TASKS_MAX {
        return Err(Error::TooManyTasks { tasks });
    }
    let edges = stages.iter().map(|stage| stage.inputs.len()).sum();
    if edges > EDGES_MAX {
        return Err(Error::TooManyInputs { edges });
    }
    for (number, stage) in (0..).map(StageId).zip(stages) {
        if let Some(input) = stage.inputs.iter().find(|input| **input >= number) {
            let (stage, input) = (number, *input);
            return Err(Error::InputNotBefore { stage, input });
        }
    }
    Ok(())
}
