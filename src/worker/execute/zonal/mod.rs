//! Zonal statistics: the polygons' task, a window's task, the merge of a range of zones.
//!
//! Memory: the polygons' task holds a batch of them; a window's task its samples, its sides and the values of one zone in
//! it; a merge the partial statistics of its range, and of its values as many as [`runs`] allows: the rest waits on disk,
//! sorted.

mod merge;
mod rows;
mod runs;
mod window;
mod zones;

use std::sync::Arc;

use super::{Done, Error as TaskError, Executor};
use crate::job::FailureClass;
use crate::ops::TaskContext;
use crate::ops::zonal::ReferenceError;
use crate::plan::stage::{ZonalRole, ZonalStage};
use crate::wire::InputStage;

/// Says why a task of zonal statistics did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    #[error(
        "the zones changed while the job ran: {what}; submit it again, with files that stay as they are"
    )]
    Changed { what: &'static str },
    #[error(
        "zone {zone} has more different values than 'categories' lists (65,536); it is for classes: leave it out, or ask for variety"
    )]
    Categories { zone: u32 },
    #[error("values that wait on disk could not be written or read")]
    Spill(#[from] std::io::Error),
}

impl Error {
    /// Says what should be done. No `_` arm: a new variant must say.
    pub(crate) fn class(&self) -> FailureClass {
        match self {
            Self::Reference(_) | Self::Changed { .. } | Self::Categories { .. } => {
                FailureClass::Fatal
            }
            Self::Spill(_) => FailureClass::Retry { after_ms: None },
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Reference(_) => "zones-crs",
            Self::Changed { .. } => "zones-changed",
            Self::Categories { .. } => "categories",
            Self::Spill(_) => "spill",
        }
    }
}

impl Executor {
    pub(super) async fn run_zonal(
        &self,
        role: ZonalRole,
        stage: Arc<ZonalStage>,
        inputs: Vec<InputStage>,
        context: TaskContext,
    ) -> Result<Done, TaskError> {
        match role {
            ZonalRole::Zones => self.run_zones(stage, context).await,
            ZonalRole::Window => self.run_window(stage, inputs, context).await,
            ZonalRole::Merge => self.run_merge(stage, inputs, context).await,
        }
    }
}
