//! Carries faults out: begins them ([`strike`]), sees that they hit, ends them.

mod strike;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::clocks;
use super::cluster::{BROKER, Cluster};
use super::lanes::Lanes;
use super::network::Host;
use super::plan::PlannedFault;
use super::source::{Manner, Source};

/// How long a fault may look for something to hit, and how long one may take to be noticed.
const HIT_MAX: Duration = Duration::from_secs(40);
/// How long a worker that was asked to leave may take: the time that it gives its tasks, and some more.
const DRAIN_MAX: Duration = Duration::from_secs(75);
/// How far what a worker tells of its clock may be off: a record is some seconds old.
const CLOCK_OFF_MAX_US: i64 = 20_000_000;
/// How long after the broker is back a worker may end because it was away.
const AWAY_NOTICED_MAX: Duration = Duration::from_secs(30);

/// Workers that no fault may have at any time, so that jobs go on and there is something to disturb.
const IN_PEACE: usize = 2;

/// A fault that has begun and not ended.
#[derive(Debug)]
pub(super) struct Ongoing {
    pub(super) fault: PlannedFault,
    /// What it does to whom.
    pub(super) text: String,
    /// The jobs that were submitted and had not ended when it began.
    pub(super) under_way: Vec<String>,
    began: Instant,
    target: Target,
    hit: bool,
}

/// What must be put right at the end.
#[derive(Debug, Clone)]
enum Target {
    /// The process of a worker is gone.
    Killed(usize),
    Stopped(usize),
    Draining(usize),
    ServerKilled(usize),
    ServerStopped(usize),
    Cancelled(String),
    /// Submits that had been killed before.
    Submit(u64),
    Source,
    /// A file that fills the disk of a worker's store, and how long the worker's log was.
    Disk {
        index: usize,
        ballast: PathBuf,
        logged: u64,
    },
    Cut {
        index: usize,
        other: Host,
    },
    /// The line of a worker is slow.
    Slow(usize),
    /// The wall clock of a worker is off by so many seconds.
    Clock {
        index: usize,
        ahead_s: i64,
    },
}

/// How a fault ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fired {
    /// It hit while jobs were under way.
    Yes,
    /// It found nothing to hit, or nothing took notice.
    No,
}

/// What faults are carried out on.
#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) cluster: &'a mut Cluster,
    pub(super) lanes: &'a Lanes,
    source: &'a Source,
    server_disturbed: bool,
    source_disturbed: bool,
    /// When the server was last away.
    server_away: Option<Instant>,
}

impl<'a> Field<'a> {
    pub(super) fn new(cluster: &'a mut Cluster, lanes: &'a Lanes, source: &'a Source) -> Self {
        Self {
            cluster,
            lanes,
            source,
            source_disturbed: false,
            server_disturbed: false,
            server_away: None,
        }
    }

    /// Begins a fault; `None` when there is nothing to hit now.
    pub(super) fn begin(&mut self, fault: &PlannedFault) -> Result<Option<Ongoing>> {
        let under_way = self.lanes.under_way();
        if under_way.is_empty() {
            return Ok(None);
        }
        let Some((target, text)) = self.strike(fault)? else {
            return Ok(None);
        };
        let at_once = matches!(
            target,
            Target::Killed(_)
                | Target::Stopped(_)
                | Target::ServerKilled(_)
                | Target::ServerStopped(_)
                | Target::Cut { .. }
        );
        Ok(Some(Ongoing {
            fault: fault.clone(),
            text,
            under_way,
            began: Instant::now(),
            target,
            hit: at_once,
        }))
    }

    fn signal(&mut self, index: usize, signal: &str) -> Result<()> {
        let node = self.cluster.node(index)?;
        node.process
            .as_mut()
            .context("a worker that is signalled runs")?
            .signal(signal)?;
        node.disturbed = true;
        Ok(())
    }

    /// Ends a fault that has lasted long enough, and says whether it fired; `None` while it goes on.
    pub(super) fn end(&mut self, ongoing: &mut Ongoing) -> Result<Option<Fired>> {
        let lasted = ongoing.began.elapsed();
        let length = match ongoing.target {
            // How long the submit runs, not the fault.
            Target::Submit(_) => Duration::ZERO,
            _ => ongoing.fault.length,
        };
        if !ongoing.hit {
            ongoing.hit = self.is_noticed(ongoing)?;
        }
        let patience = match ongoing.target {
            Target::Draining(_) => DRAIN_MAX,
            _ => length.max(HIT_MAX),
        };
        if lasted < length || (!ongoing.hit && lasted < patience) {
            return Ok(None);
        }
        self.put_right(ongoing)?;
        Ok(Some(if ongoing.hit { Fired::Yes } else { Fired::No }))
    }

    fn is_noticed(&mut self, ongoing: &Ongoing) -> Result<bool> {
        Ok(match &ongoing.target {
            Target::Killed(_)
            | Target::Stopped(_)
            | Target::ServerKilled(_)
            | Target::ServerStopped(_)
            | Target::Cut { .. } => true,
            Target::Draining(index) => {
                let node = self.cluster.node(*index)?;
                let process = node.process.as_mut().context("it was asked to leave")?;
                let Some(status) = process.wait(Duration::ZERO)? else {
                    return Ok(false);
                };
                if !status.success() {
                    let text = format!("{} was asked to leave and ended with {status}", node.id);
                    self.lanes.violation(text);
                }
                true
            }
            Target::Cancelled(job) => self.lanes.cancel_seen(job) == Some(true),
            Target::Submit(before) => self.lanes.submits_killed() > *before,
            Target::Source => self.source.spoiled() > 0,
            Target::Slow(index) => {
                let network = self.cluster.network.context("what is slow is there")?;
                network.lost(*index)? > 0
            }
            Target::Clock { index, ahead_s } => {
                let records = self.cluster.swath.workers()?;
                let id = &self.cluster.node(*index)?.id;
                let told = records.iter().find(|record| record.id == *id);
                told.and_then(|record| record.clock).is_some_and(|told_us| {
                    (told_us - now_us() - ahead_s * 1_000_000).abs() < CLOCK_OFF_MAX_US
                })
            }
            Target::Disk { index, logged, .. } => {
                let log = &self.cluster.node(*index)?.log;
                says_full(log, *logged)?
            }
        })
    }

    fn put_right(&mut self, ongoing: &Ongoing) -> Result<()> {
        match &ongoing.target {
            Target::Killed(index) => self.start_worker(*index),
            Target::Stopped(index) => {
                self.signal(*index, "CONT")?;
                self.cluster.node(*index)?.disturbed = false;
                Ok(())
            }
            Target::Draining(index) => {
                if !ongoing.hit {
                    let id = &self.cluster.node(*index)?.id;
                    self.lanes.violation(format!(
                        "{id} was asked to leave and did not within {DRAIN_MAX:?}"
                    ));
                }
                self.start_worker(*index)
            }
            Target::ServerKilled(index) => {
                self.cluster.servers.restart(*index)?;
                self.server_disturbed = false;
                Ok(())
            }
            Target::ServerStopped(index) => {
                self.cluster.servers.signal(*index, "CONT")?;
                self.server_disturbed = false;
                Ok(())
            }
            Target::Cancelled(_) | Target::Submit(_) => Ok(()),
            Target::Source => {
                self.source.behave(Manner::Well);
                self.source_disturbed = false;
                self.lanes.no_more_excuse(ongoing.fault.kind);
                Ok(())
            }
            Target::Disk { index, ballast, .. } => {
                std::fs::remove_file(ballast)?;
                self.cluster.node(*index)?.disturbed = false;
                self.lanes.no_more_excuse(ongoing.fault.kind);
                Ok(())
            }
            Target::Slow(index) => {
                let network = self.cluster.network.context("what is slow is there")?;
                network.restore(*index)?;
                self.cluster.node(*index)?.disturbed = false;
                Ok(())
            }
            Target::Clock { index, .. } => {
                let node = self.cluster.node(*index)?;
                node.disturbed = false;
                clocks::set(&node.clock, 0)
            }
            Target::Cut { index, other } => {
                let network = self.cluster.network.context("what was cut is there")?;
                network.join(Host::Worker(*index), *other)?;
                self.cluster.node(*index)?.disturbed = false;
                Ok(())
            }
        }
    }

    fn start_worker(&mut self, index: usize) -> Result<()> {
        self.cluster.start_worker(index)?;
        self.cluster.node(index)?.disturbed = false;
        Ok(())
    }

    /// Starts workers again that ended by themselves, as whatever keeps services running would do. Only one that found
    /// no broker when it started may.
    pub(super) fn find_deaths(&mut self) -> Result<()> {
        if self.server_disturbed {
            self.server_away = Some(Instant::now());
            return Ok(());
        }
        let was_away = self
            .server_away
            .is_some_and(|at| at.elapsed() < AWAY_NOTICED_MAX);
        for index in 0..self.cluster.nodes.len() {
            let node = self.cluster.node(index)?;
            let Some(process) = node.process.as_mut().filter(|_| !node.disturbed) else {
                continue;
            };
            let Some(status) = process.wait(Duration::ZERO)? else {
                continue;
            };
            if !(was_away && status.code() == Some(BROKER)) {
                let text = format!(
                    "{} ended by itself with {status}, see {}",
                    node.id,
                    node.log.display()
                );
                self.lanes.violation(text);
            }
            self.cluster.start_worker(index)?;
        }
        Ok(())
    }
}

fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

/// Whether a log tells of a full disk behind a position.
fn says_full(log: &Path, from: u64) -> Result<bool> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    Ok(text.contains("no space is left") || text.contains("has no room"))
}
