//! Logs of jobs, and streams that follow them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::{self, Stream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::lock;
use super::memory_of_ids::RecentIds;
use crate::broker::{Error, LogRecord};
use crate::ids::JobId;
use crate::time::Timestamp;

/// The records of one job, in order of their sequences.
pub(super) type Log = Arc<Mutex<Vec<LogRecord>>>;

/// The logs of all jobs; sequences grow across all of them.
#[derive(Debug)]
pub(super) struct Logs {
    next_sequence: u64,
    latest: Timestamp,
    ids: RecentIds,
    logs: BTreeMap<JobId, (Log, watch::Sender<()>)>,
}

impl Logs {
    pub(super) fn new(duplicate_window: Duration) -> Self {
        Self {
            next_sequence: 1,
            latest: Timestamp::default(),
            ids: RecentIds::new(duplicate_window),
            logs: BTreeMap::new(),
        }
    }

    pub(super) fn append(&mut self, job: &JobId, id: Option<String>, payload: Bytes) {
        let now = Instant::now();
        if let Some(id) = id {
            let id = format!("{job}/{id}");
            if self.ids.contains(&id, now) {
                return;
            }
            self.ids.insert(id, now);
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        // A clock that is set back does not make the log go back.
        let at = Timestamp::from_system(SystemTime::now()).max(self.latest);
        self.latest = at;
        let (log, changed) = self.entry(job);
        lock(log).push(LogRecord {
            sequence,
            at,
            payload,
        });
        changed.send_replace(());
    }

    fn entry(&mut self, job: &JobId) -> &(Log, watch::Sender<()>) {
        self.logs
            .entry(job.clone())
            .or_insert_with(|| (Log::default(), watch::Sender::new(())))
    }

    pub(super) fn open(&mut self, job: &JobId) -> (Log, watch::Receiver<()>) {
        let (log, changed) = self.entry(job);
        (log.clone(), changed.subscribe())
    }

    pub(super) fn read(&self, job: &JobId) -> Vec<LogRecord> {
        self.logs
            .get(job)
            .map_or_else(Vec::new, |(log, _)| lock(log).clone())
    }

    pub(super) fn jobs(&self) -> Vec<JobId> {
        let with_records = self
            .logs
            .iter()
            .filter(|(_, (log, _))| !lock(log).is_empty());
        with_records.map(|(job, _)| job.clone()).collect()
    }

    /// Empties a log; those who follow it go on and see what is appended later.
    pub(super) fn forget(&mut self, job: &JobId) {
        if let Some((log, changed)) = self.logs.get(job) {
            lock(log).clear();
            if changed.receiver_count() == 0 {
                self.logs.remove(job);
            }
        }
    }
}

/// Follows a log from its first record; ends when the broker is gone.
pub(super) fn follow(
    log: Log,
    changed: watch::Receiver<()>,
) -> impl Stream<Item = Result<LogRecord, Error>> {
    let start = (log, changed, 0, VecDeque::<LogRecord>::new());
    stream::unfold(
        start,
        |(log, mut changed, mut seen, mut batch)| async move {
            loop {
                if let Some(record) = batch.pop_front() {
                    return Some((Ok(record), (log, changed, seen, batch)));
                }
                changed.borrow_and_update();
                batch.extend(later_than(&log, seen));
                match batch.back() {
                    Some(last) => seen = last.sequence,
                    None => changed.changed().await.ok()?,
                }
            }
        },
    )
}

fn later_than(log: &Log, seen: u64) -> Vec<LogRecord> {
    let records = lock(log);
    let first = records.partition_point(|record| record.sequence <= seen);
    records.get(first..).unwrap_or_default().to_vec()
}
