//! Positions of a window's points in a source, from few exact ones.
//!
//! The output's lattice of points is cut into squares of 256, counted from its upper left corner, never from the window: so a point
//! has the same position to the last bit whichever window it is asked for in. In a square the positions of the corners are
//! interpolated, if in its middle and in the middles of its edges that is off by no more than a bound; else it is cut in four. Squares of
//! 16 are computed exactly. (`gdalwarp` does so along a row, and tests one point: Linear approximation of `GDALApproxTransform`.)

use super::CellMap;

/// Points along the edge of a square that is tried first.
const SQUARE: u32 = 256;
/// Points along the edge of a square that is no longer cut.
const SMALL: u32 = 16;

/// Points of an output grid, one a cell: its centres, or its corners.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lattice {
    /// Points across the whole output.
    pub cols: u32,
    /// Points down the whole output.
    pub rows: u32,
    /// Where point 0 is, in cells: 0.5 for centres, 0 for corners.
    pub offset: f64,
}

impl Lattice {
    /// Returns the centres of a grid's cells.
    #[must_use]
    pub const fn centres(width: u32, height: u32) -> Self {
        Self {
            cols: width,
            rows: height,
            offset: 0.5,
        }
    }

    /// Returns the corners of a grid's cells, one more than cells either way.
    #[must_use]
    pub const fn corners(width: u32, height: u32) -> Self {
        Self {
            cols: width.saturating_add(1),
            rows: height.saturating_add(1),
            offset: 0.0,
        }
    }
}

/// A rectangle of points, both ends counted.
#[derive(Debug, Clone, Copy)]
struct Area {
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
}

#[derive(Debug, Clone)]
enum Positions {
    /// Of the corners: upper left, upper right, lower left, lower right.
    Corners([(f64, f64); 4]),
    /// Of every point, row by row.
    Every(Vec<f64>, Vec<f64>),
}

#[derive(Debug, Clone)]
struct Piece {
    area: Area,
    positions: Positions,
}

/// The positions of a window of points in a source.
#[derive(Debug, Clone)]
pub struct Mesh {
    left: u32,
    cols: u32,
    /// The pieces, in bands of [`SQUARE`] rows of the lattice, and the number of the first band.
    bands: Vec<Vec<Piece>>,
    first_band: u32,
    bounds: Option<[f64; 4]>,
}

impl Mesh {
    /// Computes the positions of a window of a lattice.
    ///
    /// - `left`, `top`, `cols`, `rows`: the window, in points of the lattice.
    /// - `tolerance`: the bound on the error, in cells of the source; 0 computes every point.
    #[must_use]
    pub fn new(
        map: &CellMap,
        lattice: Lattice,
        (left, top, cols, rows): (u32, u32, u32, u32),
        tolerance: f64,
    ) -> Self {
        let right = left.saturating_add(cols).min(lattice.cols);
        let bottom = top.saturating_add(rows).min(lattice.rows);
        let first_band = top / SQUARE;
        let mut maker = Maker {
            map,
            offset: lattice.offset,
            tolerance,
            pieces: Vec::new(),
            bounds: None,
        };
        let mut bands = Vec::new();
        for band in first_band..bottom.div_ceil(SQUARE) {
            for square in left / SQUARE..right.div_ceil(SQUARE) {
                let whole = Area {
                    left: square * SQUARE,
                    top: band * SQUARE,
                    right: (square * SQUARE + (SQUARE - 1)).min(lattice.cols - 1),
                    bottom: (band * SQUARE + (SQUARE - 1)).min(lattice.rows - 1),
                };
                let wanted = Area {
                    left,
                    top,
                    right: right - 1,
                    bottom: bottom - 1,
                };
                maker.square(whole, &wanted);
            }
            bands.push(std::mem::take(&mut maker.pieces));
        }
        Self {
            left,
            cols: right.saturating_sub(left),
            bands,
            first_band,
            bounds: maker.bounds,
        }
    }

    /// Returns the least and greatest column and row of all positions, or `None` when no point has one.
    ///
    /// Left, top, right, bottom; positions near the window may be counted as well.
    #[must_use]
    pub const fn bounds(&self) -> Option<[f64; 4]> {
        self.bounds
    }

    /// Writes the positions of one row of the window.
    ///
    /// - `row`: in points of the lattice.
    /// - `xs`, `ys`: as many as the window has columns.
    pub fn row(&self, row: u32, xs: &mut [f64], ys: &mut [f64]) {
        let band = (row / SQUARE).checked_sub(self.first_band);
        let Some(band) = band.and_then(|band| self.bands.get(band as usize)) else {
            xs.fill(f64::NAN);
            ys.fill(f64::NAN);
            return;
        };
        let end = self.left + self.cols;
        for piece in band {
            let Area {
                left,
                top,
                right,
                bottom,
            } = piece.area;
            if row < top || row > bottom {
                continue;
            }
            let (from, to) = (left.max(self.left), (right + 1).min(end));
            if from >= to {
                continue;
            }
            let span = (from - self.left) as usize..(to - self.left) as usize;
            let (Some(xs), Some(ys)) = (xs.get_mut(span.clone()), ys.get_mut(span)) else {
                continue;
            };
            piece.row(row, from, xs, ys);
        }
    }
}

impl Piece {
    fn row(&self, row: u32, from: u32, xs: &mut [f64], ys: &mut [f64]) {
        let area = &self.area;
        match &self.positions {
            Positions::Corners(corners) => {
                let (start, step) = line(area, corners, row);
                for (n, (x, y)) in (from - area.left..).zip(xs.iter_mut().zip(ys)) {
                    let n = f64::from(n);
                    (*x, *y) = (start.0 + n * step.0, start.1 + n * step.1);
                }
            }
            Positions::Every(all_x, all_y) => {
                let width = (area.right - area.left + 1) as usize;
                let start = (row - area.top) as usize * width + (from - area.left) as usize;
                let span = start..start + xs.len();
                if let (Some(x), Some(y)) = (all_x.get(span.clone()), all_y.get(span)) {
                    xs.copy_from_slice(x);
                    ys.copy_from_slice(y);
                }
            }
        }
    }
}

/// Returns the first position of a row of an interpolated area, and the step from point to point.
fn line(area: &Area, corners: &[(f64, f64); 4], row: u32) -> ((f64, f64), (f64, f64)) {
    let part = |at: u32, from: u32, to: u32| {
        if to == from {
            0.0
        } else {
            f64::from(at - from) / f64::from(to - from)
        }
    };
    let t = part(row, area.top, area.bottom);
    let between = |a: (f64, f64), b: (f64, f64)| (a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t);
    let [upper_left, upper_right, lower_left, lower_right] = *corners;
    let start = between(upper_left, lower_left);
    let end = between(upper_right, lower_right);
    let steps = f64::from((area.right - area.left).max(1));
    (
        start,
        ((end.0 - start.0) / steps, (end.1 - start.1) / steps),
    )
}

struct Maker<'a> {
    map: &'a CellMap,
    offset: f64,
    tolerance: f64,
    pieces: Vec<Piece>,
    bounds: Option<[f64; 4]>,
}

impl Maker<'_> {
    fn square(&mut self, area: Area, wanted: &Area) {
        let apart = area.left > wanted.right
            || area.right < wanted.left
            || area.top > wanted.bottom
            || area.bottom < wanted.top;
        if apart {
            return;
        }
        if self.tolerance <= 0.0 {
            let shared = Area {
                left: area.left.max(wanted.left),
                top: area.top.max(wanted.top),
                right: area.right.min(wanted.right),
                bottom: area.bottom.min(wanted.bottom),
            };
            return self.every(shared);
        }
        if let Some(corners) = self.interpolated(&area) {
            return self.push(area, Positions::Corners(corners));
        }
        let (cols, rows) = (area.right - area.left + 1, area.bottom - area.top + 1);
        if cols <= SMALL && rows <= SMALL {
            return self.every(area);
        }
        let cut = |from: u32, to: u32| {
            let half = (to - from + 1).div_ceil(2).next_power_of_two();
            if to - from < SMALL {
                vec![(from, to)]
            } else {
                let middle = (from + half).min(to);
                vec![(from, middle - 1), (middle, to)]
            }
        };
        for (top, bottom) in cut(area.top, area.bottom) {
            for (left, right) in cut(area.left, area.right) {
                self.square(
                    Area {
                        left,
                        top,
                        right,
                        bottom,
                    },
                    wanted,
                );
            }
        }
    }

    /// Returns the exact corners of an area, if the bound holds between them.
    fn interpolated(&self, area: &Area) -> Option<[(f64, f64); 4]> {
        let middle_col = area.left + (area.right - area.left) / 2;
        let middle_row = area.top + (area.bottom - area.top) / 2;
        let points = [
            (area.left, area.top),
            (area.right, area.top),
            (area.left, area.bottom),
            (area.right, area.bottom),
            (middle_col, area.top),
            (middle_col, area.bottom),
            (area.left, middle_row),
            (area.right, middle_row),
            (middle_col, middle_row),
        ];
        let mut xs = points.map(|(col, _)| f64::from(col) + self.offset);
        let mut ys = points.map(|(_, row)| f64::from(row) + self.offset);
        self.map.apply(&mut xs, &mut ys);
        if xs.iter().chain(&ys).any(|v| !v.is_finite()) {
            return None;
        }
        let corners = std::array::from_fn(|n| (xs[n], ys[n]));
        let tests = points.iter().zip(xs.iter().zip(&ys)).skip(4);
        for ((col, row), (x, y)) in tests {
            let (start, step) = line(area, &corners, *row);
            let n = f64::from(col - area.left);
            let off = (start.0 + n * step.0 - x).abs() + (start.1 + n * step.1 - y).abs();
            if off > self.tolerance {
                return None;
            }
        }
        Some(corners)
    }

    fn every(&mut self, area: Area) {
        let cols = area.right - area.left + 1;
        let count = cols as usize * (area.bottom - area.top + 1) as usize;
        let (mut xs, mut ys) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for row in area.top..=area.bottom {
            xs.extend((area.left..=area.right).map(|col| f64::from(col) + self.offset));
            ys.extend((0..cols).map(|_| f64::from(row) + self.offset));
        }
        self.map.apply(&mut xs, &mut ys);
        self.push(area, Positions::Every(xs, ys));
    }

    fn push(&mut self, area: Area, positions: Positions) {
        match &positions {
            Positions::Corners(corners) => corners.iter().for_each(|at| self.grow(*at)),
            Positions::Every(xs, ys) => {
                for at in xs.iter().copied().zip(ys.iter().copied()) {
                    self.grow(at);
                }
            }
        }
        self.pieces.push(Piece { area, positions });
    }

    fn grow(&mut self, (x, y): (f64, f64)) {
        if !x.is_finite() || !y.is_finite() {
            return;
        }
        let [left, top, right, bottom] = self.bounds.unwrap_or([x, y, x, y]);
        self.bounds = Some([left.min(x), top.min(y), right.max(x), bottom.max(y)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crs::{Definition, SourceGrid};
    use crate::grid::Affine;

    /// A global grid of one degree seen from the north pole: has the pole and the antimeridian in it.
    fn polar(size: u32) -> CellMap {
        let source = SourceGrid {
            width: 360,
            height: 180,
            transform: Affine::north_up(-180.0, 90.0, 1.0, 1.0),
            crs: Definition::from_epsg(4326).unwrap(),
        };
        let cell = 10_000_000.0 / f64::from(size);
        let output = Affine::north_up(-5_000_000.0, 5_000_000.0, cell, cell);
        CellMap::new(output, &Definition::from_epsg(3413).unwrap(), &source).unwrap()
    }

    fn rows(mesh: &Mesh, top: u32, cols: u32, rows: u32) -> Vec<(Vec<u64>, Vec<u64>)> {
        let bits = |v: &[f64]| v.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
        (top..top + rows)
            .map(|row| {
                let (mut xs, mut ys) = (vec![0.0; cols as usize], vec![0.0; cols as usize]);
                mesh.row(row, &mut xs, &mut ys);
                (bits(&xs), bits(&ys))
            })
            .collect()
    }

    #[test]
    fn positions_do_not_depend_on_the_window() {
        let (size, map) = (700, polar(700));
        for tolerance in [0.0, 0.125] {
            let lattice = Lattice::centres(size, size);
            let whole = rows(
                &Mesh::new(&map, lattice, (0, 0, size, size), tolerance),
                0,
                size,
                size,
            );
            for (left, top, cols, height) in [
                (0, 0, 1, 1),
                (255, 255, 2, 2),
                (300, 17, 399, 400),
                (699, 0, 1, 700),
            ] {
                let mesh = Mesh::new(&map, lattice, (left, top, cols, height), tolerance);
                let part = rows(&mesh, top, cols, height);
                for (n, (xs, ys)) in part.iter().enumerate() {
                    let (all_x, all_y) = &whole[top as usize + n];
                    let span = left as usize..(left + cols) as usize;
                    assert_eq!((&xs[..], &ys[..]), (&all_x[span.clone()], &all_y[span]));
                }
            }
        }
    }

    #[test]
    fn the_bound_holds_at_every_point_even_at_pole_and_antimeridian() {
        let (size, map) = (700, polar(700));
        let lattice = Lattice::centres(size, size);
        let mesh = Mesh::new(&map, lattice, (0, 0, size, size), 0.125);
        let exact = Mesh::new(&map, lattice, (0, 0, size, size), 0.0);
        let near: usize = mesh
            .bands
            .iter()
            .flatten()
            .filter(|p| matches!(p.positions, Positions::Corners(_)))
            .count();
        assert!(near > 20, "something is interpolated: {near}");
        let (mut xs, mut ys) = (vec![0.0; 700], vec![0.0; 700]);
        let (mut exact_xs, mut exact_ys) = (xs.clone(), ys.clone());
        let mut worst = 0f64;
        for row in 0..size {
            mesh.row(row, &mut xs, &mut ys);
            exact.row(row, &mut exact_xs, &mut exact_ys);
            for n in 0..700 {
                worst = worst.max((xs[n] - exact_xs[n]).abs() + (ys[n] - exact_ys[n]).abs());
            }
        }
        // The bound is kept where it is tested; between, a smooth map stays close to it.
        assert!(worst < 0.15, "{worst}");
    }
}
