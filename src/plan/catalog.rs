//! Facts about the inputs of a job, read once by the coordinator.

use std::collections::BTreeMap;

use super::stage::FragmentRows;
use crate::crs::Definition;
use crate::grid::profile::{RasterFacts, RasterProfile};
use crate::grid::{Affine, Crs};
use crate::spec::{
    Composite, Convolve, Focal, JobSpec, OutputKind, SceneLayer, StatedGrid, TaskOperation, Terrain,
};

/// Facts about inputs, by path.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    /// What is known of each raster.
    pub rasters: BTreeMap<String, RasterFacts>,
    /// How the query is cut, for operations on tables; the relational engine says so.
    pub query: Option<Vec<QueryStage>>,
    /// What is known of the polygons, for zonal statistics.
    pub zones: Option<ZoneFacts>,
}

/// What is known of the polygons of zonal statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneFacts {
    /// Number of zones.
    pub zones: u64,
    /// Number of windows (see [`super::zonal::window_grid`]) that any of them touches.
    pub windows: u32,
    /// Bytes that the sides of the zones take, each in every window that it touches.
    pub side_bytes: u64,
    /// The names of their attributes.
    pub columns: Vec<String>,
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

impl Catalog {
    /// Adds the facts of files whose headers need not be read: the catalogue that lists the scenes says where their cells are, and
    /// the rest is as in the first scene.
    pub fn add_stated(&mut self, spec: &JobSpec) {
        let TaskOperation::Composite(composite) = &spec.operation else {
            return;
        };
        for (layer, model) in layers(composite) {
            let (Some((grid, crs)), Some(model)) = (stated(layer), model) else {
                continue;
            };
            let Some(facts) = self.rasters.get(&model.path) else {
                continue;
            };
            let profile = RasterProfile {
                width: grid.width,
                height: grid.height,
                crs,
                transform: Some(Affine(grid.transform)),
                ..facts.profile.clone()
            };
            let facts = RasterFacts {
                profile,
                version: None,
                ..facts.clone()
            };
            self.rasters.entry(layer.path.clone()).or_insert(facts);
        }
    }
}

/// Lists the layers of all scenes, each with the one of the first scene in the same place.
fn layers(composite: &Composite) -> impl Iterator<Item = (&SceneLayer, Option<&SceneLayer>)> {
    let first = composite.scenes.first();
    composite.scenes.iter().flat_map(move |scene| {
        let model = move |number: usize| first.and_then(|first| first.layers.get(number));
        let layers = scene.layers.iter().enumerate();
        let masks = scene.mask.iter();
        layers
            .map(move |(number, layer)| (layer, model(number)))
            .chain(masks.map(move |mask| (mask, first.and_then(|first| first.mask.as_ref()))))
    })
}

/// Returns what a catalogue says of a layer, when it can be used.
fn stated(layer: &SceneLayer) -> Option<(&StatedGrid, Crs)> {
    let grid = layer.grid.as_ref()?;
    let (crs, _) = Definition::parse(&grid.crs).ok()?;
    let has_cells = grid.width > 0 && grid.height > 0;
    let usable = has_cells && Affine(grid.transform).inverse().is_some();
    usable.then_some((grid, crs))
}

/// Lists the rasters whose headers must be read to plan, each once.
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
            let unknown = |(layer, model): &(&SceneLayer, Option<&SceneLayer>)| {
                let is_model = model.is_some_and(|model| model.path == layer.path);
                is_model || model.is_none() || stated(layer).is_none()
            };
            let layers = layers(composite).filter(unknown);
            layers.map(|(layer, _)| layer.path.as_str()).collect()
        }
        TaskOperation::ZonalStats(zonal) => vec![zonal.raster.as_str()],
        operation => {
            debug_assert_ne!(operation.output_kind(), OutputKind::Raster);
            Vec::new()
        }
    };
    paths.sort_unstable();
    paths.dedup();
    paths
}
