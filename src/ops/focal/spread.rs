//! Standard deviation of the valid cells of a window.

use super::fold::{Scratch, footprints};
use super::footprint::Footprint;
use super::kernel::PanelKernel;
use super::panel::Panel;

/// Computes the standard deviation of the valid cells of each window, of the population: `sqrt(Σ(x − mean)² / n)`.
///
/// Groups of cells are merged by their number, sum and squared deviation from their own mean, which loses nothing where
/// the deviation is small beside the values.
///
/// Source: Chan, Golub and LeVeque (1979), *Updating formulae and a pairwise algorithm for computing sample variances*.
pub(super) struct Spread {
    footprint: Footprint,
    scratch: Scratch<Group>,
    groups: Vec<Group>,
}

/// Some cells: how many, their sum, and the sum of their squared distances from their mean.
#[derive(Debug, Clone, Copy)]
struct Group {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Group {
    fn merged(self, other: Self) -> Self {
        let count = self.count + other.count;
        // The distance of the means, times both counts: 0 where either group is empty.
        let apart = other.sum * self.count - self.sum * other.count;
        let between = apart * apart / (self.count * other.count * count).max(1.0);
        Self {
            count,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares + between,
        }
    }
}

impl Spread {
    pub(super) fn new(footprint: Footprint) -> Self {
        Self {
            footprint,
            scratch: Scratch::default(),
            groups: Vec::new(),
        }
    }
}

impl PanelKernel<f64> for Spread {
    fn run(&mut self, panel: &Panel<f64>, out: &mut [f64]) {
        let alone = |cell: &f64| {
            let (count, sum) = if cell.is_nan() {
                (0.0, 0.0)
            } else {
                (1.0, *cell)
            };
            Group {
                count,
                sum,
                squares: 0.0,
            }
        };
        self.groups.clear();
        self.groups.extend(panel.cells.iter().map(alone));
        let shape = (&self.footprint, panel.cols);
        footprints(&mut self.groups, &mut self.scratch, shape, Group::merged);
        let width = panel.core_cols();
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            let from = row * panel.cols;
            let groups = self.groups.get(from..from + width).unwrap_or_default();
            for ((out, group), centre) in out.iter_mut().zip(groups).zip(panel.core_row(row)) {
                let spread = (group.squares / group.count).sqrt();
                *out = if centre.is_nan() { f64::NAN } else { spread };
            }
        }
    }
}
