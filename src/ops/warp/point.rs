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
        if let (Some(upper), Some(lower)) = (pair(view, at), pair(view, below)) {
            return Some(mix(upper, lower, left, top));
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

/// Cells that [`between`] computes side by side.
pub(super) const SIDE_BY_SIDE: usize = 64;

/// Computes cells in a row, at most [`SIDE_BY_SIDE`], whose positions all lie between four cells of the source with values; tells
/// whether they do. Gives what [`bilinear`] does.
///
/// Of doubles only, and without a branch but for what is beyond the rectangle: so several cells share an instruction.
pub(super) fn between<T: Sample>(
    view: &View<'_, T>,
    (xs, ys): (&[f64], &[f64]),
    values: &mut [f64],
    valid: &mut [bool],
) -> bool {
    let (width, height) = (view.width as f64, view.height as f64);
    let inside = |at: f64, size: f64| (at + 0.5 >= 1.0) & (at + 0.5 < size);
    let all_inside = xs.iter().zip(ys).fold(true, |all, (x, y)| {
        all & inside(*x, width) & inside(*y, height)
    });
    if !all_inside {
        return false;
    }
    let mut places = [0; SIDE_BY_SIDE];
    let (mut lefts, mut tops) = ([0.0; SIDE_BY_SIDE], [0.0; SIDE_BY_SIDE]);
    let shares = lefts.iter_mut().zip(&mut tops);
    for ((place, (left, top)), (x, y)) in places.iter_mut().zip(shares).zip(xs.iter().zip(ys)) {
        let (col, row) = (whole(x + 0.5) - 1.0, whole(y + 0.5) - 1.0);
        (*left, *top) = (1.5 - (x - col), 1.5 - (y - row));
        *place = view.index_of_whole(col, row);
    }
    let mut cells = [[T::default(); SIDE_BY_SIDE]; 4];
    let [a, b, c, d] = &mut cells;
    let gathered = a.iter_mut().zip(b).zip(c.iter_mut().zip(d));
    for (((a, b), (c, d)), at) in gathered.zip(&places).take(xs.len()) {
        let below = at.wrapping_add(view.cols);
        let (Some(upper), Some(lower)) = (pair(view, *at), pair(view, below)) else {
            return false;
        };
        ([*a, *b], [*c, *d]) = (upper, lower);
    }
    let [a, b, c, d] = &cells;
    let cells = a.iter().zip(b).zip(c.iter().zip(d));
    for ((((a, b), (c, d)), (left, top)), value) in cells.zip(lefts.iter().zip(&tops)).zip(values) {
        *value = mix([*a, *b], [*c, *d], *left, *top);
    }
    valid.fill(true);
    true
}

/// Returns two cells side by side if both have values.
#[inline(always)]
fn pair<T: Sample>(view: &View<'_, T>, at: usize) -> Option<[T; 2]> {
    if !all_valid(view, at, 2) {
        return None;
    }
    view.cells.get(at..)?.first_chunk().copied()
}

/// Mixes two cells of a row with the two below them; `left` and `top` are the shares of the upper left one.
#[inline(always)]
fn mix<T: Sample>(upper: [T; 2], lower: [T; 2], left: f64, top: f64) -> f64 {
    let [upper, lower] = [upper, lower].map(|[a, b]| a.get() * left + b.get() * (1.0 - left));
    upper * top + lower * (1.0 - top)
}

/// Returns the whole part of a number that is not negative, nor as large as 2⁵¹.
#[inline(always)]
fn whole(number: f64) -> f64 {
    /// From here on doubles are whole.
    const WHOLE: f64 = (1_u64 << 52) as f64;
    let nearest = number + WHOLE - WHOLE;
    if nearest > number {
        nearest - 1.0
    } else {
        nearest
    }
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

    #[test]
    fn cells_side_by_side_are_those_of_single_cells() {
        let samples = Samples::UInt16((0..70 * 9).map(|n| (n * 7919 % 1009) as u16).collect());
        let known: Vec<bool> = (0..70 * 9).map(|n| n != 3 * 70 + 20).collect();
        let Samples::UInt16(cells) = &samples else {
            unreachable!()
        };
        let check = |valid: Option<&[bool]>, (x, y): (f64, f64), (across, down): (f64, f64)| {
            // Rows 2 to 10 and columns 1 to 70 of a source of 90 x 12 cells.
            let source = SourceBand {
                window: Window {
                    col: 1,
                    row: 2,
                    cols: 70,
                    rows: 9,
                },
                size: (90, 12),
                samples: &samples,
                valid,
                around: false,
            };
            let view = View::new(&source, cells);
            let xs: Vec<f64> = (0..50).map(|n| x + f64::from(n) * across).collect();
            let ys: Vec<f64> = (0..50).map(|n| y + f64::from(n) * down).collect();
            let (mut values, mut found) = ([0.0; 50], [false; 50]);
            let did = between(&view, (&xs, &ys), &mut values, &mut found);
            if did {
                for (((x, y), value), found) in xs.iter().zip(&ys).zip(values).zip(found) {
                    assert_eq!(found.then_some(value), bilinear(&view, *x, *y), "{x} {y}");
                }
            }
            did
        };
        // Also on the centres of cells and between just two, to the last double.
        for start in [
            (1.5, 2.5),
            (9.0, 3.0),
            (2.5f64.next_down(), 4.5f64.next_up()),
        ] {
            for step in [(1.0, 0.0), (1.13, 0.043), (0.5, 0.1), (0.0, 0.0)] {
                assert!(check(None, start, step), "{start:?} {step:?}");
            }
        }
        assert!(check(Some(&known), (30.2, 4.4), (0.7, 0.01)));
        // A hole; beyond the edges of the source; nowhere.
        assert!(!check(Some(&known), (12.2, 4.9), (0.7, 0.01)));
        assert!(!check(None, (80.0, 4.0), (0.3, 0.0)));
        assert!(!check(None, (0.4, 4.0), (1.0, 0.0)));
        assert!(!check(None, (10.0, 10.0), (1.0, 0.05)));
        assert!(!check(None, (f64::NAN, 4.0), (1.0, 0.0)));
    }
}
