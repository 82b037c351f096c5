//! Sum and mean of the valid cells of a window.

use super::fold::{Scratch, footprints};
use super::footprint::Footprint;
use super::kernel::PanelKernel;
use super::panel::Panel;

/// Adds up the valid cells of each window, in doubles; divides by their number for the mean.
pub(super) struct Sum {
    pub(super) footprint: Footprint,
    pub(super) mean: bool,
    pub(super) scratch: Scratch<f64>,
    pub(super) sums: Vec<f64>,
    pub(super) counts: Vec<f64>,
}

impl Sum {
    pub(super) fn new(footprint: Footprint, mean: bool) -> Self {
        Self {
            footprint,
            mean,
            scratch: Scratch::default(),
            sums: Vec::new(),
            counts: Vec::new(),
        }
    }
}

impl PanelKernel<f64> for Sum {
    fn run(&mut self, panel: &Panel<f64>, out: &mut [f64]) {
        let add = |a, b| a + b;
        let valid = |cell: &f64| if cell.is_nan() { 0.0 } else { *cell };
        self.sums.clear();
        self.sums.extend(panel.cells.iter().map(valid));
        let shape = (&self.footprint, panel.cols);
        footprints(&mut self.sums, &mut self.scratch, shape, add);
        let counted = self.mean && panel.holes;
        self.counts.clear();
        if counted {
            let one = |cell: &f64| if cell.is_nan() { 0.0 } else { 1.0 };
            self.counts.extend(panel.cells.iter().map(one));
            footprints(&mut self.counts, &mut self.scratch, shape, add);
        }
        let cells: usize = self.footprint.reach.iter().map(|reach| 2 * reach + 1).sum();
        let all = if self.mean { cells as f64 } else { 1.0 };
        let width = panel.core_cols();
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            let from = row * panel.cols;
            let sums = self.sums.get(from..from + width).unwrap_or_default();
            let hole = |sum: f64, centre: f64| if centre.is_nan() { f64::NAN } else { sum };
            let cells = sums.iter().zip(panel.core_row(row));
            if counted {
                let counts = self.counts.get(from..from + width).unwrap_or_default();
                for ((out, (sum, centre)), count) in out.iter_mut().zip(cells).zip(counts) {
                    *out = hole(*sum / *count, *centre);
                }
            } else {
                for (out, (sum, centre)) in out.iter_mut().zip(cells) {
                    *out = hole(*sum / all, *centre);
                }
            }
        }
    }
}
