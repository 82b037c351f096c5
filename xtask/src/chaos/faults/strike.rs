//! How faults begin: who is hit, and how.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Field, IN_PEACE, Target};
use crate::chaos::clocks;
use crate::chaos::cluster::{FLIGHT, WorkerRecord};
use crate::chaos::network::Host;
use crate::chaos::plan::{FaultKind, PlannedFault};
use crate::chaos::servers::Led;
use crate::chaos::source::Manner;

/// What was hit, and what that is in words; `None` when there is nothing to hit now.
type Struck = Result<Option<(Target, String)>>;

impl Field<'_> {
    /// Begins a fault.
    pub(super) fn strike(&mut self, fault: &PlannedFault) -> Struck {
        use FaultKind as Kind;
        match fault.kind {
            Kind::ServerKilled | Kind::ServerStopped | Kind::ServerLeaderKilled => {
                self.strike_server(fault)
            }
            Kind::JobCancelled => self.cancel_a_job(fault),
            Kind::SubmitKilled => Ok(Some(self.kill_a_submit(fault))),
            Kind::SourceRefuses => Ok(self.spoil_source(fault, Manner::Refusing)),
            Kind::SourceStalls => Ok(self.spoil_source(fault, Manner::Stalling)),
            Kind::SourceTruncates => Ok(self.spoil_source(fault, Manner::Truncating)),
            Kind::WorkerKilled
            | Kind::WorkerReplaced
            | Kind::CoordinatorKilled
            | Kind::WorkerStopped
            | Kind::CoordinatorStopped
            | Kind::WorkerDrained
            | Kind::DiskFull
            | Kind::PeersCut
            | Kind::ServerCut
            | Kind::LinkSlow
            | Kind::ClockSet => {
                let Some((index, what)) = self.victim(fault)? else {
                    return Ok(None);
                };
                let (target, how) = self.strike_worker(fault, index)?;
                let id = &self.cluster.node(index)?.id;
                Ok(Some((target, format!("{id} {what}; {how}"))))
            }
        }
    }

    fn strike_server(&mut self, fault: &PlannedFault) -> Struck {
        if self.server_disturbed {
            return Ok(None);
        }
        let servers = &self.cluster.servers;
        let (index, what) = if fault.kind == FaultKind::ServerLeaderKilled {
            let (led, what) = match fault.pick % 2 {
                0 => (Led::Tasks, "which led the stream of tasks"),
                _ => (Led::Servers, "which led the servers"),
            };
            let Some(index) = servers.leader(led)? else {
                return Ok(None);
            };
            (index, what)
        } else {
            let all: Vec<usize> = (0..servers.count()).collect();
            (*picked(&all, fault.pick).context("a server")?, "")
        };
        let name = format!("{} {what}", servers.name(index));
        let name = name.trim_end();
        self.server_disturbed = true;
        let seconds = fault.length.as_secs_f64();
        if fault.kind == FaultKind::ServerStopped {
            self.cluster.servers.signal(index, "STOP")?;
            let text = format!("{name}; goes on after {seconds:.1} s");
            return Ok(Some((Target::ServerStopped(index), text)));
        }
        self.cluster.servers.kill(index)?;
        let text = format!("{name}; back after {seconds:.1} s");
        Ok(Some((Target::ServerKilled(index), text)))
    }

    fn cancel_a_job(&self, fault: &PlannedFault) -> Struck {
        if self.server_disturbed {
            return Ok(None);
        }
        let running = self.lanes.running();
        let Some(job) = picked(&running, fault.pick) else {
            return Ok(None);
        };
        self.lanes.expect_cancel(job);
        self.cluster.swath.run(&["cancel", job])?;
        Ok(Some((Target::Cancelled(job.clone()), job.clone())))
    }

    fn kill_a_submit(&self, fault: &PlannedFault) -> (Target, String) {
        let before = self.lanes.submits_killed();
        self.lanes.kill_a_submit(fault.length);
        let text = format!("{} ms after its start", fault.length.as_millis());
        (Target::Submit(before), text)
    }

    fn spoil_source(&mut self, fault: &PlannedFault, manner: Manner) -> Option<(Target, String)> {
        if self.source_disturbed {
            return None;
        }
        self.source_disturbed = true;
        self.lanes.excuse(fault.kind);
        self.source.behave(manner);
        Some((
            Target::Source,
            format!("for {:.1} s", fault.length.as_secs_f64()),
        ))
    }

    /// Does to a worker what the fault is, and says what that was.
    fn strike_worker(&mut self, fault: &PlannedFault, index: usize) -> Result<(Target, String)> {
        let seconds = fault.length.as_secs_f64();
        Ok(match fault.kind {
            FaultKind::WorkerStopped | FaultKind::CoordinatorStopped => {
                self.signal(index, "STOP")?;
                (
                    Target::Stopped(index),
                    format!("goes on after {seconds:.1} s"),
                )
            }
            FaultKind::WorkerDrained => {
                self.signal(index, "TERM")?;
                (Target::Draining(index), "leaves".to_owned())
            }
            FaultKind::DiskFull => {
                let target = self.fill_disk(index)?;
                (target, format!("free after {seconds:.1} s"))
            }
            FaultKind::LinkSlow => {
                let network = self
                    .cluster
                    .network
                    .context("kinds that need a network are left out without one")?;
                network.slow(index)?;
                self.cluster.node(index)?.disturbed = true;
                (
                    Target::Slow(index),
                    format!("its line is slow for {seconds:.1} s"),
                )
            }
            FaultKind::ClockSet => {
                let ahead_s = clock_offset(fault.pick);
                let node = self.cluster.node(index)?;
                clocks::set(&node.clock, ahead_s)?;
                node.disturbed = true;
                (
                    Target::Clock { index, ahead_s },
                    format!("its clock is set {ahead_s:+} s for {seconds:.1} s"),
                )
            }
            FaultKind::PeersCut => {
                let other = Host::Worker((index + 1) % self.cluster.nodes.len());
                self.cut(index, other, FLIGHT, seconds)?
            }
            FaultKind::ServerCut => {
                self.cut(index, Host::Hub, self.cluster.servers.port(), seconds)?
            }
            _ => {
                let node = self.cluster.node(index)?;
                let process = node.process.take();
                process
                    .context("a worker that is not disturbed runs")?
                    .kill()?;
                node.disturbed = true;
                let mut text = format!("back after {seconds:.1} s");
                if fault.kind == FaultKind::WorkerReplaced {
                    empty(&node.store)?;
                    text.push_str(" with an empty store");
                }
                (Target::Killed(index), text)
            }
        })
    }

    fn fill_disk(&mut self, index: usize) -> Result<Target> {
        self.lanes.excuse(FaultKind::DiskFull);
        let node = self.cluster.node(index)?;
        let logged = node.log.metadata()?.len();
        let ballast = node.store.join("ballast");
        fill(&ballast)?;
        node.disturbed = true;
        Ok(Target::Disk {
            index,
            ballast,
            logged,
        })
    }

    fn cut(
        &mut self,
        index: usize,
        other: Host,
        port: u16,
        seconds: f64,
    ) -> Result<(Target, String)> {
        let network = self
            .cluster
            .network
            .context("kinds that need a network are left out without one")?;
        network.cut(Host::Worker(index), other)?;
        self.cluster.node(index)?.disturbed = true;
        ensure!(
            !network.reaches(Host::Worker(index), other, port)?,
            "the cut of {other:?} lets through"
        );
        let text = format!(
            "cut off from {}, joined after {seconds:.1} s",
            other.address()
        );
        Ok((Target::Cut { index, other }, text))
    }

    /// Chooses a worker that runs tasks or coordinates, as the fault wants it, and says what it was doing. Two workers
    /// are always left in peace, and nobody is chosen while the broker is away, since nobody knows then.
    fn victim(&mut self, fault: &PlannedFault) -> Result<Option<(usize, String)>> {
        let calm = self
            .cluster
            .nodes
            .iter()
            .filter(|node| !node.disturbed)
            .count();
        if self.server_disturbed || calm <= IN_PEACE {
            return Ok(None);
        }
        let wanted = |record: &WorkerRecord| match fault.kind {
            FaultKind::CoordinatorKilled | FaultKind::CoordinatorStopped => {
                !record.coordinates.is_empty()
            }
            _ => record.runs,
        };
        let records = self.cluster.swath.workers()?;
        let calm = |record: &WorkerRecord| {
            self.cluster
                .nodes
                .iter()
                .position(|node| node.id == record.id && !node.disturbed && node.is_known())
        };
        let found: Vec<(usize, String)> = records
            .iter()
            .filter(|record| wanted(record))
            .filter_map(|record| {
                let what = if record.coordinates.is_empty() {
                    "which ran a task".to_owned()
                } else {
                    format!("which coordinated {}", record.coordinates.join(" "))
                };
                Some((calm(record)?, what))
            })
            .collect();
        Ok(picked(&found, fault.pick).cloned())
    }
}

/// Writes a file that takes all the room of its disk.
fn fill(ballast: &Path) -> Result<()> {
    let mut file = File::create(ballast)?;
    // Large steps first: a disk of a gigabyte should be full before the job is over.
    for step in [1 << 20, 1 << 12, 1] {
        let bytes = vec![0; step];
        loop {
            match file.write_all(&bytes) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Removes what is in a folder, which may be a mount and stays.
fn empty(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            std::fs::remove_dir_all(path)?;
        } else {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Returns how many seconds a clock is set ahead: one minute to two hours, or as much back.
fn clock_offset(pick: u64) -> i64 {
    let size = i64::try_from(60 + pick / 2 % 7_140).unwrap_or(60);
    if pick.is_multiple_of(2) { size } else { -size }
}

fn picked<T>(values: &[T], pick: u64) -> Option<&T> {
    let count = u64::try_from(values.len()).ok()?;
    let at = pick.checked_rem(count)?;
    values.get(usize::try_from(at).ok()?)
}
