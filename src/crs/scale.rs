//! Where a source comes to lie in an output, and how much smaller or larger its cells are there.

use super::{CellMap, Definition, Error, Mesh, SourceGrid, Transformer};
use crate::grid::{Affine, Window};

/// Samples along each side of a source, inside of it as well.
const SAMPLES: u32 = 32;
/// Samples along each side of an output.
const OUTPUT_SAMPLES: u32 = 20;

/// Returns a window of the output outside of which nothing of the source lies, or `None` when nothing lies within the output.
///
/// It may be too large: a source with a pole or the antimeridian in it, or with points that have no place, is taken to lie everywhere.
///
/// # Errors
/// When one of the CRS cannot be computed.
pub fn footprint(
    source: &SourceGrid,
    output: &Affine,
    crs: &Definition,
    (width, height): (u32, u32),
) -> Result<Option<Window>, Error> {
    let Some([left, top, right, bottom]) = bounds(source, output, crs, width)? else {
        return Ok(Some(Window::whole(width, height)));
    };
    let clip = |low: f64, high: f64, size: u32| {
        // The edges bend between samples: by far less than a step.
        let margin = (high - low) / f64::from(SAMPLES) + 2.0;
        let first = (low - margin).floor().clamp(0.0, f64::from(size));
        let last = (high + margin).ceil().clamp(0.0, f64::from(size));
        // Both are whole and no larger than a `u32`.
        (first as u32, (last - first) as u32)
    };
    let ((col, cols), (row, rows)) = (clip(left, right, width), clip(top, bottom, height));
    Ok((cols > 0 && rows > 0).then_some(Window {
        col,
        row,
        cols,
        rows,
    }))
}

/// Returns left, top, right and bottom of a source in cells of the output, or `None` when it may lie everywhere.
fn bounds(
    source: &SourceGrid,
    output: &Affine,
    crs: &Definition,
    width: u32,
) -> Result<Option<[f64; 4]>, Error> {
    let forward = Transformer::new(&source.crs, crs)?;
    let Some(inverse) = output.inverse() else {
        return Ok(None);
    };
    let side = SAMPLES as usize + 1;
    let mut xs = Vec::with_capacity(side * side);
    let mut ys = Vec::with_capacity(side * side);
    for row in 0..=SAMPLES {
        for col in 0..=SAMPLES {
            let part = |n: u32, size: u32| f64::from(n) / f64::from(SAMPLES) * f64::from(size);
            let (x, y) = source
                .transform
                .apply(part(col, source.width), part(row, source.height));
            xs.push(x);
            ys.push(y);
        }
    }
    forward.apply(&mut xs, &mut ys);
    // Geographic outputs may begin at any longitude: a source may lie in them once more, a turn away.
    let turns = crs.is_geographic() && !within_a_turn(output, width, &xs);
    if turns || xs.iter().any(|x| !x.is_finite()) {
        return Ok(None);
    }
    for (x, y) in xs.iter_mut().zip(&mut ys) {
        (*x, *y) = inverse.apply(*x, *y);
    }
    if jumps(&xs, side) || jumps(&ys, side) {
        return Ok(None);
    }
    let ((left, right), (top, bottom)) = (range(&xs), range(&ys));
    Ok(Some([left, top, right, bottom]))
}

fn range(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
            (low.min(*v), high.max(*v))
        })
}

/// Tells whether an output and the source's longitudes lie within one turn of -180 to 180.
fn within_a_turn(output: &Affine, width: u32, xs: &[f64]) -> bool {
    let (left, _) = output.apply(0.0, 0.0);
    let (right, _) = output.apply(f64::from(width), 0.0);
    let (low, high) = range(xs);
    let slack = 1e-6;
    [left, right, low, high]
        .into_iter()
        .all(|x| x.abs() <= 180.0 + slack)
}

/// Tells whether somewhere one step is far longer than the steps are on average.
fn jumps(values: &[f64], side: usize) -> bool {
    let (low, high) = range(values);
    let limit = (high - low) * 0.4;
    if limit <= 1.0 {
        return false;
    }
    let across = values
        .chunks_exact(side)
        .flat_map(|row| row.windows(2).map(|pair| (pair[1] - pair[0]).abs()));
    let down = values
        .iter()
        .zip(values.iter().skip(side))
        .map(|(a, b)| (b - a).abs());
    across.chain(down).any(|step| step > limit)
}

/// Returns how many output cells lie on one source cell, across and down: below 1 the output is coarser.
///
/// As GDAL computes it for a chunk (`dfXScale` of its warp kernel): the size of a rectangle of the output, by the size of what it is
/// made from, no more than the source has. GDAL's rectangle is whatever it happens to work on; ours is all that the source and the
/// output share, so that it is one number for every window. Where GDAL works on one chunk, they are the same but for rounding.
///
/// # Errors
/// When one of the CRS cannot be computed.
pub fn scale(
    source: &SourceGrid,
    output: &Affine,
    crs: &Definition,
    (width, height): (u32, u32),
) -> Result<(f64, f64), Error> {
    let (width_cells, height_cells) = (f64::from(width), f64::from(height));
    let everywhere = [0.0, 0.0, width_cells, height_cells];
    let [left, top, right, bottom] = bounds(source, output, crs, width)?.unwrap_or(everywhere);
    // Whole cells, as GDAL's rectangles have.
    let (left, right) = (
        left.floor().clamp(0.0, width_cells),
        right.ceil().clamp(0.0, width_cells),
    );
    let (top, bottom) = (
        top.floor().clamp(0.0, height_cells),
        bottom.ceil().clamp(0.0, height_cells),
    );
    let steps = |from: f64, to: f64| {
        (0..=OUTPUT_SAMPLES)
            .map(move |n| from + (to - from) * f64::from(n) / f64::from(OUTPUT_SAMPLES))
    };
    let (mut xs, mut ys) = (Vec::new(), Vec::new());
    for row in steps(top, bottom) {
        for col in steps(left, right) {
            xs.push(col);
            ys.push(row);
        }
    }
    CellMap::new(*output, crs, source)?.apply(&mut xs, &mut ys);
    let around = source.is_around();
    let turn = f64::from(source.width);
    if around && holds_a_pole(source, output, crs, (width_cells, height_cells))? {
        // However near to each other the samples are, they leave a gap.
        xs = vec![0.0, turn];
    } else if around {
        unwrap(&mut xs, turn);
    }
    let quotient = |cells: f64, places: &mut Vec<f64>, size: u32, around: bool| {
        places.retain(|place| place.is_finite());
        let (low, high) = range(places);
        let there = f64::from(size) - if around { 0.0 } else { low.max(0.0) };
        let used = (high - low).min(there);
        if cells > 0.0 && used > 0.0 {
            tidy(cells / used)
        } else {
            1.0
        }
    };
    Ok((
        quotient(right - left, &mut xs, source.width, around),
        quotient(bottom - top, &mut ys, source.height, false),
    ))
}

/// Tells whether a pole lies in an output as a point, which all columns of a source around the globe run into.
fn holds_a_pole(
    source: &SourceGrid,
    output: &Affine,
    crs: &Definition,
    (width, height): (f64, f64),
) -> Result<bool, Error> {
    let forward = Transformer::new(&source.crs, crs)?;
    let Some(inverse) = output.inverse() else {
        return Ok(false);
    };
    let (mut xs, mut ys) = ([0.0, 90.0, 0.0, 90.0], [90.0, 90.0, -90.0, -90.0]);
    forward.apply(&mut xs, &mut ys);
    let places: Vec<_> = xs
        .iter()
        .zip(&ys)
        .map(|(x, y)| inverse.apply(*x, *y))
        .collect();
    Ok(places.chunks_exact(2).any(|pole| {
        let [(x, y), (other_x, other_y)] = pole else {
            return false;
        };
        let inside = *x > 0.0 && *x < width && *y > 0.0 && *y < height;
        inside && (x - other_x).abs().max((y - other_y).abs()) < 1e-3
    }))
}

/// Brings columns of a source around the globe to within half a turn of the one in the middle: an output over the seam uses the few
/// columns on both of its sides. (GDAL before 3.13 takes it to use all of them, and blurs.)
fn unwrap(cols: &mut [f64], width: f64) {
    let Some(middle) = cols.get(cols.len() / 2).copied().filter(|x| x.is_finite()) else {
        return;
    };
    for col in cols {
        *col += width * ((middle - *col) / width).round();
    }
}

/// Takes what is close to the reciprocal of a whole number for it, as GDAL does.
fn tidy(scale: f64) -> f64 {
    let reciprocal = 1.0 / scale;
    let whole = reciprocal.round();
    if scale < 1.0 && (reciprocal - whole).abs() < 0.05 {
        1.0 / whole
    } else {
        scale
    }
}

impl Mesh {
    /// Returns the cells of a source that a window of output cells is computed from, or `None` when it lies outside.
    ///
    /// - `reach`: how many cells around a position are looked at, across and down.
    #[must_use]
    pub fn source_window(&self, source: &SourceGrid, reach: (f64, f64)) -> Option<Window> {
        let [left, top, right, bottom] = self.bounds()?;
        let clip = |low: f64, high: f64, reach: f64, size: u32| {
            let first = (low - reach).floor().clamp(0.0, f64::from(size));
            let last = (high + reach).ceil().clamp(0.0, f64::from(size));
            // Both are whole and no larger than a `u32`.
            (first as u32, (last - first) as u32)
        };
        // Beyond the edge by more than what an edge cell reaches, there is nothing.
        let outside = right < -reach.0
            || bottom < -reach.1
            || left > f64::from(source.width) + reach.0
            || top > f64::from(source.height) + reach.1;
        let whole = f64::from(source.width);
        // An output cell over the antimeridian has corners at both ends, and what is under it lies beyond both.
        let (left, right) = match source.is_around() && right - left > whole / 2.0 {
            true => (0.0, whole),
            false => (left, right),
        };
        let (col, cols) = clip(left, right, reach.0, source.width);
        let (row, rows) = clip(top, bottom, reach.1, source.height);
        (!outside && cols > 0 && rows > 0).then_some(Window {
            col,
            row,
            cols,
            rows,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longitudes and latitudes of the whole globe, in degrees of the size given.
    fn globe(degrees: f64) -> SourceGrid {
        SourceGrid {
            width: (360.0 / degrees) as u32,
            height: (180.0 / degrees) as u32,
            transform: Affine::north_up(-180.0, 90.0, degrees, degrees),
            crs: Definition::from_epsg(4326).unwrap(),
        }
    }

    #[test]
    fn an_output_over_the_seam_of_the_globe_is_as_coarse_as_elsewhere() {
        let crs = Definition::from_epsg(4326).unwrap();
        // Cells of 2 degrees from cells of half a degree: a quarter, wherever they lie.
        for left in [-20.0, 170.0, -190.0] {
            let output = Affine::north_up(left, 10.0, 2.0, 2.0);
            let found = scale(&globe(0.5), &output, &crs, (10, 10)).unwrap();
            assert_eq!(found, (0.25, 0.25), "at {left}");
        }
    }

    #[test]
    fn an_output_around_a_pole_is_made_from_all_longitudes() {
        // gdalwarp 3.6.2 onto these grids gives the same bits with `-wo XSCALE=0.2222222222` as without.
        for code in [3995, 3031] {
            let crs = Definition::from_epsg(code).unwrap();
            let output = Affine::north_up(-4e6, 4e6, 5e4, 5e4);
            let found = scale(&globe(0.5), &output, &crs, (160, 160)).unwrap();
            assert_eq!(found.0, 160.0 / 720.0, "EPSG:{code}");
            // Beside the pole there is no such jump: 30 by 30 cells are not 720 columns wide.
            let beside = Affine::north_up(1e6, 4e6, 5e4, 5e4);
            let found = scale(&globe(0.5), &beside, &crs, (30, 30)).unwrap();
            assert!(found.0 > 0.2, "EPSG:{code}: {found:?}");
        }
    }

    #[test]
    fn a_pole_that_is_an_edge_is_no_point() {
        // Half of the globe, with both poles as its upper and lower edge.
        let crs = Definition::from_epsg(4326).unwrap();
        let output = Affine::north_up(-90.0, 91.0, 2.0, 2.0);
        let found = scale(&globe(0.5), &output, &crs, (90, 91)).unwrap();
        assert_eq!(found.0, 0.25);
    }

    #[test]
    fn a_turned_source_is_measured_by_the_rectangle_around_it() {
        // UTM 22 north at 61 degrees, 4 degrees off its meridian, in longitudes and latitudes. By GDAL's formula: the rows of the
        // output by all rows of the source (673 / 1093), the columns likewise (1672 / 1310).
        let source = SourceGrid {
            width: 1310,
            height: 1093,
            transform: Affine::north_up(612_825.0, 6_852_675.0, 30.0, 30.0),
            crs: Definition::from_epsg(32622).unwrap(),
        };
        let crs = Definition::from_epsg(4326).unwrap();
        let output = Affine::north_up(
            -48.88056848854587,
            61.790286652322415,
            0.0004573443096136407,
            0.0004573443096136407,
        );
        let found = scale(&source, &output, &crs, (1672, 673)).unwrap();
        assert!((found.0 - 1672.0 / 1310.0).abs() < 2e-3, "{found:?}");
        assert!((found.1 - 673.0 / 1093.0).abs() < 2e-3, "{found:?}");
    }
}
