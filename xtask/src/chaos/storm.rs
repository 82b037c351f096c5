//! The time in which faults fire.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::faults::{Field, Fired, Ongoing};
use super::journal::Journal;
use super::plan::{FaultKind, FaultPlan, PlannedFault};

/// How often faults that have begun are looked at.
const PERIOD: Duration = Duration::from_millis(100);
/// How long a fault may wait for something to hit before the next one's turn.
const BEGIN_MAX: Duration = Duration::from_secs(30);

/// When it is over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    Passed(Duration),
    Fired(usize),
}

/// How often faults of a kind fired, and how often they found nothing to hit.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) kind: FaultKind,
    pub(super) fired: usize,
    pub(super) missed: usize,
}

struct Storm<'a> {
    field: Field<'a>,
    journal: &'a Journal,
    ongoing: Vec<Ongoing>,
    tallies: Vec<Tally>,
}

/// Lets faults fire, closes the lanes, and returns when the last job has ended.
pub(super) fn run(
    field: Field<'_>,
    plan: &FaultPlan,
    until: Until,
    journal: &Journal,
) -> Result<Vec<Tally>> {
    let tally = |kind: &FaultKind| Tally {
        kind: *kind,
        fired: 0,
        missed: 0,
    };
    let mut storm = Storm {
        field,
        journal,
        ongoing: Vec::new(),
        tallies: plan.kinds().iter().map(tally).collect(),
    };
    let round = plan.clone().take(plan.kinds().len());
    let names: Vec<String> = round.map(|fault| fault.kind.name()).collect();
    println!("the first round: {}", names.join(", "));
    let began = Instant::now();
    for fault in plan.clone() {
        let over = match until {
            Until::Passed(time) => began.elapsed() >= time,
            Until::Fired(count) => storm.fired() + storm.ongoing.len() >= count,
        };
        // Those that go on may still turn out not to have fired.
        if over {
            storm.finish()?;
            if !matches!(until, Until::Fired(count) if storm.fired() < count) {
                break;
            }
        }
        storm.next(&fault)?;
    }
    // The last jobs end in peace; a worker that found no broker is still started again.
    let lanes = storm.field.lanes;
    lanes.close();
    while !lanes.under_way().is_empty() {
        storm.pass(PERIOD)?;
    }
    Ok(storm.tallies)
}

impl Storm<'_> {
    fn fired(&self) -> usize {
        self.tallies.iter().map(|tally| tally.fired).sum()
    }

    /// Waits for the turn of a fault and begins it.
    fn next(&mut self, fault: &PlannedFault) -> Result<()> {
        self.pass(fault.gap)?;
        let deadline = Instant::now() + BEGIN_MAX;
        loop {
            if let Some(ongoing) = self.field.begin(fault)? {
                let jobs = ongoing.under_way.len();
                self.say(fault, &format!("{} | {jobs} jobs under way", ongoing.text));
                self.ongoing.push(ongoing);
                return Ok(());
            }
            if Instant::now() >= deadline {
                self.say(fault, "found nothing to hit");
                self.count(fault.kind, Fired::No);
                return Ok(());
            }
            self.pass(PERIOD)?;
        }
    }

    fn say(&self, fault: &PlannedFault, text: &str) {
        let line = format!("#{:<4} {:<20} {text}", fault.number, fault.kind.name());
        self.journal.say(&line);
    }

    /// Lets time pass, and faults end that have lasted long enough.
    fn pass(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            self.journal.check_interrupt()?;
            self.field.find_deaths()?;
            self.end_those_due()?;
            if Instant::now() >= until {
                return Ok(());
            }
            std::thread::sleep(PERIOD);
        }
    }

    fn end_those_due(&mut self) -> Result<()> {
        let mut rest = Vec::new();
        for mut ongoing in std::mem::take(&mut self.ongoing) {
            match self.field.end(&mut ongoing)? {
                None => rest.push(ongoing),
                Some(fired) => {
                    if fired == Fired::No {
                        self.say(&ongoing.fault, "did not fire: nobody took notice");
                    }
                    self.count(ongoing.fault.kind, fired);
                }
            }
        }
        self.ongoing = rest;
        Ok(())
    }

    fn count(&mut self, kind: FaultKind, fired: Fired) {
        let found = self.tallies.iter_mut().find(|tally| tally.kind == kind);
        if let Some(tally) = found {
            match fired {
                Fired::Yes => tally.fired += 1,
                Fired::No => tally.missed += 1,
            }
        }
    }

    /// Waits until every fault has ended.
    fn finish(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !self.ongoing.is_empty() {
            if Instant::now() >= deadline {
                bail!("faults do not end: {:?}", self.ongoing);
            }
            self.pass(PERIOD)?;
        }
        Ok(())
    }
}

/// Writes the table of faults; returns what was wrong.
pub(super) fn report(faults: &[Tally]) -> Vec<String> {
    let mut wrong = Vec::new();
    println!("\n{:<22} {:>6} {:>8}", "fault", "fired", "not");
    for tally in faults {
        println!(
            "{:<22} {:>6} {:>8}",
            tally.kind.name(),
            tally.fired,
            tally.missed
        );
        match (tally.fired, tally.missed) {
            (0, 0) => println!("  no turn yet: a longer run has it"),
            // It may be chance that nobody noticed a short one.
            (0, 1) => println!("  not fired at its only turn: nothing is shown about it"),
            (0, _) => wrong.push(format!("{} never fired", tally.kind.name())),
            _ => {}
        }
    }
    let fired: usize = faults.iter().map(|tally| tally.fired).sum();
    let missed: usize = faults.iter().map(|tally| tally.missed).sum();
    println!("{:<22} {fired:>6} {missed:>8}", "all");
    wrong
}
