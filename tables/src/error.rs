//! Why a query cannot be planned or a fragment cannot be run.

use datafusion::error::DataFusionError;

use crate::ports::BoxError;
use crate::run::SpillError;

/// Says why a query cannot be planned, or a fragment not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The statement, or a name in it, is wrong.
    #[error("the query cannot be planned")]
    Query {
        /// What is wrong.
        source: Box<DataFusionError>,
    },
    /// The files of a table cannot be found or read.
    #[error("table {name} cannot be read")]
    Table {
        /// The table's name in the query.
        name: String,
        /// What is wrong.
        source: Box<crate::source::Error>,
    },
    /// A partition could not be read.
    #[error("an input of the task could not be read")]
    Input {
        /// The error of [`crate::Inputs`].
        source: BoxError,
    },
    /// A partition could not be written.
    #[error("an output of the task could not be written")]
    Output {
        /// The error of [`crate::Outputs`].
        source: BoxError,
    },
    /// The memory of the task does not suffice, however finely it is split.
    #[error("the task's memory does not suffice; give workers a higher --memory")]
    Memory {
        /// What DataFusion said.
        source: Box<DataFusionError>,
    },
    /// The operators could not spill.
    #[error(
        "the task spills what does not fit its memory, and the disk has no room for it; free some there, or start the worker with a higher --store-disk, another --store-dir or a higher --memory"
    )]
    Spill {
        /// What is full.
        source: SpillError,
    },
    /// The task was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// Anything else that DataFusion says.
    #[error("the task's fragment failed")]
    Run {
        /// What it said.
        source: Box<DataFusionError>,
    },
}

impl Error {
    /// Tells whether another try may go better. What an input or output said is for its own side to judge.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Table { source, .. } => source.may_pass(),
            Self::Query { source } | Self::Run { source } => may_pass(source.find_root()),
            Self::Input { .. } | Self::Output { .. } | Self::Memory { .. } | Self::Spill { .. } => {
                true
            }
            Self::Cancelled => false,
        }
    }
}

fn may_pass(root: &DataFusionError) -> bool {
    match root {
        DataFusionError::ObjectStore(error) => !matches!(
            **error,
            object_store::Error::NotFound { .. }
                | object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. }
        ),
        DataFusionError::IoError(_)
        | DataFusionError::ResourcesExhausted(_)
        | DataFusionError::ExecutionJoin(_) => true,
        // Wrong values, wrong files, wrong statements: they stay wrong.
        _ => false,
    }
}
