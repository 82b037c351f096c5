//! Identities, checked when built, so that no raw string reaches a path or a subject.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest name accepted for a job or a worker, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Says why a string is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The string is empty.
    #[error("{kind} is empty; give 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 _ -")]
    Empty {
        /// What was being named.
        kind: &'static str,
    },
    /// The string is longer than [`NAME_BYTES_MAX`].
    #[error("{kind} '{name}' is longer than {NAME_BYTES_MAX} bytes")]
    TooLong {
        /// What was being named.
        kind: &'static str,
        /// The start of the string refused.
        name: String,
    },
    /// The string holds a character that could change a path or a subject.
    #[error("{kind} '{name}' holds {character:?}; only A-Z a-z 0-9 _ - are allowed")]
    Character {
        /// What was being named.
        kind: &'static str,
        /// The string refused.
        name: String,
        /// The first character refused.
        character: char,
    },
}

fn check(kind: &'static str, name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::Empty { kind });
    }
    if name.len() > NAME_BYTES_MAX {
        let name = name.chars().take(NAME_BYTES_MAX).collect();
        return Err(Error::TooLong { kind, name });
    }
    match name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || *c == '_' || *c == '-'))
    {
        Some(character) => Err(Error::Character {
            kind,
            name: name.to_owned(),
            character,
        }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// Checks `name` and makes it an identity.
            ///
            /// # Errors
            /// When it is empty, too long, or holds anything but `A-Z a-z 0-9 _ -`.
            pub fn new(name: impl AsRef<str>) -> Result<Self, Error> {
                check($kind, name.as_ref())?;
                Ok(Self(name.as_ref().into()))
            }

            /// Returns the checked name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;
            fn try_from(name: String) -> Result<Self, Error> {
                Self::new(name)
            }
        }

        impl std::str::FromStr for $type {
            type Err = Error;
            fn from_str(name: &str) -> Result<Self, Error> {
                Self::new(name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name! {
    /// Names a job, for its whole life and in every place.
    JobId, "job id"
}
name! {
    /// Names a worker; two lives of one worker share it and differ in their [`Incarnation`].
    WorkerId, "worker id"
}
name! {
    /// Names an operation of a task queue, built in or registered by a program.
    OperationName, "operation name"
}
name! {
    /// Names a queue of jobs: those workers that serve it plan, coordinate and run its jobs, and no others.
    QueueName, "queue name"
}

impl QueueName {
    const DEFAULT: &str = "default";

    /// Tells whether it is the queue of jobs that name none, and of workers that name none.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.as_str() == Self::DEFAULT
    }

    /// Tells whether there is only the default queue in a list.
    #[must_use]
    pub fn is_only_default(names: &[Self]) -> bool {
        names.iter().all(Self::is_default)
    }

    /// Makes the list of a worker that names none.
    #[must_use]
    pub fn only_default() -> Vec<Self> {
        vec![Self::default()]
    }
}

impl Default for QueueName {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $type:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $type(pub $inner);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Numbers a stage in its plan, from 0; a stage reads only stages of lower numbers.
    StageId, u32
}
number! {
    /// Numbers the tries of one task, from 0, whether or not a try was charged to the task.
    Attempt, u32
}
number! {
    /// Names one run of one attempt; drawn at random by the worker, so that no two runs share a path.
    ExecutionId, u64
}
number! {
    /// Tells two lives of one worker apart; drawn at random at start.
    Incarnation, u64
}

/// Names a task of a job: its stage, and its number in the stage.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct TaskId {
    /// The stage.
    pub stage: StageId,
    /// The number in the stage, from 0.
    pub index: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stage, self.index)
    }
}

/// Names a dead letter: `job.stage.index` of a task, or `message.digits` of a message that names none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LetterId {
    /// That of a task.
    Task(JobId, TaskId),
    /// That of a message that cannot be read, by a sum of its bytes.
    Message(u64),
}

/// Says why a string is not the id of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not the id of a dead letter; `swath dead list` shows those there are")]
pub struct NoLetterId(String);

impl LetterId {
    /// Returns the job of the task, when it is the letter of one.
    #[must_use]
    pub const fn job(&self) -> Option<&JobId> {
        match self {
            Self::Task(job, _) => Some(job),
            Self::Message(_) => None,
        }
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(job, task) => write!(f, "{job}.{}.{}", task.stage, task.index),
            Self::Message(sum) => write!(f, "message.{sum:016x}"),
        }
    }
}

impl std::str::FromStr for LetterId {
    type Err = NoLetterId;

    fn from_str(name: &str) -> Result<Self, NoLetterId> {
        let parts: Vec<&str> = name.split('.').collect();
        let id = match parts.as_slice() {
            [job, stage, index] => (|| {
                let stage = StageId(stage.parse().ok()?);
                let index = index.parse().ok()?;
                Some(Self::Task(JobId::new(job).ok()?, TaskId { stage, index }))
            })(),
            ["message", sum] => u64::from_str_radix(sum, 16).ok().map(Self::Message),
            _ => None,
        };
        id.ok_or_else(|| NoLetterId(name.to_owned()))
    }
}

impl TryFrom<String> for LetterId {
    type Error = NoLetterId;
    fn try_from(name: String) -> Result<Self, NoLetterId> {
        name.parse()
    }
}

impl From<LetterId> for String {
    fn from(id: LetterId) -> Self {
        id.to_string()
    }
}

/// Names one life of one worker and says where its partitions are served.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkerRef {
    /// The worker.
    pub id: WorkerId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// `host:port` of its Flight server as peers reach it; empty when it serves only its own process.
    pub flight: String,
}

impl fmt::Display for WorkerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_change_a_path_or_a_subject_is_refused() {
        for name in [
            "",
            "a/b",
            "..",
            "a.b",
            "a b",
            "*",
            ">",
            "ä",
            &"x".repeat(65),
        ] {
            assert!(JobId::new(name).is_err(), "{name:?} was accepted");
        }
        for name in ["a", "A-1_b", &"x".repeat(64)] {
            assert!(JobId::new(name).is_ok(), "{name:?} was refused");
        }
    }

    #[test]
    fn the_id_of_a_letter_is_read_as_it_is_written() {
        let task = TaskId {
            stage: StageId(2),
            index: 70,
        };
        for (id, written) in [
            (
                LetterId::Task(JobId::new("message").unwrap(), task),
                "message.2.70",
            ),
            (LetterId::Message(0xab), "message.00000000000000ab"),
        ] {
            assert_eq!(id.to_string(), written);
            assert_eq!(written.parse(), Ok(id));
        }
        for name in ["", "a", "a.1", "a.1.2.3", "a.1.-2", "*.1.2", "message.xyz"] {
            assert!(name.parse::<LetterId>().is_err(), "{name:?} was accepted");
        }
    }

    #[test]
    fn an_unchecked_name_is_refused_when_decoded() {
        assert!(serde_json::from_str::<JobId>("\"a/b\"").is_err());
        assert!(serde_json::from_str::<JobId>("\"ab\"").is_ok());
    }
}
