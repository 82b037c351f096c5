//! The virtual worker: what it holds, and what it runs.

use std::collections::BTreeMap;

use super::broker::Message;
use crate::ids::{ExecutionId, Incarnation, WorkerId, WorkerRef};

/// Runs that a worker does at once.
pub(super) const SLOTS: usize = 2;

/// One run of a message.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) queued: u64,
    pub(super) message: Message,
    pub(super) execution: ExecutionId,
}

pub(super) struct Worker {
    pub(super) me: WorkerRef,
    pub(super) up: bool,
    pub(super) paused: bool,
    /// Whether it takes no new message, and goes soon.
    pub(super) leaving: bool,
    pub(super) partitions: BTreeMap<ExecutionId, u64>,
    pub(super) running: BTreeMap<ExecutionId, Run>,
    /// Runs that ended while it stood still.
    pub(super) late: Vec<ExecutionId>,
}

impl Worker {
    pub(super) fn new(number: usize, incarnation: u64) -> Self {
        Self {
            me: WorkerRef {
                id: WorkerId::new(format!("w{number}")).unwrap(),
                incarnation: Incarnation(incarnation),
                flight: String::new(),
            },
            up: true,
            paused: false,
            leaving: false,
            partitions: BTreeMap::new(),
            running: BTreeMap::new(),
            late: Vec::new(),
        }
    }

    /// Ends this life with all it held; the next one has another incarnation.
    pub(super) fn end_life(&mut self, incarnation: u64) {
        self.me.incarnation = Incarnation(incarnation);
        self.paused = false;
        self.leaving = false;
        self.partitions.clear();
        self.running.clear();
        self.late.clear();
    }

    /// Tells whether this life of it goes on.
    pub(super) fn lives(&self, incarnation: Incarnation) -> bool {
        self.up && self.me.incarnation == incarnation
    }
}
