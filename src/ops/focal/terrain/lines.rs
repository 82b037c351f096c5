//! The three lines of cells around a row, with what stands in for cells beyond the raster when edges are computed.

use super::super::panel::Panel;

/// Copies of three lines, to be filled up at their ends.
#[derive(Debug, Default)]
pub(super) struct Lines {
    cells: [Vec<f64>; 3],
}

impl Lines {
    /// Returns the lines around a row of the core, as GDAL's `-compute_edges` makes them up.
    ///
    /// Above the first row and below the last a cell is as far from its neighbour as that is from the next: `2 a − b`. So it
    /// is left of the first column and right of the last, but in the first and the last row a cell there repeats its neighbour. A
    /// raster of one row or one column has no values, and neither has what is made up from a cell without data.
    pub(super) fn with_edges<'a>(&'a mut self, panel: &Panel<f64>, row: usize) -> [&'a [f64]; 3] {
        for (line, n) in self.cells.iter_mut().zip(0..) {
            line.clear();
            line.extend_from_slice(panel.row(row + n));
        }
        let edges = panel.edges;
        let top = edges.top && row == 0;
        let bottom = edges.bottom && row + 1 == panel.core_rows();
        let narrow = edges.left && edges.right && panel.core_cols() < 2;
        if top && bottom || narrow {
            // Not even the centre stays, or it would stand in for all.
            self.cells.iter_mut().for_each(|line| line.fill(f64::NAN));
        }
        let [above, middle, below] = &mut self.cells;
        if top {
            beyond(above, middle, below);
        }
        if bottom {
            beyond(below, middle, above);
        }
        let repeat = top || bottom;
        for line in [above, middle, below] {
            if edges.left
                && let [beyond, first, second, ..] = line.as_mut_slice()
            {
                *beyond = if repeat {
                    *first
                } else {
                    2.0 * *first - *second
                };
            }
            if edges.right
                && let [.., second, first, beyond] = line.as_mut_slice()
            {
                *beyond = if repeat {
                    *first
                } else {
                    2.0 * *first - *second
                };
            }
        }
        self.cells.each_ref().map(Vec::as_slice)
    }
}

/// Fills a line from the two next to it.
fn beyond(line: &mut [f64], nearest: &[f64], next: &[f64]) {
    for (cell, (nearest, next)) in line.iter_mut().zip(nearest.iter().zip(next)) {
        *cell = 2.0 * nearest - next;
    }
}
