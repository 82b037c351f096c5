//! An operation on neighbourhoods with its parameters, and how it runs over a block.

use serde::{Deserialize, Serialize};

use super::convolve::Convolve;
use super::extreme::Extreme;
use super::footprint::Footprint;
use super::median::Median;
use super::panel::{Panel, Real};
use super::spread::Spread;
use super::store::{self, Band};
use super::sum::Sum;
use super::terrain::{CellSize, Relief};
use super::weights::Weights;
use super::{Error, SIZE_MAX};
use crate::grid::{Block, DataType, HaloBlock, Window};
use crate::spec::{FocalShape, FocalStatistic, TerrainProduct};

/// An operation on the cells around each cell, band by band, as many bands out as in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FocalKernel {
    /// Relief of elevations.
    Terrain {
        /// What is computed.
        product: TerrainProduct,
        /// The ground size of a cell.
        cell: CellSize,
        /// Whether cells at the edge of the raster and beside cells without data get a value.
        compute_edges: bool,
    },
    /// A statistic of a window.
    Statistic {
        /// The statistic.
        statistic: FocalStatistic,
        /// Cells along the edge of the window.
        size: u32,
        /// Which of them count.
        shape: FocalShape,
    },
    /// A weighted sum.
    Convolve {
        /// The weights.
        weights: Weights,
        /// Whether it is divided by the weights of the valid cells.
        normalize: bool,
    },
}

impl std::fmt::Display for FocalKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Terrain {
                product,
                cell,
                compute_edges,
            } => {
                let edges = if *compute_edges { " with edges" } else { "" };
                let size = format_args!("{} × {}", cell.east, cell.south.abs());
                write!(f, "{}{edges}, cells of {size}", product.name())
            }
            Self::Statistic {
                statistic,
                size,
                shape,
            } => {
                let shape = match shape {
                    FocalShape::Square => "",
                    FocalShape::Circle => ", a circle",
                };
                write!(f, "{} of {size} × {size} cells{shape}", statistic.name())
            }
            Self::Convolve { weights, normalize } => {
                let (rows, cols) = (weights.rows().len(), weights.cols());
                let normal = if *normalize { "normalised " } else { "" };
                write!(f, "{normal}convolution by {rows} × {cols} weights")
            }
        }
    }
}

/// Something that computes the core of a panel, row by row; NaN where there is no value.
pub(super) trait PanelKernel<T> {
    fn run(&mut self, panel: &Panel<T>, out: &mut [f64]);
}

impl FocalKernel {
    /// Checks the parameters, and that an output of this type can hold the result.
    ///
    /// # Errors
    /// When a parameter is out of its range, or the type cannot say "no data".
    pub fn check(&self, dtype: DataType, nodata: Option<f64>) -> Result<(), Error> {
        store::check(dtype, nodata)?;
        match self {
            Self::Terrain {
                product,
                cell,
                compute_edges,
            } => Relief::new(product, *cell, *compute_edges).map(drop),
            Self::Statistic { size, shape, .. } => Footprint::new(*size, *shape).map(drop),
            Self::Convolve { weights, normalize } => {
                let sum: f64 = weights.rows().iter().flatten().sum();
                if *normalize && sum == 0.0 {
                    return Err(Error::KernelSum);
                }
                Ok(())
            }
        }
    }

    /// Returns how many cells around a cell its result depends on.
    #[must_use]
    pub fn halo(&self) -> u32 {
        match self {
            Self::Terrain { .. } => 1,
            Self::Statistic { size, .. } => size.min(&SIZE_MAX) / 2,
            Self::Convolve { weights, .. } => u32::try_from(weights.radius()).unwrap_or(u32::MAX),
        }
    }

    /// Returns the bytes that a run holds beside its block and its output, at most.
    #[must_use]
    pub fn scratch_bytes(&self) -> u64 {
        let (cols, rows) = panel_size(self.halo());
        let halo = u64::from(self.halo()) * 2;
        let cells = (u64::from(cols) + halo) * (u64::from(rows) + halo);
        let cell_bytes = match self {
            Self::Terrain { .. } => 16,
            Self::Convolve { .. } => 24,
            Self::Statistic { statistic, .. } => match statistic {
                FocalStatistic::Sum | FocalStatistic::Min | FocalStatistic::Max => 48,
                FocalStatistic::Mean | FocalStatistic::Median => 56,
                FocalStatistic::Std => 136,
            },
        };
        cells * cell_bytes
    }

    /// Computes the core of a block.
    ///
    /// - `from`: one or more bands with a halo of [`FocalKernel::halo`] cells or more, less where the raster ends.
    /// - Returns as many bands of `dtype`, the core's cells. Math is in doubles and rounded once, to the nearest float, or to the
    ///   nearest integer with halves away from zero, clamped to the range. Where there is no value, or none that is finite, a
    ///   cell is `nodata`, or NaN in a float band without one.
    /// - `go_on` is asked before each panel.
    ///
    /// # Errors
    /// As [`FocalKernel::check`]; when the block lacks the halo; [`Error::Stopped`] when `go_on` says no.
    pub fn run(
        &self,
        from: &HaloBlock,
        dtype: DataType,
        nodata: Option<f64>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Block, Error> {
        self.check(dtype, nodata)?;
        let input = from
            .block
            .bands
            .first()
            .map_or(DataType::UInt8, |band| band.dtype());
        // Singles hold each sample of these types exactly, and twice as many fit in a register.
        let single = input.bytes() < 4 || input == DataType::Float32;
        let mut run = Run {
            from,
            halo: self.halo(),
            output: (dtype, nodata),
            go_on,
        };
        match self {
            Self::Terrain {
                product,
                cell,
                compute_edges,
            } => run.bands(&mut Relief::new(product, *cell, *compute_edges)?),
            Self::Convolve { weights, normalize } => {
                run.bands(&mut Convolve::new(weights, *normalize))
            }
            Self::Statistic {
                statistic,
                size,
                shape,
            } => {
                let footprint = Footprint::new(*size, *shape)?;
                match statistic {
                    FocalStatistic::Sum => run.bands(&mut Sum::new(footprint, false)),
                    FocalStatistic::Mean => run.bands(&mut Sum::new(footprint, true)),
                    FocalStatistic::Std => run.bands(&mut Spread::new(footprint)),
                    FocalStatistic::Median if single => {
                        run.bands(&mut Median::<f32>::new(footprint))
                    }
                    FocalStatistic::Median => run.bands(&mut Median::<f64>::new(footprint)),
                    extreme => {
                        let largest = *extreme == FocalStatistic::Max;
                        if single {
                            run.bands(&mut Extreme::<f32>::new(footprint, largest))
                        } else {
                            run.bands(&mut Extreme::<f64>::new(footprint, largest))
                        }
                    }
                }
            }
        }
    }
}

/// Returns the columns and rows of a panel's core: what fits in a cache, and not too little beside a large halo.
fn panel_size(halo: u32) -> (u32, u32) {
    (
        halo.saturating_mul(2).max(256),
        halo.saturating_mul(3).max(64),
    )
}

/// One block on its way through a kernel.
struct Run<'a> {
    from: &'a HaloBlock,
    halo: u32,
    output: (DataType, Option<f64>),
    go_on: &'a mut dyn FnMut() -> bool,
}

impl Run<'_> {
    fn bands<T: Real>(&mut self, kernel: &mut dyn PanelKernel<T>) -> Result<Block, Error> {
        let HaloBlock { block, core, .. } = self.from;
        self.check_halo()?;
        let (dtype, nodata) = self.output;
        let mut panel = Panel::new(self.halo);
        let mut values = Vec::new();
        let mut bands = Vec::with_capacity(block.bands.len());
        let (across, down) = panel_size(self.halo);
        for samples in &block.bands {
            let mut band = Band::new(dtype, nodata, (core.cols, core.rows))?;
            for row in (0..core.rows).step_by(down as usize) {
                for col in (0..core.cols).step_by(across as usize) {
                    if !(self.go_on)() {
                        return Err(Error::Stopped);
                    }
                    let part = Window {
                        col,
                        row,
                        cols: across.min(core.cols - col),
                        rows: down.min(core.rows - row),
                    };
                    let in_block = Window {
                        col: core.col + col,
                        row: core.row + row,
                        ..part
                    };
                    panel.read(self.from, samples, in_block)?;
                    values.clear();
                    values.resize(panel.core_cols() * panel.core_rows(), f64::NAN);
                    kernel.run(&panel, &mut values);
                    band.put(part, &values);
                }
            }
            bands.push(band.samples);
        }
        Ok(Block {
            cols: core.cols,
            rows: core.rows,
            bands,
            nodata,
            mask: None,
        })
    }

    /// Checks that the core lies in the block, and that on each side there is the halo, or the raster's end.
    fn check_halo(&self) -> Result<(), Error> {
        let HaloBlock { block, core, edges } = self.from;
        let whole = Window::whole(block.cols, block.rows);
        let bug = |what| Error::Block {
            cols: block.cols,
            rows: block.rows,
            what,
        };
        if core.cells() > 0 && whole.intersection(core) != Some(*core) {
            return Err(bug("its core is not in it"));
        }
        let enough = (edges.left || core.col >= self.halo)
            && (edges.top || core.row >= self.halo)
            && (edges.right || block.cols - core.col_end() >= self.halo)
            && (edges.bottom || block.rows - core.row_end() >= self.halo);
        if enough {
            Ok(())
        } else {
            Err(bug("its halo is too narrow"))
        }
    }
}
