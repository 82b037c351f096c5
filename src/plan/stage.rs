//! A plan: stages of tasks that are numbers, not records.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::warp::WarpKernel;
use crate::grid::Look;
use crate::grid::profile::RasterProfile;
use crate::grid::pyramid::PyramidLayout;
use crate::ids::{OperationName, StageId};
use crate::job::{Payload, StageShape};
use crate::ops::focal::FocalKernel;
use crate::spec::{Compression, Resampling, TableOutput, ZonalStats};

/// What a job's tasks do, stage after stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The stages; a stage reads only stages before it.
    pub stages: Vec<Stage>,
}

/// Tasks that do the same to different parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// A word for tables, such as `ndvi` or `commit`.
    pub name: String,
    /// What each task does.
    pub work: StageWork,
    /// Number of tasks.
    pub tasks: u32,
    /// The stages whose winners the tasks read.
    pub inputs: Vec<StageId>,
    /// Memory that one task needs at most.
    pub memory_bytes: u64,
    /// Bytes that the stage stores, estimated.
    pub output_bytes: u64,
    /// More about the work, a line each, for people.
    #[serde(default)]
    pub details: Vec<String>,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StageWork {
    /// Calls an operation with the parameters of the task's number.
    Custom {
        /// The operation.
        operation: OperationName,
    },
    /// Computes one window of a raster, its tiles of the first levels and its patch.
    Raster(Arc<RasterStage>),
    /// Computes one window of higher overview levels from the patches of the stage below.
    Overviews {
        /// The raster.
        raster: Arc<RasterStage>,
        /// Which group of its layout.
        group: u32,
    },
    /// Computes zonal statistics, or a part of the work for them.
    Zonal(ZonalRole, Arc<ZonalStage>),
    /// Runs a fragment of a query over one partition.
    Fragment(Arc<FragmentStage>),
    /// Streams the encoded parts of a table into its file, or folder of files, and commits it.
    CommitTable(Arc<TableOutput>),
    /// Streams the tiles of all stages into one file and commits it.
    Commit {
        /// The raster.
        raster: Arc<RasterStage>,
        /// Where it goes.
        path: String,
        /// Whether an existing file may be replaced.
        overwrite: bool,
    },
}

/// How a raster is computed and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RasterStage {
    /// The files read and the bands of each, in the order in which the kernel sees the bands.
    pub sources: Vec<SourceBands>,
    /// What is computed.
    pub kernel: KernelSpec,
    /// The raster that comes out.
    pub output: RasterProfile,
    /// Its tiles, levels and windows.
    pub layout: PyramidLayout,
    /// How its tiles are stored.
    pub compression: Compression,
    /// How its overviews are made.
    pub resampling: Resampling,
}

/// What the tasks of a stage of zonal statistics do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ZonalRole {
    /// Reads the polygons: hands their sides to the windows that they touch, their attributes to the merges.
    Zones,
    /// Reads one window of the raster: partial statistics of each zone in it, dealt out by zone.
    Window,
    /// Merges the partial statistics of a range of zones, and encodes its rows of the result.
    Merge,
}

/// Zonal statistics, as all their stages know them.
///
/// The polygons' task stores partitions 0 to `windows` − 1 (sides) and then `ranges` more (attributes). A window's task
/// stores partitions 0 to `ranges` − 1 (sums and extremes) and, when values are needed, `ranges` more (values).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZonalStage {
    /// What was asked for.
    pub spec: ZonalStats,
    /// Columns and rows of a window.
    pub window: (u32, u32),
    /// Number of windows that zones touch, in the order in which the zones first touch them.
    pub windows: u32,
    /// Number of zones.
    pub zones: u32,
    /// Zones that one task merges, at most.
    pub zones_per_range: u32,
    /// Number of tasks that merge.
    pub ranges: u32,
    /// Where the result goes.
    pub output: TableOutput,
    /// The state of the raster for which was planned, of a remote one.
    #[serde(default)]
    pub version: Option<u64>,
}

/// A fragment of a query, and what becomes of its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FragmentStage {
    /// The encoded physical plan.
    pub fragment: Payload,
    /// How the rows are spread over the partitions of a run.
    pub rows: FragmentRows,
}

/// What becomes of the rows of a fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FragmentRows {
    /// By the hash of keys, into so many partitions.
    Hash(u32),
    /// Sorted runs in chunks, as many as it takes; a table of them comes first.
    Sorted,
    /// One partition.
    Whole,
    /// The result, encoded for its file.
    Result(TableOutput),
}

/// A file, and the bands that are read from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBands {
    /// Path or URL.
    pub path: String,
    /// The bands, from 1.
    pub bands: Vec<u16>,
    /// The state of the file for which was planned, of a remote one.
    #[serde(default)]
    pub version: Option<u64>,
}

/// What is computed from the bands of the sources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum KernelSpec {
    /// Every band as it is.
    Copy,
    /// Every band of the one source: an operation on the cells around each cell.
    Focal(FocalKernel),
    /// Scenes brought onto the output's grid and combined; they stand here, not among the sources.
    Warp(Arc<WarpKernel>),
    /// Every band, with its look, and in another type or with opacity where that is asked for.
    Convert(Arc<Conversion>),
    /// A band an expression of the source bands by name.
    Calc {
        /// The expressions, in the order of the output's bands.
        #[serde(alias = "expression", with = "crate::spec::one_or_many")]
        expressions: Vec<String>,
        /// The name of each source band, in their order.
        names: Vec<String>,
        /// Every sample is multiplied by this first.
        scale: f64,
        /// Then this is added.
        offset: f64,
        /// What the output says that its bands are, in their order.
        #[serde(default)]
        descriptions: Vec<String>,
    },
}

impl KernelSpec {
    /// Returns the bytes that the kernel holds beside its blocks, beyond what any kernel does.
    #[must_use]
    pub fn scratch_bytes(&self) -> u64 {
        match self {
            Self::Focal(kernel) => kernel.scratch_bytes(),
            Self::Copy | Self::Convert(_) | Self::Calc { .. } | Self::Warp(_) => 0,
        }
    }

    /// Returns how many cells around a cell its result depends on: what a task reads beyond its window, on each side.
    #[must_use]
    pub fn halo(&self) -> u32 {
        match self {
            Self::Focal(kernel) => kernel.halo(),
            Self::Copy | Self::Convert(_) | Self::Calc { .. } | Self::Warp(_) => 0,
        }
    }
}

/// What is kept, and what is added, when a raster is converted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversion {
    /// How the output is to be shown.
    pub look: Look,
    /// Whether the internal mask becomes one more band, of opacity.
    pub mask_to_alpha: bool,
}

impl RasterStage {
    /// Returns the band of opacity (from 0) by which means of overviews are made.
    #[must_use]
    pub fn alpha(&self) -> Option<usize> {
        match &self.kernel {
            KernelSpec::Convert(conversion) if self.resampling == Resampling::Average => {
                conversion.look.alpha()
            }
            _ => None,
        }
    }

    /// Returns how the raster is to be shown.
    #[must_use]
    pub fn look(&self) -> Look {
        match &self.kernel {
            KernelSpec::Convert(conversion) => conversion.look.clone(),
            KernelSpec::Calc { descriptions, .. } => Look::described(descriptions),
            KernelSpec::Copy | KernelSpec::Focal(_) | KernelSpec::Warp(_) => Look::default(),
        }
    }
}

impl StageWork {
    /// Returns what one task must know: of the scenes of a warp, those that lie in its window.
    #[must_use]
    pub fn for_task(&self, index: u32) -> Self {
        if let Self::Raster(raster) = self
            && let KernelSpec::Warp(kernel) = &raster.kernel
            && let Some(group) = raster.layout.groups.first()
            && let Some(window) = raster.layout.window(group, index)
        {
            return Self::Raster(Arc::new(RasterStage {
                kernel: KernelSpec::Warp(Arc::new(kernel.within(&window))),
                ..RasterStage::clone(raster)
            }));
        }
        self.clone()
    }
}

impl Plan {
    /// Returns what the job machine must know.
    #[must_use]
    pub fn shapes(&self) -> Vec<StageShape> {
        let shape = |stage: &Stage| StageShape {
            name: stage.name.clone(),
            tasks: stage.tasks,
            inputs: stage.inputs.clone(),
        };
        self.stages.iter().map(shape).collect()
    }

    /// Returns which tasks of which stages a task reads, in the order in which it reads them.
    #[must_use]
    pub fn task_inputs(&self, stage: StageId, index: u32) -> Vec<(StageId, Vec<u32>)> {
        let Some(this) = self.stages.get(stage.0 as usize) else {
            return Vec::new();
        };
        let all = |input: &StageId| {
            let tasks = self
                .stages
                .get(input.0 as usize)
                .map_or(0, |stage| stage.tasks);
            (*input, (0..tasks).collect())
        };
        match &this.work {
            StageWork::Overviews { raster, group } => this
                .inputs
                .iter()
                .map(|input| (*input, raster.layout.feeders(*group as usize, index)))
                .collect(),
            StageWork::Custom { .. }
            | StageWork::Raster(_)
            | StageWork::Zonal(..)
            | StageWork::Fragment(_)
            | StageWork::CommitTable(_)
            | StageWork::Commit { .. } => this.inputs.iter().map(all).collect(),
        }
    }
}
