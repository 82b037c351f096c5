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
