//! Convolution with any kernel.

use super::kernel::PanelKernel;
use super::panel::Panel;
use super::weights::Weights;

/// Computes the weighted sum of the cells around each cell, in doubles.
///
/// The weights lie on the raster as they are written, the middle one on the cell: the kernel is not turned round, as in
/// GDAL and in `scipy.ndimage.correlate`. A weight of 0 does not look at its cell.
///
/// - Plain: no value where the centre, or any cell with a weight, is no data or outside the raster.
/// - Normalised: the sum over the valid cells, divided by the sum of *their* weights; no value where the centre is no
///   data, or that sum is 0.
pub(super) struct Convolve {
    /// Row and column in the panel, from the window's corner, and weight.
    taps: Vec<(usize, usize, f64)>,
    normalize: bool,
    weights: Vec<f64>,
}

impl Convolve {
    pub(super) fn new(kernel: &Weights, normalize: bool) -> Self {
        let radius = kernel.radius();
        let (down, across) = (radius - kernel.rows().len() / 2, radius - kernel.cols() / 2);
        let mut taps = Vec::new();
        for (row, weights) in kernel.rows().iter().enumerate() {
            for (col, weight) in weights.iter().enumerate() {
                if *weight != 0.0 {
                    taps.push((down + row, across + col, *weight));
                }
            }
        }
        Self {
            taps,
            normalize,
            weights: Vec::new(),
        }
    }
}

impl PanelKernel<f64> for Convolve {
    fn run(&mut self, panel: &Panel<f64>, out: &mut [f64]) {
        let width = panel.core_cols();
        let counted = self.normalize && panel.holes;
        let all: f64 = self.taps.iter().map(|(_, _, weight)| weight).sum();
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            out.fill(0.0);
            self.weights.clear();
            self.weights.resize(width, 0.0);
            for (down, across, weight) in &self.taps {
                let cells = panel.row(row + down);
                let cells = cells.get(*across..across + width).unwrap_or_default();
                if counted {
                    let sums = out.iter_mut().zip(&mut self.weights).zip(cells);
                    for ((sum, total), cell) in sums {
                        let hole = cell.is_nan();
                        *sum += if hole { 0.0 } else { *weight * *cell };
                        *total += if hole { 0.0 } else { *weight };
                    }
                } else {
                    let sums = out.iter_mut().zip(cells);
                    sums.for_each(|(sum, cell)| *sum += *weight * *cell);
                }
            }
            let cells = out.iter_mut().zip(&self.weights).zip(panel.core_row(row));
            for ((sum, total), centre) in cells {
                let value = match (self.normalize, counted) {
                    (false, _) => *sum,
                    (true, false) => *sum / all,
                    (true, true) => *sum / *total,
                };
                *sum = if centre.is_nan() { f64::NAN } else { value };
            }
        }
    }
}
