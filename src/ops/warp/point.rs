//! Nearest, bilinear and cubic values of a position.

use super::view::{Sample, View};

/// Weights that add up to less than this make no value.
const LEAST_WEIGHT: f64 = 0.00001;

/// Returns the value of the cell in which a position lies.
#[inline(always)]
pub(super) fn nearest<T: Sample>(view: &View<'_, T>, x: f64, y: f64) -> Option<f64> {
    let (col, row) = view.cell_at(x, y);
    view.value(col, row)
}

/// Copies the cells of a row whose positions go from cell to cell, as on a grid that is the source's own but for its origin; tells
/// whether it did. Gives what [`nearest`] does.
pub(super) fn copy<T: Sample>(
    view: &View<'_, T>,
    (xs, ys): (&[f64], &[f64]),
    values: &mut [f64],
    valid: &mut [bool],
) -> bool {
    /// How far a position may be from the middle of its cell, for being in that cell without doubt.
    const MIDDLE: f64 = 0.25;
    let (Some(x), Some(y)) = (xs.first(), ys.first()) else {
        return true;
    };
    if !view.holds(*x, *y) {
        return false;
    }
    let (col, row) = view.cell_at(*x, *y);
    let (x, y) = (col as f64 + 0.5, row as f64 + 0.5);
    let across = (0_i32..).zip(xs).fold(true, |near, (n, found)| {
        near & ((found - (x + f64::from(n))).abs() < MIDDLE)
    });
    let level = ys
        .iter()
        .fold(true, |near, found| near & ((found - y).abs() < MIDDLE));
    let Some(place) = view.run(col, row, xs.len()).filter(|_| across & level) else {
        return false;
    };
    let Some(cells) = view.cells.get(place.clone()) else {
        return false;
    };
    match view.valid.map(|valid| valid.get(place)) {
        None => {
            valid.fill(true);
            for (value, cell) in values.iter_mut().zip(cells) {
                *value = cell.get();
            }
        }
        Some(None) => return false,
        Some(Some(known)) => {
            for (((value, valid), cell), known) in
                values.iter_mut().zip(valid).zip(cells).zip(known)
            {
                *valid = *known;
                *value = if *known { cell.get() } else { *value };
            }
        }
    }
    true
}

/// Returns the value between the four cells around a position, by distance; of those that have one.
#[inline(always)]
pub(super) fn bilinear<T: Sample>(view: &View<'_, T>, x: f64, y: f64) -> Option<f64> {
    // The upper left one: floor(x - 0.5), of what is not negative.
    let (col, row) = ((x + 0.5) as i64 - 1, (y + 0.5) as i64 - 1);
    let left = 1.5 - (x - col as f64);
    let top = 1.5 - (y - row as f64);
    if col >= 0 && row >= 0 && col + 1 < view.width && row + 1 < view.height {
        let at = view.index(col, row);
        let below = at + view.cols;
        if all_valid(view, at, 2) && all_valid(view, below, 2) {
            let [a, b] = view.cells.get(at..)?.first_chunk()?.map(Sample::get);
            let [c, d] = view.cells.get(below..)?.first_chunk()?.map(Sample::get);
            let (upper, lower) = (a * left + b * (1.0 - left), c * left + d * (1.0 - left));
            return Some(upper * top + lower * (1.0 - top));
        }
    }
    let corners = [
        (0, 0, left * top),
        (1, 0, (1.0 - left) * top),
        (0, 1, left * (1.0 - top)),
        (1, 1, (1.0 - left) * (1.0 - top)),
    ];
    let (mut sum, mut weights) = (0.0, 0.0);
    for (right, down, weight) in corners {
        let (col, row) = (col + right, row + down);
        if col < 0 || row < 0 || col >= view.width || row >= view.height {
            continue;
        }
        if let Some(value) = view.value(col, row) {
            sum += value * weight;
            weights += weight;
        }
    }
    (weights >= LEAST_WEIGHT).then(|| sum / weights)
}

/// Returns the value of a cubic through the sixteen cells around a position; bilinear where one of them is missing.
///
/// Source: Keys (1981), *Cubic convolution interpolation for digital image processing*, with a = -1/2.
#[inline(always)]
pub(super) fn cubic<T: Sample>(view: &View<'_, T>, x: f64, y: f64) -> Option<f64> {
    let (col, row) = ((x + 0.5) as i64 - 1, (y + 0.5) as i64 - 1);
    if col < 1 || row < 1 || col + 2 >= view.width || row + 2 >= view.height {
        return bilinear(view, x, y);
    }
    let across = weights(x - 0.5 - col as f64);
    let down = weights(y - 0.5 - row as f64);
    let mut sum = 0.0;
    for (line, weight) in (row - 1..).zip(down) {
        let at = view.index(col - 1, line);
        if !all_valid(view, at, 4) {
            return bilinear(view, x, y);
        }
        let [a, b, c, d] = view.cells.get(at..)?.first_chunk()?.map(Sample::get);
        sum += (a * across[0] + b * across[1] + c * across[2] + d * across[3]) * weight;
    }
    Some(sum)
}

/// Tells whether some cells side by side all have values.
#[inline(always)]
fn all_valid<T>(view: &View<'_, T>, at: usize, count: usize) -> bool {
    view.valid.is_none_or(|valid| {
        let here = valid.get(at..at + count);
        here.is_some_and(|here| here.iter().all(|v| *v))
    })
}

/// Returns the weights of the four cells around a place that lies `t` behind the second.
#[inline(always)]
fn weights(t: f64) -> [f64; 4] {
    let half = 0.5 * t;
    let half_square = half * t;
    [
        half * (-1.0 + t * (2.0 - t)),
        1.0 + half_square * (-5.0 + 3.0 * t),
        half * (1.0 + t * (4.0 - 3.0 * t)),
        half_square * (-1.0 + t),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::view::SourceBand;
    use super::*;
    use crate::grid::{Samples, Window};

    #[test]
    fn a_row_that_is_copied_is_that_of_single_cells() {
        let samples = Samples::Float32((0..30).map(|n| n as f32).collect());
        let known: Vec<bool> = (0..30).map(|n| n % 7 != 3).collect();
        let source = SourceBand {
            // Rows 4 to 8 and columns 2 to 7 of a source of 9 x 12 cells.
            window: Window {
                col: 2,
                row: 4,
                cols: 6,
                rows: 5,
            },
            size: (9, 12),
            samples: &samples,
            valid: Some(&known),
            around: false,
        };
        let Samples::Float32(cells) = &samples else {
            unreachable!()
        };
        let view = View::new(&source, cells);
        let row = |x: f64, y: f64, step: f64| {
            let xs: Vec<f64> = (0..4).map(|n| x + f64::from(n) * step).collect();
            let ys = vec![y; 4];
            let (mut values, mut valid) = (vec![-1.0; 4], vec![false; 4]);
            let copied = copy(&view, (&xs, &ys), &mut values, &mut valid);
            let single: Vec<_> = xs.iter().map(|x| nearest(&view, *x, y)).collect();
            (copied, values, valid, single)
        };
        for (x, y) in [(2.5, 4.5), (4.5, 8.5), (3.7, 6.3)] {
            let (copied, values, valid, single) = row(x, y, 1.0);
            assert!(copied);
            for ((value, valid), single) in values.iter().zip(valid).zip(single) {
                assert_eq!(valid.then_some(*value), single);
                assert!(valid || *value == -1.0);
            }
        }
        // Close to an edge of cells, not from cell to cell, beyond the rectangle, beyond the source, nowhere.
        for (x, y, step) in [
            (2.05, 4.5, 1.0),
            (2.5, 4.95, 1.0),
            (2.5, 4.5, 1.2),
            (5.5, 4.5, 1.0),
            (1.5, 4.5, 1.0),
            (2.5, 9.5, 1.0),
            (-1.5, 4.5, 1.0),
            (f64::NAN, 4.5, 1.0),
        ] {
            assert!(!row(x, y, step).0, "{x} {y} {step}");
        }
    }
}
