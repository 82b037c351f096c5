//! What must hold after every event, each by a name, checked against a second, plain account of the log.
//!
//! [`check`] checks the log of a job that has been; the simulation checks logs as they grow, and breaks the machine to see that
//! each is worth its name.
//!
//! The witness is told each event, what the machine asked for, and the machine; it recomputes by the simplest means,
//! at any cost, what the machine keeps in counters.

mod account;
mod rules;

pub(super) use account::Witness;

use super::{Event, JobMachine};
use crate::time::Timestamp;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{invariant}' does not hold: {detail}")]
pub struct Violation {
    /// Its name.
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
}

/// Replays a job's log, and checks every invariant after each of its events.
///
/// The time it takes grows with the number of tasks times that of events: hundreds of tasks take milliseconds, ten thousand minutes.
///
/// # Errors
/// With the first invariant that does not hold. That is a fault of Swath.
pub fn check<'a>(log: impl IntoIterator<Item = (Timestamp, &'a Event)>) -> Result<(), Violation> {
    let (mut machine, mut witness) = (JobMachine::new(), Witness::default());
    for (at, event) in log {
        let commands = machine.apply(at, event);
        witness.observe(at, event, &commands, &machine)?;
    }
    Ok(())
}

/// Names the invariant that is broken, if it is.
pub(super) fn hold(
    invariant: &'static str,
    holds: bool,
    detail: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds {
        return Ok(());
    }
    let detail = detail();
    Err(Violation { invariant, detail })
}

fn progress_adds_up(machine: &JobMachine) -> Result<(), Violation> {
    for stage in machine.progress().stages {
        let accounted = u64::from(stage.done) + u64::from(stage.published) + u64::from(stage.dead);
        let adds_up = accounted <= u64::from(stage.tasks);
        hold("progress adds up", adds_up, || format!("{stage:?}"))?;
    }
    Ok(())
}

#[cfg(test)]
/// An event that is folded twice changes nothing the second time, and asks for nothing.
pub(super) fn twice_is_once(
    at: Timestamp,
    event: &Event,
    machine: &JobMachine,
) -> Result<(), Violation> {
    let mut again = machine.clone();
    let commands = again.apply(at, event);
    let quiet = commands.is_empty() && again == *machine;
    hold("twice is once", quiet, || {
        format!("{event:?} again gave {commands:?}")
    })
}

#[cfg(test)]
/// A replay of the log gives an equal machine.
pub(super) fn a_replay_is_equal(
    log: &[(Timestamp, Event)],
    machine: &JobMachine,
) -> Result<(), Violation> {
    let mut replayed = JobMachine::new();
    for (at, event) in log {
        replayed.apply(*at, event);
    }
    let equal = replayed == *machine && replayed.outstanding() == machine.outstanding();
    hold("a replay is equal", equal, || {
        format!("{replayed:?} and {machine:?}")
    })
}
