//! Facts about the inputs of a job, read once by the coordinator.

use std::collections::BTreeMap;

use super::stage::FragmentRows;
use crate::grid::profile::RasterFacts;
use crate::spec::{Convolve, Focal, JobSpec, OutputKind, Scene, TaskOperation, Terrain};

/// Facts about inputs, by path.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    /// What is known of each raster.
    pub rasters: BTreeMap<String, RasterFacts>,
    /// How the query is cut, for operations on tables; the relational engine says so.
    pub query: Option<Vec<QueryStage>>,
}

/// What a query is planned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// How many tasks the cluster runs at once, as far as is known: a query has at least as many, when there is enough
    /// to do.
    pub slots: u32,
    /// Memory of one task, in bytes, where it is known.
    pub task_bytes: Option<u64>,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            slots: 1,
            task_bytes: None,
        }
    }
}

/// One stage of a query, as the relational engine cut it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryStage {
    /// A word or two for tables, such as `scan navaids`.
    pub name: String,
    /// Number of tasks.
    pub tasks: u32,
    /// The stages behind the exchanges that the fragment reads.
    pub inputs: Vec<u32>,
    /// The encoded fragment.
    pub fragment: bytes::Bytes,
    /// What becomes of the rows; [`None`] for those of the result.
    pub rows: Option<FragmentRows>,
    /// Bytes that the stage writes, estimated.
    pub output_bytes: u64,
    /// The operators, a line each.
    pub details: Vec<String>,
}

/// Lists the rasters whose facts the planner needs, each once.
#[must_use]
pub fn raster_paths(spec: &JobSpec) -> Vec<&str> {
    let mut paths: Vec<&str> = match &spec.operation {
        TaskOperation::Index { inputs, .. } | TaskOperation::Calc { inputs, .. } => {
            inputs.iter().map(|input| input.path.as_str()).collect()
        }
        TaskOperation::Convert { input }
        | TaskOperation::Terrain(Terrain { input, .. })
        | TaskOperation::Focal(Focal { input, .. })
        | TaskOperation::Convolve(Convolve { input, .. }) => vec![input.as_str()],
        TaskOperation::Reproject(reproject) => vec![reproject.input.as_str()],
        TaskOperation::Composite(composite) => {
            let layers = composite.scenes.iter().flat_map(Scene::files);
            layers.map(|layer| layer.path.as_str()).collect()
        }
        operation => {
            debug_assert_ne!(operation.output_kind(), OutputKind::Raster);
            Vec::new()
        }
    };
    paths.sort_unstable();
    paths.dedup();
    paths
}
