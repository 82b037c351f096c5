//! Smallest and largest valid cell of a window.

use super::fold::{Scratch, footprints};
use super::footprint::Footprint;
use super::kernel::PanelKernel;
use super::panel::{Panel, Real};

/// Finds the smallest (or largest) valid cell of each window.
pub(super) struct Extreme<T> {
    footprint: Footprint,
    largest: bool,
    scratch: Scratch<T>,
    found: Vec<T>,
}

impl<T> Extreme<T> {
    pub(super) fn new(footprint: Footprint, largest: bool) -> Self {
        Self {
            footprint,
            largest,
            scratch: Scratch::default(),
            found: Vec::new(),
        }
    }
}

impl<T: Real> PanelKernel<T> for Extreme<T> {
    fn run(&mut self, panel: &Panel<T>, out: &mut [f64]) {
        // No data never wins; where nothing else is, the centre has no data either.
        let never = if self.largest {
            T::NEG_INFINITY
        } else {
            T::INFINITY
        };
        let valid = |cell: &T| if cell.is_nan() { never } else { *cell };
        self.found.clear();
        self.found.extend(panel.cells.iter().map(valid));
        let shape = (&self.footprint, panel.cols);
        if self.largest {
            let larger = |a, b| if b > a { b } else { a };
            footprints(&mut self.found, &mut self.scratch, shape, larger);
        } else {
            let smaller = |a, b| if b < a { b } else { a };
            footprints(&mut self.found, &mut self.scratch, shape, smaller);
        }
        let width = panel.core_cols();
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            let from = row * panel.cols;
            let found = self.found.get(from..from + width).unwrap_or_default();
            for ((out, found), centre) in out.iter_mut().zip(found).zip(panel.core_row(row)) {
                *out = if centre.is_nan() {
                    f64::NAN
                } else {
                    found.to_f64()
                };
            }
        }
    }
}
