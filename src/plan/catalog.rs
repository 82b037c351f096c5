//! Facts about the inputs of a job, read once by the coordinator.

use std::collections::BTreeMap;

use crate::grid::profile::RasterFacts;
use crate::spec::{JobSpec, TaskOperation};

/// Facts about inputs, by path.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    /// What is known of each raster.
    pub rasters: BTreeMap<String, RasterFacts>,
}

/// Lists the rasters whose facts the planner needs, each once.
#[must_use]
pub fn raster_paths(spec: &JobSpec) -> Vec<&str> {
    let mut paths: Vec<&str> = match &spec.operation {
        TaskOperation::Index { inputs, .. } | TaskOperation::Calc { inputs, .. } => {
            inputs.iter().map(|input| input.path.as_str()).collect()
        }
        TaskOperation::Convert { input } => vec![input.as_str()],
        TaskOperation::Custom { .. } => Vec::new(),
    };
    paths.sort_unstable();
    paths.dedup();
    paths
}
