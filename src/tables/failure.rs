//! What should be done about an error of the engine, or of what it reads and writes.

use swath_tables::{BoxError, sink};

use crate::job::FailureClass;
use crate::{exchange, io::commit};

/// Says why tables could not be read, computed or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Engine(swath_tables::Error),
    #[error(transparent)]
    Zones(swath_tables::zones::ZonesError),
    #[error(transparent)]
    Sink(sink::Error),
    #[error(transparent)]
    Exchange(exchange::Error),
    #[error(transparent)]
    Commit(commit::Error),
    #[error("the planner panicked; that is a bug: simplify the statement, and report it")]
    Planner,
    #[error("a task on tables failed")]
    Other(#[source] BoxError),
}

impl From<swath_tables::Error> for Error {
    fn from(error: swath_tables::Error) -> Self {
        match error {
            // The engine hands back what our own side said.
            swath_tables::Error::Input { source } | swath_tables::Error::Output { source } => {
                source.into()
            }
            error => Self::Engine(error),
        }
    }
}

impl From<BoxError> for Error {
    fn from(error: BoxError) -> Self {
        let error = match error.downcast::<exchange::Error>() {
            Ok(error) => return Self::Exchange(*error),
            Err(error) => error,
        };
        let error = match error.downcast::<commit::Error>() {
            Ok(error) => return Self::Commit(*error),
            Err(error) => error,
        };
        match error.downcast::<sink::Error>() {
            Ok(error) => match *error {
                sink::Error::Write { source } => source.into(),
                error => Self::Sink(error),
            },
            Err(error) => Self::Other(error),
        }
    }
}

impl Error {
    /// Says what should be done. No `_` arm: a new variant must say.
    pub(crate) fn class(&self) -> FailureClass {
        match self {
            Self::Engine(swath_tables::Error::Cancelled) => FailureClass::Cancelled,
            Self::Engine(error) if error.may_pass() => FailureClass::Retry { after_ms: None },
            Self::Zones(error) if error.may_pass() => FailureClass::Retry { after_ms: None },
            Self::Engine(_) | Self::Zones(_) | Self::Sink(_) | Self::Planner => FailureClass::Fatal,
            Self::Exchange(error) => error.class(),
            Self::Commit(error) => error.class(),
            Self::Other(_) => FailureClass::Retry { after_ms: None },
        }
    }

    /// Returns a stable name for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Engine(error) => match error {
                swath_tables::Error::Query { .. } => "query",
                swath_tables::Error::Table { .. } => "table",
                swath_tables::Error::Memory { .. } => "memory",
                swath_tables::Error::Spill { .. } => "spill",
                swath_tables::Error::Cancelled => "cancelled",
                swath_tables::Error::Run { .. }
                | swath_tables::Error::Input { .. }
                | swath_tables::Error::Output { .. } => "fragment",
            },
            Self::Zones(_) => "zones",
            Self::Sink(_) => "output-encode",
            Self::Exchange(error) => error.code(),
            Self::Commit(error) => error.code(),
            Self::Planner => "planner",
            Self::Other(_) => "table-task",
        }
    }
}
