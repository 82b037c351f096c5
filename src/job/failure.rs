//! Why something did not succeed, and what should be done about it.

use serde::{Deserialize, Serialize};

use crate::exchange::PartitionAddress;

/// Bytes of a message that are recorded at most.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

/// What should be done about a failure. No `_` arm: a new class must say what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureClass {
    /// The same task may succeed later: try again after a wait. Charged to the task.
    Retry {
        /// The shortest wait that the source asked for (`Retry-After`), in milliseconds.
        after_ms: Option<u64>,
    },
    /// An input partition is gone: make it again, then run the reader again. Not charged.
    InputLost(Box<PartitionAddress>),
    /// The worker could not go on (drained, shut down): run the task elsewhere. Not charged.
    WorkerGone,
    /// No try can succeed: the job fails at once.
    Fatal,
    /// The try took longer than the task timeout. Charged to the task, which is dead once its attempts are used up.
    Timeout,
    /// The operation panicked. Charged to the task, which is dead once its attempts are used up.
    Panic,
    /// The task killed several workers or cannot be decoded: it is dead at once.
    Poison,
    /// The job was cancelled while the task ran.
    Cancelled,
}

/// A failure: what to do for the program, and what happened for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What should be done.
    pub class: FailureClass,
    /// A stable name for programs, such as `source-not-found`.
    pub code: String,
    /// What failed and why, causes included, in one short paragraph.
    pub message: String,
}

impl Failure {
    /// Makes a failure from a class, a code and an error with its causes.
    #[must_use]
    pub fn of(class: FailureClass, code: &str, error: &dyn std::error::Error) -> Self {
        Self {
            class,
            code: code.to_owned(),
            message: chain(error),
        }
    }

    /// Cuts a message that would not fit into a record: what a panic prints may be of any length.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        if self.message.len() > MESSAGE_BYTES_MAX {
            let all = self.message.len();
            let end = self.message.floor_char_boundary(MESSAGE_BYTES_MAX);
            self.message.truncate(end);
            self.message
                .push_str(&format!("… (the first {end} of {all} bytes)"));
        }
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Writes an error and its causes as one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_any_length_fits_into_a_record() {
        let failure = |message: String| Failure {
            class: FailureClass::Panic,
            code: "panic".to_owned(),
            message,
        };
        // Three bytes a character: the limit falls into one.
        let long = failure("€".repeat(1 << 20)).shortened().message;
        assert!(long.len() < MESSAGE_BYTES_MAX + 100, "{}", long.len());
        assert!(long.ends_with("€… (the first 16383 of 3145728 bytes)"));
        let short = failure("€".repeat(5_461));
        assert_eq!(short.clone().shortened(), short);
    }
}
