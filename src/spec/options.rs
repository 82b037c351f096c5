//! How to run a job.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::QueueName;

/// Which jobs go first when workers are few.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others.
    High,
    /// The default.
    #[default]
    Normal,
    /// When nothing else waits.
    Low,
}

impl Priority {
    /// Every priority, the most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// Returns the name as the command line spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

/// How a task that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// Tries of one task that may fail by the task's own fault before the job fails; at least 1. Default 4.
    pub max_attempts: u32,
    /// Wait before the second try; doubles with each further one. Default 500 ms.
    pub base_ms: u64,
    /// The longest wait. Default 60 s.
    pub max_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            base_ms: 500,
            max_ms: 60_000,
        }
    }
}

/// When a task that takes far longer than its peers gets a second run beside the first; the first success counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Speculation {
    /// Whether at all; default yes.
    pub enabled: bool,
    /// Share of a stage's tasks, 0 to 1, that must be done first. Default 0.75.
    pub quantile: f64,
    /// How many times as long as the median of those a run must have taken. Default 3.
    pub factor: f64,
    /// How long a run must have taken at least. Default 2 s.
    pub least_ms: u64,
}

impl Default for Speculation {
    fn default() -> Self {
        Self {
            enabled: true,
            quantile: 0.75,
            factor: 3.0,
            least_ms: 2_000,
        }
    }
}

/// The longest that one try of a task may run when neither its job nor its operation says: far longer than a task should be
/// cut to run, and short enough that one that is stuck is seen to be.
pub const TASK_TIMEOUT: Duration = Duration::from_secs(3_600);
/// The same of a task that puts a job's output together: it moves all of it.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);

/// How to run a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct JobOptions {
    /// Which workers plan, coordinate and run it; default those that serve the queue `default`.
    #[serde(skip_serializing_if = "QueueName::is_default")]
    pub queue: QueueName,
    /// Which jobs go first.
    pub priority: Priority,
    /// How a task that failed is tried again; default as its operation says, else [`RetryPolicy::default`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// The longest that one try of a task may run, 0 for no limit; default as its operation says, else [`TASK_TIMEOUT`], and
    /// [`COMMIT_TIMEOUT`] for the task that puts the output together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_timeout_ms: Option<u64>,
    /// The longest that the job may take from its submit, or from when it may begin, to its end; default no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// When a slow task gets a second run.
    pub speculation: Speculation,
}

impl JobOptions {
    /// Returns the longest that one try of a task may run, when it would be `default` for want of a word; `None` is no limit.
    #[must_use]
    pub fn task_timeout(&self, default: Duration) -> Option<Duration> {
        match self.task_timeout_ms {
            None => Some(default),
            Some(0) => None,
            Some(limit_ms) => Some(Duration::from_millis(limit_ms)),
        }
    }
}
