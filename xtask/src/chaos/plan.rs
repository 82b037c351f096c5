//! Which faults fire, in which order, how far apart and for how long: all from the seed.

use std::time::Duration;

use clap::ValueEnum;

use super::random::Random;

/// What can be done to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum FaultKind {
    /// SIGKILL of a worker that runs a task; it comes back with its store's folder as it was
    WorkerKilled,
    /// The same, and it comes back with an empty folder
    WorkerReplaced,
    /// SIGKILL of a worker that coordinates a job
    CoordinatorKilled,
    /// SIGSTOP of a worker that runs a task, for longer than its leases
    WorkerStopped,
    /// SIGSTOP of a worker that coordinates a job, for longer than its leases
    CoordinatorStopped,
    /// SIGTERM of a worker: it finishes what runs and leaves
    WorkerDrained,
    /// SIGKILL of nats-server; it comes back on the same store
    ServerKilled,
    /// SIGSTOP of nats-server: connections stay and nothing answers
    ServerStopped,
    /// SIGKILL of the nats-server that leads the stream of tasks, or the servers, of three; it comes back on the same store
    ServerLeaderKilled,
    /// `swath cancel` of a running job, then `swath retry`
    JobCancelled,
    /// SIGKILL of `swath submit`, then the same submit again
    SubmitKilled,
    /// The server of a scene answers 503
    SourceRefuses,
    /// The server of a scene sends half of what was asked for, and then nothing
    SourceStalls,
    /// The server of a scene sends half of what was asked for, and closes the connection
    SourceTruncates,
    /// The disk of a worker's store is full
    DiskFull,
    /// Two workers do not reach each other
    PeersCut,
    /// A worker does not reach nats-server
    ServerCut,
    /// The line of a worker is slow and loses what it has no room for
    LinkSlow,
    /// The wall clock of a worker is set, up to two hours off, and back
    ClockSet,
}

/// What not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Workers whose clocks can be set.
    Clocks,
    /// Lines that can be made slow.
    SlowLines,
}

impl Need {
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Clocks => "Debian's libfaketime",
            Self::SlowLines => "tc, and a kernel with its token bucket (sch_tbf)",
        }
    }
}

impl FaultKind {
    pub(super) fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// Whether it needs mounts and networks of the run's own.
    pub(super) fn needs_isolation(self) -> bool {
        matches!(
            self,
            Self::DiskFull | Self::PeersCut | Self::ServerCut | Self::LinkSlow | Self::ClockSet
        )
    }

    /// Whether it needs three servers.
    pub(super) fn needs_servers(self) -> bool {
        self == Self::ServerLeaderKilled
    }

    /// What it needs beside that, if anything.
    pub(super) fn needs(self) -> Option<Need> {
        match self {
            Self::ClockSet => Some(Need::Clocks),
            Self::LinkSlow => Some(Need::SlowLines),
            _ => None,
        }
    }

    /// How long a fault of this kind lasts, in milliseconds.
    fn length_ms(self) -> (u64, u64) {
        match self {
            // Leases are 10 s.
            Self::WorkerStopped | Self::CoordinatorStopped => (12_000, 16_000),
            Self::ServerKilled | Self::ServerStopped => (1_000, 5_000),
            // An election takes some seconds.
            Self::ServerLeaderKilled => (2_000, 10_000),
            Self::WorkerKilled | Self::WorkerReplaced | Self::CoordinatorKilled => (500, 8_000),
            // These end when what they disturb has taken notice.
            Self::WorkerDrained | Self::JobCancelled => (0, 0),
            // How long the submit may run before it is killed.
            Self::SubmitKilled => (5, 120),
            Self::SourceRefuses | Self::SourceTruncates => (1_000, 6_000),
            // Clients give up after 30 s without a byte.
            Self::SourceStalls => (2_000, 35_000),
            Self::DiskFull => (3_000, 8_000),
            // Shorter and longer than leases.
            Self::PeersCut | Self::ServerCut | Self::LinkSlow | Self::ClockSet => (2_000, 20_000),
        }
    }
}

/// A fault as the seed has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedFault {
    /// 1 for the first.
    pub(super) number: usize,
    pub(super) kind: FaultKind,
    /// Time since the fault before it began.
    pub(super) gap: Duration,
    pub(super) length: Duration,
    /// Chooses among those that the fault may hit.
    pub(super) pick: u64,
}

/// An endless sequence of faults, in rounds that hold every kind once.
#[derive(Debug, Clone)]
pub(super) struct FaultPlan {
    random: Random,
    kinds: Vec<FaultKind>,
    round: Vec<FaultKind>,
    number: usize,
}

impl FaultPlan {
    pub(super) fn new(seed: u64, kinds: &[FaultKind]) -> Self {
        Self {
            random: Random::new(seed),
            kinds: kinds.to_vec(),
            round: Vec::new(),
            number: 0,
        }
    }

    pub(super) fn kinds(&self) -> &[FaultKind] {
        &self.kinds
    }
}

impl Iterator for FaultPlan {
    type Item = PlannedFault;

    fn next(&mut self) -> Option<PlannedFault> {
        if self.round.is_empty() {
            self.round = self.random.shuffled(&self.kinds);
        }
        let kind = self.round.pop()?;
        self.number += 1;
        let (least, most) = kind.length_ms();
        Some(PlannedFault {
            number: self.number,
            kind,
            gap: Duration::from_millis(self.random.between(1_000, 7_000)),
            length: Duration::from_millis(self.random.between(least, most)),
            pick: self.random.next(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn first(seed: u64, count: usize) -> Vec<PlannedFault> {
        FaultPlan::new(seed, FaultKind::value_variants())
            .take(count)
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_seed_another() {
        assert_eq!(first(7, 100), first(7, 100));
        assert_ne!(first(7, 100), first(8, 100));
    }

    #[test]
    fn every_round_has_every_kind() {
        let kinds: BTreeSet<_> = FaultKind::value_variants().iter().copied().collect();
        for round in first(3, 5 * kinds.len()).chunks(kinds.len()) {
            assert_eq!(
                round
                    .iter()
                    .map(|fault| fault.kind)
                    .collect::<BTreeSet<_>>(),
                kinds
            );
        }
    }

    #[test]
    fn a_stop_outlasts_the_lease() {
        let lease = Duration::from_secs(10);
        let stops = first(1, 500).into_iter().filter(|fault| {
            matches!(
                fault.kind,
                FaultKind::WorkerStopped | FaultKind::CoordinatorStopped
            )
        });
        assert!(
            stops
                .map(|fault| fault.length)
                .min()
                .is_some_and(|shortest| shortest > lease)
        );
    }

    #[test]
    fn without_kinds_there_is_no_fault() {
        assert_eq!(FaultPlan::new(1, &[]).next(), None);
    }
}
