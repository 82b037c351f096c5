//! What a plan says of a stage that brings rasters onto a grid.

use serde::{Deserialize, Serialize};

use crate::crs::{Definition, SourceGrid};
use crate::grid::{DataType, Window};
use crate::spec::{Combine, WarpMethod};

/// Scenes that are brought onto the output's grid and combined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WarpKernel {
    /// The CRS of the output.
    pub crs: Definition,
    /// Whether a person said which CRS the sources have: then what the files say does not count.
    #[serde(default)]
    pub crs_is_given: bool,
    /// The type of all sources, unless a person said what the output's is to be: headers that were not read to plan may differ.
    #[serde(default)]
    pub source_dtype: Option<DataType>,
    /// The grids of the sources, each once.
    pub grids: Vec<WarpGrid>,
    /// The scenes, the one that wins first: of `last`, from the end.
    pub scenes: Vec<WarpScene>,
    /// How a cell is computed.
    pub method: WarpMethod,
    /// By how many cells of the source a position may be off.
    pub tolerance: f64,
    /// What becomes of the values of a cell.
    pub combine: Combine,
    /// Classes of masks that leave a cell out.
    pub mask_values: Vec<f64>,
    /// Rows of a task's window that are computed at once.
    pub rows_at_once: u32,
}

/// A grid that sources share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WarpGrid {
    /// Where its cells are.
    pub grid: SourceGrid,
    /// How many cells of the output lie on one of its own, across and down.
    pub scale: (f64, f64),
    /// The window of the output outside of which none of its cells lies.
    pub footprint: Window,
}

/// Files that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WarpScene {
    /// The files, in the order of the output's bands.
    pub layers: Vec<WarpLayer>,
    /// One band of classes.
    pub mask: Option<WarpLayer>,
}

/// Bands of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WarpLayer {
    /// Path or URL.
    pub path: String,
    /// Which of the grids it is on.
    pub grid: u32,
    /// The bands, from 1.
    pub bands: Vec<u16>,
    /// The state of the file for which was planned, of a remote one.
    #[serde(default)]
    pub version: Option<u64>,
}

impl WarpKernel {
    /// Returns the kernel with the scenes that may lie in a window of the output, and no other: a task's message names these only.
    #[must_use]
    pub fn within(&self, window: &Window) -> Self {
        let mut numbers = vec![None; self.grids.len()];
        let mut grids = Vec::new();
        let mut scenes = Vec::new();
        for scene in &self.scenes {
            let here = |layer: &WarpLayer| self.touches(layer, window);
            if !scene.layers.iter().any(here) {
                continue;
            }
            let mut scene = scene.clone();
            for layer in scene.layers.iter_mut().chain(&mut scene.mask) {
                let at = layer.grid as usize;
                if let (Some(number), Some(grid)) = (numbers.get_mut(at), self.grids.get(at)) {
                    layer.grid = *number.get_or_insert_with(|| {
                        grids.push(grid.clone());
                        u32::try_from(grids.len() - 1).unwrap_or(u32::MAX)
                    });
                }
            }
            scenes.push(scene);
        }
        Self {
            grids,
            scenes,
            ..self.without_scenes()
        }
    }

    /// Returns the kernel without any scene, as stages know it that do not read them.
    #[must_use]
    pub fn without_scenes(&self) -> Self {
        Self {
            crs: self.crs.clone(),
            grids: Vec::new(),
            scenes: Vec::new(),
            mask_values: self.mask_values.clone(),
            ..*self
        }
    }

    /// Counts the scenes that may lie in a window.
    #[must_use]
    pub fn count_within(&self, window: &Window) -> usize {
        let here = |scene: &&WarpScene| {
            let mut layers = scene.layers.iter();
            layers.any(|layer| self.touches(layer, window))
        };
        self.scenes.iter().filter(here).count()
    }

    fn touches(&self, layer: &WarpLayer, window: &Window) -> bool {
        self.grids
            .get(layer.grid as usize)
            .is_some_and(|grid| grid.footprint.intersection(window).is_some())
    }

    /// Describes it for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let what = match (self.scenes.len(), self.combine) {
            (0 | 1, _) => "reproject".to_owned(),
            (scenes, combine) => format!("{} of {scenes} scenes", combine.name()),
        };
        format!("{what} ({})", self.method)
    }
}
