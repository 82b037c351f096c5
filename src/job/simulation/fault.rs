//! What can go wrong in the simulated world, counted, so that a test can tell that each of it did.

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Fault { $($(#[$doc])* $name),* }
        impl Fault {
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

faults! {
    /// A run failed and may succeed later.
    Retry,
    /// A run took too long.
    Timeout,
    /// A run panicked.
    Panic,
    /// A run failed for good.
    Fatal,
    /// A run was found to kill workers.
    Poison,
    /// A worker gave a run up.
    WorkerGone,
    /// A run stopped as cancelled, of a job that was not.
    StrayCancelled,
    /// A run did not find an input.
    InputLost,
    /// A live worker dropped a partition and did not know.
    Evicted,
    /// The clock by which records are stamped jumped: another server leads the log.
    StampsJumped,
    /// A record was appended twice.
    AppendTwice,
    /// A record was lost with the worker that had sent it.
    AppendLost,
    /// A message was delivered to two workers at once.
    DeliverTwice,
    /// The lease of a live worker was not extended.
    LeaseLapsed,
    /// A worker settled a message that another one had been given.
    LateSettle,
    /// The broker took a message for one it knew.
    Deduplicated,
    /// The broker had forgotten a message's id, and took it again.
    PublishedTwice,
    /// A coordinator carried out a command twice.
    CommandTwice,
    /// A coordinator died between its commands.
    CoordinatorDied,
    /// A coordinator gave the job back in good order.
    GaveBack,
    /// The job killed a coordinator that planned it.
    PlanKilled,
    /// So many died of the job that it was given up.
    PoisonJob,
    /// A coordinator slept and went on with an old view of the log.
    CoordinatorSlept,
    /// Two coordinators drove the job at once.
    TwoCoordinators,
    /// A coordinator could make no message for a reader, since an input was being made again.
    PublishSkipped,
    /// A worker died with its partitions and its runs.
    WorkerDied,
    /// A worker died between its record and its settle.
    DiedBeforeSettle,
    /// A worker stood still and then went on.
    WorkerPaused,
    /// A worker left, and handed what it held over to another one.
    HandedOver,
    /// What had been handed over was gone, or its record came too late.
    HandOverInVain,
    /// A worker that lived was said to be lost.
    FalselyLost,
    /// A worker reported as a life that was known to be over.
    ZombieReport,
    /// Nobody noticed that a worker was lost.
    NoticeLost,
    /// A second run of a task ended well.
    SecondSuccess,
    /// A second run of the commit found the first one's.
    SecondCommit,
    /// The number of slots changed.
    CapacityChanged,
    /// A task was given up.
    TaskDied,
    /// A second run of an attempt was asked for beside a slow one.
    Doubled,
    /// A run was stopped since another one had ended well.
    LoserStopped,
    /// A coordinator buried a task that was buried before.
    BuriedTwice,
    /// A run of a task that was given up ended well.
    DeadTaskEndedWell,
    /// Others went on after a task had been given up.
    WentOnWithoutDead,
    /// A job failed only because tasks had been given up.
    DeadEnd,
    /// The job was cancelled.
    Cancelled,
    /// The deadline passed.
    Deadline,
    /// A job that had failed was retried.
    RetriedFailed,
    /// A job that was cancelled was retried.
    RetriedCancelled,
    /// A retried job succeeded.
    RetriedSucceeded,
    /// A coordinator of an earlier life of the job recorded that life's end.
    StaleEnd,
    /// A coordinator of an earlier life of the job recorded that the deadline had passed.
    StaleDeadline,
    /// A run of an earlier life of the job ended well in a later one.
    StaleSuccess,
    /// The job could not be planned.
    PlanFailed,
    /// A try to plan failed, and may succeed later.
    PlanTried,
    /// A job was planned after a try to plan it had failed.
    PlannedAtLast,
    /// The plan could not end.
    PlanMalformed,
    /// The job was planned twice.
    PlannedTwice,
    /// The commit was visible although the job then failed or was cancelled.
    CommittedAndFailed,
}

/// How often each fault happened.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Counts([u64; Fault::ALL.len()]);

impl Counts {
    pub(super) const fn new() -> Self {
        Self([0; Fault::ALL.len()])
    }

    pub(super) fn hit(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    pub(super) fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}
