//! What a worker may use.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use super::shares::MemoryShares;
use crate::ids::QueueName;

/// What a worker may use, and how it behaves. The defaults come from the cgroup, else the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerConfig {
    /// Name of the worker; default host name and a random part.
    pub id: Option<String>,
    /// Whose jobs it plans, coordinates and runs; default the queue `default` alone.
    pub queues: Vec<QueueName>,
    /// Tasks that run at once; default one a core, fewer where memory is short.
    pub slots: u32,
    /// Threads of the CPU pool; default as many as slots. More help nothing, fewer make tasks wait.
    pub cores: u32,
    /// All the memory of the worker, in bytes: of the process itself, of stored partitions, of what is in flight
    /// between peers, and of running tasks, which share the rest. Default three quarters of what there is.
    pub memory_bytes: u64,
    /// The part of it for stored partitions, in bytes; further ones go to disk. Default a quarter, at most 256 MiB.
    pub store_memory_bytes: Option<u64>,
    /// Folder for partitions on disk; default the system's folder for temporary files.
    pub store_dir: PathBuf,
    /// Disk for stored partitions and for what tasks spill, in bytes; default 100 GiB.
    pub store_disk_bytes: u64,
    /// Age at which a partition is dropped even if nobody released it; default 24 h.
    pub partition_age: Duration,
    /// How often the worker says that it lives; default 2 s.
    pub heartbeat: Duration,
    /// How long its record lives without a heartbeat; default 6 s.
    pub heartbeat_ttl: Duration,
    /// How long a drain waits for running tasks; default 60 s.
    pub drain_timeout: Duration,
    /// How many workers may take up one try of a task and not end it, before it counts as poison; default 5.
    pub deliveries_max: u64,
    /// Whether this worker also coordinates jobs; default yes.
    pub coordinate: bool,
}

/// Queues that one worker serves at most. It waits at all of them, and gives back what comes from several at once: so few that a
/// message is not given back as often as makes it count as poison.
const QUEUES_MAX: usize = 5;

/// What is assumed when neither cgroup nor machine tells.
const MEMORY_BYTES_UNKNOWN: u64 = 2 << 30;

impl Default for WorkerConfig {
    fn default() -> Self {
        let slots = std::thread::available_parallelism().map_or(1, |n| n.get());
        let memory_bytes = memory_limit_bytes() / 4 * 3;
        let slots = u32::try_from(slots).unwrap_or(1);
        let slots = MemoryShares::slots_that_fit(memory_bytes, slots);
        Self {
            id: None,
            queues: QueueName::only_default(),
            slots,
            cores: slots,
            memory_bytes,
            store_memory_bytes: None,
            store_dir: own_temp_dir(),
            store_disk_bytes: 100 << 30,
            partition_age: Duration::from_secs(24 * 3600),
            heartbeat: Duration::from_secs(2),
            heartbeat_ttl: Duration::from_secs(6),
            drain_timeout: Duration::from_secs(60),
            deliveries_max: 5,
            coordinate: true,
        }
    }
}

/// Returns a folder for temporary files under another name than those of other users of this machine.
fn own_temp_dir() -> PathBuf {
    let folder = std::env::temp_dir();
    // A new file is ours.
    let ours = tempfile::tempfile_in(&folder).and_then(|file| file.metadata());
    match ours {
        Ok(ours) => folder.join(format!("swath-{}", ours.uid())),
        Err(_) => folder,
    }
}

/// Reads the memory limit of the cgroup, else of the machine.
fn memory_limit_bytes() -> u64 {
    let refresh = sysinfo::RefreshKind::nothing()
        .with_memory(sysinfo::MemoryRefreshKind::nothing().with_ram());
    let Ok(system) = sysinfo::System::new_with_specifics(refresh) else {
        return MEMORY_BYTES_UNKNOWN;
    };
    let machine = system.total_memory();
    let limit = system
        .cgroup_limits()
        .map_or(machine, |limits| limits.total_memory.min(machine));
    if limit == 0 {
        MEMORY_BYTES_UNKNOWN
    } else {
        limit
    }
}

/// Says which settings do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nothing can run.
    #[error("a worker needs at least one slot and one core; it has {slots} and {cores}")]
    NoSlots {
        /// Slots.
        slots: u32,
        /// Cores.
        cores: u32,
    },
    /// Too little is left for tasks.
    #[error(
        "--memory {memory_mib} MiB is too little: {store_mib} MiB of it are the store's (--store-memory {store_mib} MiB), {other_mib} MiB the process's and the network's, and the {left_mib} MiB that are left do not suffice for {slots} slots, which need {needed_mib} MiB; raise --memory, or lower --store-memory or --slots"
    )]
    Memory {
        /// The worker's memory.
        memory_mib: u64,
        /// The store's.
        store_mib: u64,
        /// What the process and the network take.
        other_mib: u64,
        /// What is left for tasks.
        left_mib: u64,
        /// How many tasks share it.
        slots: u32,
        /// What they need at least.
        needed_mib: u64,
    },
    /// It would never have anything to do.
    #[error("a worker serves at least one queue, and at most {QUEUES_MAX}; it has {queues}")]
    Queues {
        /// How many it was given.
        queues: usize,
    },
    /// It would be asked, and its slots counted, twice.
    #[error("the queue '{name}' is named twice")]
    QueueTwice {
        /// Its name.
        name: QueueName,
    },
    /// The record would lapse between two heartbeats.
    #[error("heartbeat {heartbeat:?} must be under half of its time to live {ttl:?}")]
    Heartbeat {
        /// Period.
        heartbeat: Duration,
        /// Time to live.
        ttl: Duration,
    },
    /// The name is not an identity.
    #[error("the worker's name cannot be used")]
    Id(#[from] crate::ids::Error),
}

impl WorkerConfig {
    /// Sets how many tasks run at once, and as many threads for them.
    #[must_use]
    pub fn with_max_concurrent_tasks(mut self, tasks: u32) -> Self {
        self.slots = tasks;
        self.cores = tasks;
        self
    }

    /// Sets the memory of the worker, in bytes: [`WorkerConfig::memory_bytes`].
    #[must_use]
    pub fn with_memory_limit(mut self, bytes: u64) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// Sets the number of threads that compute.
    #[must_use]
    pub fn with_num_cores(mut self, cores: u32) -> Self {
        self.cores = cores;
        self
    }

    /// Checks the settings against each other.
    ///
    /// # Errors
    /// When two of them contradict; both values are in the error.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.slots == 0 || self.cores == 0 {
            return Err(ConfigError::NoSlots {
                slots: self.slots,
                cores: self.cores,
            });
        }
        let queues = self.queues.len();
        if queues == 0 || queues > QUEUES_MAX {
            return Err(ConfigError::Queues { queues });
        }
        if let Some((_, name)) = (0..)
            .zip(&self.queues)
            .find(|(n, it)| self.queues.iter().take(*n).any(|other| other == *it))
        {
            return Err(ConfigError::QueueTwice { name: name.clone() });
        }
        if self.heartbeat * 2 > self.heartbeat_ttl {
            return Err(ConfigError::Heartbeat {
                heartbeat: self.heartbeat,
                ttl: self.heartbeat_ttl,
            });
        }
        self.shares()?;
        Ok(())
    }

    /// Says what each part of the worker may use of its memory.
    ///
    /// # Errors
    /// When too little is left for tasks.
    pub fn shares(&self) -> Result<MemoryShares, ConfigError> {
        MemoryShares::of(self)
    }
}
