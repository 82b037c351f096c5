//! Median of the valid cells of a window.

use super::footprint::Footprint;
use super::kernel::PanelKernel;
use super::network::{median9, median25, sort3, sort5};
use super::panel::{Panel, Real};
use super::ranks::Ranks;
use crate::spec::FocalShape;

/// Finds the middle one of the valid cells of each window, or the mean of the middle two.
///
/// Square windows of 3 and 5 cells without holes go through a sorting network; those with holes are sorted one by one; other
/// windows slide over a histogram of ranks. All find the same cells, so that it does not show which.
pub(super) struct Median<T> {
    footprint: Footprint,
    ranks: Ranks<T>,
    sorted: Vec<T>,
    window: Vec<T>,
}

impl<T: Real> Median<T> {
    pub(super) fn new(footprint: Footprint) -> Self {
        Self {
            footprint,
            ranks: Ranks::default(),
            sorted: Vec::new(),
            window: Vec::new(),
        }
    }

    /// Fills the cells whose window has holes, which the networks got wrong.
    fn mend(&mut self, panel: &Panel<T>, row: usize, out: &mut [f64]) {
        let size = self.footprint.reach.len();
        for (col, out) in out.iter_mut().enumerate() {
            self.window.clear();
            for down in 0..size {
                let cells = panel.row(row + down).get(col..col + size);
                let valid = cells.unwrap_or_default().iter().filter(|c| !c.is_nan());
                self.window.extend(valid);
            }
            if self.window.len() < size * size {
                *out = middle(&mut self.window);
            }
        }
        for (out, centre) in out.iter_mut().zip(panel.core_row(row)) {
            if centre.is_nan() {
                *out = f64::NAN;
            }
        }
    }
}

impl<T: Real> PanelKernel<T> for Median<T> {
    fn run(&mut self, panel: &Panel<T>, out: &mut [f64]) {
        let size = self.footprint.reach.len();
        if self.footprint.shape != FocalShape::Square || size > 5 {
            self.ranks.medians(panel, &self.footprint, out);
            return;
        }
        let width = panel.core_cols();
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            if size == 3 {
                three(panel, row, &mut self.sorted, out);
            } else {
                five(panel, row, &mut self.sorted, out);
            }
            let holes = || (row..row + size).any(|row| panel.row(row).iter().any(|c| c.is_nan()));
            if panel.holes && holes() {
                self.mend(panel, row, out);
            }
        }
    }
}

/// Sorts each column of three rows into `sorted`, then finds the medians.
fn three<T: Real>(panel: &Panel<T>, row: usize, sorted: &mut Vec<T>, out: &mut [f64]) {
    let cols = panel.cols;
    sorted.clear();
    sorted.resize(3 * cols, T::ZERO);
    let (low, rest) = sorted.split_at_mut(cols);
    let (middle, high) = rest.split_at_mut(cols);
    {
        let [a, b, c] = [0, 1, 2].map(|n| panel.row(row + n));
        let columns = a.iter().zip(b).zip(c);
        let into = low.iter_mut().zip(&mut *middle).zip(&mut *high);
        for (((a, b), c), ((low, middle), high)) in columns.zip(into) {
            [*low, *middle, *high] = sort3([*a, *b, *c]);
        }
    }
    let windows = low.array_windows::<3>().zip(middle.array_windows::<3>());
    for ((out, (l, m)), h) in out.iter_mut().zip(windows).zip(high.array_windows::<3>()) {
        *out = median9([l[0], l[1], l[2], m[0], m[1], m[2], h[0], h[1], h[2]]).to_f64();
    }
}

/// Sorts each column of five rows into `sorted`, then finds the medians.
fn five<T: Real>(panel: &Panel<T>, row: usize, sorted: &mut Vec<T>, out: &mut [f64]) {
    let cols = panel.cols;
    sorted.clear();
    sorted.resize(5 * cols, T::ZERO);
    let mut rows = sorted.chunks_exact_mut(cols);
    let mut next = || rows.next().unwrap_or_default();
    let sorted: [&mut [T]; 5] = [next(), next(), next(), next(), next()];
    let [r0, r1, r2, r3, r4] = sorted;
    {
        let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|n| panel.row(row + n));
        let columns = a.iter().zip(b).zip(c).zip(d).zip(e);
        let into = r0.iter_mut().zip(&mut *r1).zip(&mut *r2);
        let into = into.zip(&mut *r3).zip(&mut *r4);
        for (((((a, b), c), d), e), ((((p, q), r), s), t)) in columns.zip(into) {
            [*p, *q, *r, *s, *t] = sort5([*a, *b, *c, *d, *e]);
        }
    }
    let windows = r0.array_windows::<5>().zip(r1.array_windows::<5>());
    let windows = windows.zip(r2.array_windows::<5>());
    let windows = windows.zip(r3.array_windows::<5>());
    let windows = windows.zip(r4.array_windows::<5>());
    for (out, ((((a, b), c), d), e)) in out.iter_mut().zip(windows) {
        let median = median25([
            a[0], a[1], a[2], a[3], a[4], b[0], b[1], b[2], b[3], b[4], c[0], c[1], c[2], c[3],
            c[4], d[0], d[1], d[2], d[3], d[4], e[0], e[1], e[2], e[3], e[4],
        ]);
        *out = median.to_f64();
    }
}

/// Returns the median of some valid cells, NaN of none.
fn middle<T: Real>(cells: &mut [T]) -> f64 {
    let order = |a: &T, b: &T| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal);
    let half = cells.len() / 2;
    if cells.is_empty() {
        return f64::NAN;
    }
    let even = cells.len().is_multiple_of(2);
    let (below, upper, _) = cells.select_nth_unstable_by(half, order);
    if !even {
        return upper.to_f64();
    }
    let upper = upper.to_f64();
    let lower = below
        .iter()
        .map(|c| c.to_f64())
        .fold(f64::NEG_INFINITY, f64::max);
    (lower + upper) / 2.0
}
