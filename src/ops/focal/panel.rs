//! A panel: a part of a block, with its halo, as floats that a kernel's loops run over.

use super::Error;
use crate::for_samples;
use crate::grid::halo::Edges;
use crate::grid::{HaloBlock, Samples, Window};
use crate::ops::local::calc::cell::Cell;

/// A float that panels are made of: single where that holds every sample of a type exactly, else double.
pub(super) trait Real: Copy + PartialOrd + Send + Sync + 'static {
    const NAN: Self;
    const ZERO: Self;
    const INFINITY: Self;
    const NEG_INFINITY: Self;

    fn is_nan(self) -> bool;
    fn to_f64(self) -> f64;
    fn read<T: Cell>(cell: T) -> Self;
}

impl Real for f32 {
    const NAN: Self = Self::NAN;
    const ZERO: Self = 0.0;
    const INFINITY: Self = Self::INFINITY;
    const NEG_INFINITY: Self = Self::NEG_INFINITY;

    fn is_nan(self) -> bool {
        self.is_nan()
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn read<T: Cell>(cell: T) -> Self {
        // Adding 0 makes +0 of −0.
        cell.to_f64() as Self + 0.0
    }
}

impl Real for f64 {
    const NAN: Self = Self::NAN;
    const ZERO: Self = 0.0;
    const INFINITY: Self = Self::INFINITY;
    const NEG_INFINITY: Self = Self::NEG_INFINITY;

    fn is_nan(self) -> bool {
        self.is_nan()
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn read<T: Cell>(cell: T) -> Self {
        cell.to_f64() + 0.0
    }
}

/// Cells of one band with `halo` cells around the core on every side; NaN where there is no data, or no raster.
#[derive(Debug, Clone)]
pub(super) struct Panel<T> {
    /// Columns, halo included.
    pub(super) cols: usize,
    /// Rows, halo included.
    pub(super) rows: usize,
    pub(super) halo: usize,
    /// Row by row.
    pub(super) cells: Vec<T>,
    /// Whether any cell is NaN.
    pub(super) holes: bool,
    /// The sides on which the raster ends where the panel's core does.
    pub(super) edges: Edges,
}

impl<T: Real> Panel<T> {
    /// Makes a panel to read into.
    pub(super) fn new(halo: u32) -> Self {
        let edges = Edges {
            top: false,
            bottom: false,
            left: false,
            right: false,
        };
        Self {
            cols: 0,
            rows: 0,
            halo: halo as usize,
            cells: Vec::new(),
            holes: false,
            edges,
        }
    }

    /// Returns the columns of the core.
    pub(super) fn core_cols(&self) -> usize {
        self.cols - 2 * self.halo
    }

    /// Returns the rows of the core.
    pub(super) fn core_rows(&self) -> usize {
        self.rows - 2 * self.halo
    }

    /// Returns a row, counted from the first of the halo.
    pub(super) fn row(&self, row: usize) -> &[T] {
        let from = row * self.cols;
        self.cells.get(from..from + self.cols).unwrap_or_default()
    }

    /// Returns the core's cells of a row of the core.
    pub(super) fn core_row(&self, row: usize) -> &[T] {
        let cells = self.row(row + self.halo);
        cells
            .get(self.halo..self.halo + self.core_cols())
            .unwrap_or_default()
    }

    /// Reads the cells of `core` (counted from the upper left of the block, a part of the block's own core) and around it.
    pub(super) fn read(
        &mut self,
        from: &HaloBlock,
        band: &Samples,
        core: Window,
    ) -> Result<(), Error> {
        let block = &from.block;
        self.cols = core.cols as usize + 2 * self.halo;
        self.rows = core.rows as usize + 2 * self.halo;
        self.cells.clear();
        self.cells.resize(self.cols * self.rows, T::NAN);
        self.edges = Edges {
            top: from.edges.top && core.row == 0,
            bottom: from.edges.bottom && core.row_end() == block.rows,
            left: from.edges.left && core.col == 0,
            right: from.edges.right && core.col_end() == block.cols,
        };
        let halo = u32::try_from(self.halo).unwrap_or(u32::MAX);
        let there = core.with_halo(halo, &Window::whole(block.cols, block.rows));
        // Cells of the panel before the first one that the block has.
        let skip_cols = self.halo - (core.col - there.col) as usize;
        let skip_rows = self.halo - (core.row - there.row) as usize;
        let short = |what| Error::Block {
            cols: block.cols,
            rows: block.rows,
            what,
        };
        let block_cols = block.cols as usize;
        for row in 0..there.rows as usize {
            let start = (there.row as usize + row) * block_cols + there.col as usize;
            let range = start..start + there.cols as usize;
            let into = (skip_rows + row) * self.cols + skip_cols;
            let into = self
                .cells
                .get_mut(into..into + there.cols as usize)
                .ok_or_else(|| short("a panel beyond its own end"))?;
            for_samples!(band, cells => {
                let cells = cells.get(range.clone()).ok_or_else(|| short("a band with fewer cells"))?;
                load(cells, block.nodata, into);
            });
            if let Some(mask) = &block.mask {
                let mask = mask
                    .get(range)
                    .ok_or_else(|| short("a mask with fewer cells"))?;
                let masked = into.iter_mut().zip(mask).filter(|(_, valid)| !**valid);
                masked.for_each(|(cell, _)| *cell = T::NAN);
            }
        }
        self.holes = self.cells.iter().fold(false, |any, c| any | c.is_nan());
        Ok(())
    }
}

/// Turns samples into floats: NaN where they are no data.
fn load<S: Cell, T: Real>(cells: &[S], nodata: Option<f64>, out: &mut [T]) {
    match nodata.and_then(S::nodata) {
        Some(nodata) => (out.iter_mut().zip(cells)).for_each(|(out, cell)| {
            *out = if *cell == nodata {
                T::NAN
            } else {
                T::read(*cell)
            };
        }),
        None => (out.iter_mut().zip(cells)).for_each(|(out, cell)| *out = T::read(*cell)),
    }
}
