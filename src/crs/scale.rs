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
    let whole = Window::whole(width, height);
    let forward = Transformer::new(&source.crs, crs)?;
    let Some(inverse) = output.inverse() else {
        return Ok(Some(whole));
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
        return Ok(Some(whole));
    }
    for (x, y) in xs.iter_mut().zip(&mut ys) {
        (*x, *y) = inverse.apply(*x, *y);
    }
    if jumps(&xs, side) || jumps(&ys, side) {
        return Ok(Some(whole));
    }
    let clip = |values: &[f64], size: u32| {
        let (low, high) = range(values);
        // The edges bend between samples: by far less than a step.
        let margin = (high - low) / f64::from(SAMPLES) + 2.0;
        let first = (low - margin).floor().clamp(0.0, f64::from(size));
        let last = (high + margin).ceil().clamp(0.0, f64::from(size));
        // Both are whole and no larger than a `u32`.
        (first as u32, (last - first) as u32)
    };
    let ((col, cols), (row, rows)) = (clip(&xs, width), clip(&ys, height));
    Ok((cols > 0 && rows > 0).then_some(Window {
        col,
        row,
        cols,
        rows,
    }))
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
/// Over the whole overlap of both, so that it is one number for every window. GDAL computes the same quotient for each chunk that it
/// happens to work on (`dfXScale` of its warp kernel); for one chunk they are the same but for rounding.
///
/// # Errors
/// When one of the CRS cannot be computed.
pub fn scale(
    source: &SourceGrid,
    output: &Affine,
    crs: &Definition,
    overlap: &Window,
) -> Result<(f64, f64), Error> {
    let map = CellMap::new(*output, crs, source)?;
    let end = (overlap.col_end(), overlap.row_end());
    let steps = |from: u32, to: u32| {
        (0..=OUTPUT_SAMPLES).map(move |n| {
            f64::from(from) + f64::from(to - from) * f64::from(n) / f64::from(OUTPUT_SAMPLES)
        })
    };
    let (mut xs, mut ys) = (Vec::new(), Vec::new());
    for row in steps(overlap.row, end.1) {
        for col in steps(overlap.col, end.0) {
            xs.push(col);
            ys.push(row);
        }
    }
    let (cols, rows): (Vec<f64>, Vec<f64>) = (xs.clone(), ys.clone());
    map.apply(&mut xs, &mut ys);
    // Of the samples within the source: how far apart they are in it, and how far in the output.
    let inside = |x: f64, y: f64| {
        x >= 0.0 && y >= 0.0 && x <= f64::from(source.width) && y <= f64::from(source.height)
    };
    let mut seen: Option<([f64; 4], [f64; 4])> = None;
    for ((x, y), (col, row)) in xs.iter().zip(&ys).zip(cols.iter().zip(&rows)) {
        if inside(*x, *y) {
            let (from, to) = seen.get_or_insert(([*x, *y, *x, *y], [*col, *row, *col, *row]));
            for (bounds, (a, b)) in [(from, (*x, *y)), (to, (*col, *row))] {
                *bounds = [
                    bounds[0].min(a),
                    bounds[1].min(b),
                    bounds[2].max(a),
                    bounds[3].max(b),
                ];
            }
        }
    }
    let Some((from, to)) = seen else {
        return Ok((1.0, 1.0));
    };
    let quotient = |output: f64, source: f64| {
        if output > 0.0 && source > 0.0 {
            tidy(output / source)
        } else {
            1.0
        }
    };
    Ok((
        quotient(to[2] - to[0], from[2] - from[0]),
        quotient(to[3] - to[1], from[3] - from[1]),
    ))
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
