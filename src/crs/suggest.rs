//! The output grid that fits a source, as GDAL's `GDALSuggestedWarpOutput2` finds it.
//!
//! The edges of the source (or, where they do not all transform there and back, a lattice of points in it) are transformed; their
//! bounds are the extent. The cells are square, and as many lie on the diagonal of the output as on that of the source.

use super::cell_map::SourceGrid;
use super::{CellMap, Definition, Error, Transformer};
use crate::grid::Affine;

/// Source cells between two samples of an edge.
const STEP_CELLS: f64 = 50.0;
/// The least and greatest number of steps along an edge.
const STEPS: (u32, u32) = (20, 100);
/// Halvings of an interval in which a coordinate jumps.
const HALVINGS: u32 = 16;
/// The latitude at which the world is a square in Web Mercator.
const MERCATORS_END: f64 = 85.051_128_779_806_6;
/// A raster of fewer columns or rows may come to less than one of them without crossing anything.
const FEW: u32 = 8;
/// By how much of a cell the last column or row may shrink, so that it touches the source.
const SHRINK: [f64; 5] = [0.0, 0.001, 0.01, 0.1, 1.0];
/// Samples along an edge that is tested for touching the source.
const EDGE_SAMPLES: u32 = 20;

/// An output grid that fits a source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suggested {
    /// Left, bottom, right, top.
    pub extent: [f64; 4],
    /// Width and height of a cell.
    pub cell: (f64, f64),
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// Finds the output grid that fits a source.
///
/// # Errors
/// When one of the CRS cannot be computed, nothing of the source has a place in the output, or the grid is too large to exist.
pub fn suggest(source: &SourceGrid, crs: &Definition) -> Result<Suggested, Error> {
    let forward = Transformer::new(&source.crs, crs)?;
    if forward.is_identity() {
        return Ok(unchanged(source));
    }
    let back = CellMap::new(Affine([0.0, 1.0, 0.0, 0.0, 0.0, 1.0]), crs, source)?;
    Suggestion {
        source,
        crs,
        forward,
        back,
        steps: steps(source),
    }
    .make()
}

fn unchanged(source: &SourceGrid) -> Suggested {
    let (left, top) = source.transform.apply(0.0, 0.0);
    let (right, bottom) = source
        .transform
        .apply(f64::from(source.width), f64::from(source.height));
    let [_, cell_width, _, _, _, cell_height] = source.transform.0;
    Suggested {
        extent: [
            left.min(right),
            bottom.min(top),
            left.max(right),
            bottom.max(top),
        ],
        cell: (cell_width.abs(), cell_height.abs()),
        width: source.width,
        height: source.height,
    }
}

fn steps(source: &SourceGrid) -> u32 {
    let short = f64::from(source.width.min(source.height));
    // A float that is no larger than `u32::MAX / 50`.
    ((short / STEP_CELLS + 0.5) as u32).clamp(STEPS.0, STEPS.1)
}

struct Suggestion<'a> {
    source: &'a SourceGrid,
    crs: &'a Definition,
    forward: Transformer,
    back: CellMap,
    steps: u32,
}

/// Points of the source, row by row of samples, and where they come to lie.
struct Samples {
    /// In cells of the source.
    at: Vec<(f64, f64)>,
    xs: Vec<f64>,
    ys: Vec<f64>,
    /// Samples of one line; a line starts at every multiple.
    line: usize,
    /// How many of the first samples lie in lines along the rows.
    along_rows: usize,
}

#[derive(Default)]
struct Bounds(Option<[f64; 4]>);

impl Bounds {
    fn add(&mut self, x: f64, y: f64) {
        let [left, bottom, right, top] = self.0.unwrap_or([x, y, x, y]);
        self.0 = Some([left.min(x), bottom.min(y), right.max(x), top.max(y)]);
    }
}

impl Suggestion<'_> {
    fn make(&self) -> Result<Suggested, Error> {
        let mut samples = self.edges();
        if !self.comes_back(&samples) {
            samples = self.lattice();
        }
        let nowhere = || Error::Nowhere {
            definition: self.crs.to_string(),
        };
        let valid = samples.xs.iter().filter(|x| x.is_finite()).count();
        if valid < 10 {
            return Err(nowhere());
        }
        let mut bounds = self.bounds(&samples);
        self.end_mercator(&mut bounds);
        let mut bounds = bounds.0.ok_or_else(nowhere)?;
        let to_longitudes = self.crs.is_geographic() && !self.source.crs.is_geographic();
        if to_longitudes {
            self.add_poles(&mut bounds);
        }
        self.grid(&samples, bounds, to_longitudes)
    }

    fn transformed(&self, at: Vec<(f64, f64)>, line: usize, along_rows: usize) -> Samples {
        let coordinates = at
            .iter()
            .map(|(col, row)| self.source.transform.apply(*col, *row));
        let (mut xs, mut ys): (Vec<f64>, Vec<f64>) = coordinates.unzip();
        self.forward.apply(&mut xs, &mut ys);
        Samples {
            at,
            xs,
            ys,
            line,
            along_rows,
        }
    }

    /// Samples the upper, lower, left and right edge.
    fn edges(&self) -> Samples {
        let (width, height) = (f64::from(self.source.width), f64::from(self.source.height));
        let parts = || (0..=self.steps).map(|n| self.part(n));
        let at = parts()
            .map(|t| (t * width, 0.0))
            .chain(parts().map(|t| (t * width, height)))
            .chain(parts().map(|t| (0.0, t * height)))
            .chain(parts().map(|t| (width, t * height)))
            .collect();
        let line = self.steps as usize + 1;
        let mut samples = self.transformed(at, line, 2 * line);
        self.settle_antimeridian(&mut samples);
        samples
    }

    fn lattice(&self) -> Samples {
        let (width, height) = (f64::from(self.source.width), f64::from(self.source.height));
        let at = (0..=self.steps)
            .flat_map(|row| {
                let y = self.part(row) * height;
                (0..=self.steps).map(move |col| (col, y))
            })
            .map(|(col, y)| (self.part(col) * width, y))
            .collect();
        let line = self.steps as usize + 1;
        self.transformed(at, line, line * line)
    }

    fn part(&self, n: u32) -> f64 {
        if n == self.steps {
            1.0
        } else {
            f64::from(n) * (1.0 / f64::from(self.steps))
        }
    }

    /// Where all longitudes have one sign but some are the antimeridian with the other, gives these that sign.
    fn settle_antimeridian(&self, samples: &mut Samples) {
        if !self.crs.is_geographic() {
            return;
        }
        for sign in [-1.0, 1.0] {
            let other = -180.0 * sign;
            let fits = |x: f64| (sign * x > 0.0 && sign * x <= 180.0) || (x - other).abs() < 1e-8;
            if samples
                .xs
                .iter()
                .filter(|x| x.is_finite())
                .all(|x| fits(*x))
            {
                for x in samples.xs.iter_mut().filter(|x| (**x - other).abs() < 1e-8) {
                    *x = 180.0 * sign;
                }
                return;
            }
        }
    }

    /// Tells whether every sample transforms, and back to about where it was.
    fn comes_back(&self, samples: &Samples) -> bool {
        let (mut xs, mut ys) = (samples.xs.clone(), samples.ys.clone());
        self.back.apply(&mut xs, &mut ys);
        let steps = f64::from(self.steps);
        let far_x = f64::from(self.source.width) / steps;
        let far_y = f64::from(self.source.height) / steps;
        let back = xs.iter().zip(&ys).zip(&samples.at);
        // A NaN is not within any distance.
        back.into_iter()
            .all(|((x, y), (col, row))| (x - col).abs() <= far_x && (y - row).abs() <= far_y)
    }

    fn bounds(&self, samples: &Samples) -> Bounds {
        let mut bounds = Bounds::default();
        for (n, (x, y)) in samples.xs.iter().zip(&samples.ys).enumerate() {
            let before = n
                .checked_sub(1)
                .filter(|_| n < samples.along_rows && n % samples.line > 0);
            if let Some(before) = before {
                self.close_in(samples, before, n, &mut bounds);
            }
            if x.is_finite() {
                bounds.add(*x, *y);
            }
        }
        bounds
    }

    /// Between two neighbours of which one has no place, or whose x have two signs, looks for points close to the jump.
    fn close_in(&self, samples: &Samples, before: usize, after: usize, bounds: &mut Bounds) {
        let (Some((from, row)), Some((to, _))) = (samples.at.get(before), samples.at.get(after))
        else {
            return;
        };
        let (Some(x_from), Some(x_to)) = (samples.xs.get(before), samples.xs.get(after)) else {
            return;
        };
        let (mut from, mut to, mut x_from, mut x_to) = (*from, *to, *x_from, *x_to);
        if !x_from.is_finite() && !x_to.is_finite() {
            return;
        }
        for _ in 0..HALVINGS {
            if x_from.is_finite() && x_to.is_finite() && x_from * x_to >= 0.0 {
                return;
            }
            let middle = (from + to) / 2.0;
            let (x, y) = self.source.transform.apply(middle, *row);
            match self.forward.point(x, y) {
                Some((x, y)) => {
                    bounds.add(x, y);
                    if !x_from.is_finite() || x_from * x < 0.0 {
                        (to, x_to) = (middle, x);
                    } else {
                        (from, x_from) = (middle, x);
                    }
                }
                None if !x_from.is_finite() => from = middle,
                None if !x_to.is_finite() => to = middle,
                None => return,
            }
        }
    }

    /// A pole has no place in Mercator. What reaches to one is shown as far as on web maps; GDAL's extent goes on for another ten
    /// times the width of the world.
    fn end_mercator(&self, bounds: &mut Bounds) {
        if !(self.source.crs.is_geographic() && self.crs.as_str().contains("+proj=merc")) {
            return;
        }
        let height = f64::from(self.source.height);
        for (from, to) in [(0.0, height), (height, 0.0)] {
            let (x, latitude) = self.source.transform.apply(0.0, from);
            let (_, other) = self.source.transform.apply(0.0, to);
            let limit = MERCATORS_END.copysign(latitude);
            if (latitude - other).signum() != latitude.signum()
                || other / limit > 1.0
                || self.forward.point(x, latitude).is_some()
            {
                continue;
            }
            let (Some((_, y)), Some([_, bottom, _, top])) =
                (self.forward.point(x, limit), &mut bounds.0)
            else {
                continue;
            };
            match latitude > 0.0 {
                true => *top = y,
                false => *bottom = y,
            }
        }
    }

    /// A pole in the source means all longitudes.
    fn add_poles(&self, [left, bottom, right, top]: &mut [f64; 4]) {
        for latitude in [-90.0, 90.0] {
            let (mut x, mut y) = ([0.0], [latitude]);
            self.back.apply(&mut x, &mut y);
            let near = |at: f64, size: u32| at >= -1e-5 && at <= f64::from(size) + 1e-5;
            if !near(x[0], self.source.width) || !near(y[0], self.source.height) {
                continue;
            }
            let (x, y) = self.source.transform.apply(x[0], y[0]);
            let stays = self
                .forward
                .point(x, y)
                .is_some_and(|(_, y)| (y - latitude).abs() <= 1e-6);
            if stays {
                (*left, *right) = (-180.0, 180.0);
                if latitude < 0.0 {
                    *bottom = latitude;
                } else {
                    *top = latitude;
                }
            }
        }
    }

    fn grid(
        &self,
        samples: &Samples,
        [left, bottom, mut right, top]: [f64; 4],
        to_longitudes: bool,
    ) -> Result<Suggested, Error> {
        let ends = |v: &[f64]| match (v.first(), v.last()) {
            (Some(first), Some(last)) => last - first,
            _ => f64::NAN,
        };
        let (mut across, mut down) = (ends(&samples.xs), ends(&samples.ys));
        if !(across.is_finite() && down.is_finite()) || across == 0.0 || down == 0.0 {
            (across, down) = (right - left, top - bottom);
        }
        let (width, height) = (f64::from(self.source.width), f64::from(self.source.height));
        let cell = across.hypot(down) / width.hypot(height);
        let (cols, rows) = ((right - left) / cell, (top - bottom) / cell);
        let limit = f64::from(i32::MAX - 1);
        if !(cols < limit && rows < limit) {
            return Err(Error::TooLarge {
                width: cols,
                height: rows,
            });
        }
        let (width, height) = (cols, rows);
        let (cols, rows) = ((cols + 0.5).floor(), (rows + 0.5).floor());
        let few = self.source.width.min(self.source.height) < FEW;
        if !few && (cols < 1.0 || rows < 1.0) {
            return Err(Error::Flat {
                definition: self.crs.to_string(),
                width,
                height,
            });
        }
        let (cols, rows) = (cols.max(1.0), rows.max(1.0));
        let mut cell_width = cell;
        for part in SHRINK {
            let narrower = cell - cell * part / cols;
            let right = left + cols * narrower;
            if self.touches(|t| (right, top - cell * t * rows), (narrower, cell)) {
                cell_width = narrower;
                break;
            }
        }
        let mut cell_height = cell;
        for part in SHRINK {
            let lower = cell - cell * part / rows;
            let bottom = top - rows * lower;
            if self.touches(
                |t| (left + cell_width * t * cols, bottom),
                (cell_width, lower),
            ) {
                cell_height = lower;
                break;
            }
        }
        let new_right = left + cols * cell_width;
        if to_longitudes && (right <= 180.0 && new_right > 180.0 || right == 180.0) {
            right = 180.0;
            cell_width = (right - left) / cols;
        } else {
            right = new_right;
        }
        let mut new_bottom = top - rows * cell_height;
        if to_longitudes && bottom >= -90.0 && new_bottom < -90.0 {
            new_bottom = -90.0;
            cell_height = (top - new_bottom) / rows;
        }
        Ok(Suggested {
            extent: [left, new_bottom, right, top],
            cell: (cell_width, cell_height),
            // Both are whole and below 2^31.
            width: cols as u32,
            height: rows as u32,
        })
    }

    /// Tells whether some point of an edge of the output has a place in the source's CRS and comes back from there.
    fn touches(&self, edge: impl Fn(f64) -> (f64, f64), cell: (f64, f64)) -> bool {
        let points: Vec<(f64, f64)> = (0..=EDGE_SAMPLES)
            .map(|n| edge(f64::from(n) / f64::from(EDGE_SAMPLES)))
            .collect();
        let (mut xs, mut ys): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        self.back.apply(&mut xs, &mut ys);
        for (x, y) in xs.iter_mut().zip(&mut ys) {
            (*x, *y) = self.source.transform.apply(*x, *y);
        }
        self.forward.apply(&mut xs, &mut ys);
        let back = xs.iter().zip(&ys).zip(&points);
        back.into_iter()
            .any(|((x, y), (to_x, to_y))| (x - to_x).abs() <= cell.0 && (y - to_y).abs() <= cell.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A raster of longitudes and latitudes with cells of `cell` degrees.
    fn degrees(left: f64, top: f64, size: (u32, u32), cell: f64) -> SourceGrid {
        SourceGrid {
            crs: Definition::from_epsg(4326).unwrap(),
            transform: Affine::north_up(left, top, cell, cell),
            width: size.0,
            height: size.1,
        }
    }

    #[test]
    fn the_world_in_web_mercator_is_the_square_of_web_maps() {
        // Half of the equator of a sphere of 6,378,137 m.
        const HALF: f64 = 20_037_508.342_789_244;
        let mercator = Definition::from_epsg(3857).unwrap();
        let world = suggest(&degrees(-180.0, 90.0, (360, 180), 1.0), &mercator).unwrap();
        let [left, bottom, right, top] = world.extent;
        for (found, wanted) in [(left, -HALF), (bottom, -HALF), (right, HALF), (top, HALF)] {
            assert!((found - wanted).abs() < world.cell.0, "{world:?}");
        }
        // Only the north reaches to a pole.
        let north = suggest(&degrees(0.0, 90.0, (90, 45), 1.0), &mercator).unwrap();
        assert!((north.extent[3] - HALF).abs() < 1e-3, "{north:?}");
        assert!(
            (north.extent[1] - 5_621_521.486).abs() < north.cell.1,
            "{north:?}"
        );
        // What does not reach to one keeps GDAL's extent.
        let cut = suggest(&degrees(0.0, 88.0, (90, 43), 1.0), &mercator).unwrap();
        assert!(cut.extent[3] > HALF, "{cut:?}");
    }

    #[test]
    fn what_crosses_the_antimeridian_is_refused_where_that_is_an_edge() {
        let fiji = degrees(179.5, 10.0, (100, 20), 0.01);
        let suggested = |code| suggest(&fiji, &Definition::from_epsg(code).unwrap());
        assert!(
            matches!(suggested(3857), Err(Error::Flat { .. })),
            "{:?}",
            suggested(3857)
        );
        let pacific = suggested(3832).unwrap();
        assert_eq!((pacific.width, pacific.height), (100, 20));
    }
}
