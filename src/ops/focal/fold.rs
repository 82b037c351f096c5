//! Folding the window around each cell, all cells at once: by doubling, so that a window of `n` cells takes about
//! `2 log2 n` steps, each over whole planes.
//!
//! The fold of a window is a tree that depends on the length of the window only, so that its result is the same bits wherever
//! a plane begins. It works on a plane as one long row: down is a step of a row's length. What runs over the
//! end of a row is no one's window, and is never looked at.

use super::footprint::Footprint;
use crate::spec::FocalShape;

/// Planes that folding needs beside the one it works on.
#[derive(Debug)]
pub(super) struct Scratch<T> {
    power: Vec<T>,
    next: Vec<T>,
    row: Vec<T>,
    whole: Vec<T>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        let [power, next, row, whole] = [const { Vec::new() }; 4];
        Self {
            power,
            next,
            row,
            whole,
        }
    }
}

/// Puts into each cell of `plane`, whose rows have `cols` cells, the fold of the footprint whose upper left corner it is.
pub(super) fn footprints<T: Copy>(
    plane: &mut Vec<T>,
    scratch: &mut Scratch<T>,
    (footprint, cols): (&Footprint, usize),
    combine: impl Fn(T, T) -> T + Copy,
) {
    let size = footprint.reach.len();
    match footprint.shape {
        FocalShape::Square => {
            windows(plane, scratch, (size, 1), combine);
            windows(plane, scratch, (size, cols), combine);
        }
        FocalShape::Circle => circles(plane, scratch, (footprint, cols), combine),
    }
}

/// Folds the rows of a circle one by one, those of one length together.
fn circles<T: Copy>(
    plane: &mut Vec<T>,
    scratch: &mut Scratch<T>,
    (footprint, cols): (&Footprint, usize),
    combine: impl Fn(T, T) -> T + Copy,
) {
    let mut lengths = footprint.reach.clone();
    lengths.sort_unstable();
    lengths.dedup();
    let mut whole = std::mem::take(&mut scratch.whole);
    let mut folded = std::mem::take(&mut scratch.row);
    whole.clear();
    for reach in lengths {
        folded.clear();
        folded.extend_from_slice(plane);
        windows(&mut folded, scratch, (2 * reach + 1, 1), combine);
        let rows = footprint.reach.iter().enumerate();
        for (row, _) in rows.filter(|(_, of_row)| **of_row == reach) {
            let shifted = folded.get(row * cols + footprint.radius - reach..);
            let shifted = shifted.unwrap_or_default();
            if whole.is_empty() {
                whole.extend_from_slice(shifted);
            } else {
                let both = whole.iter_mut().zip(shifted);
                both.for_each(|(cell, more)| *cell = combine(*cell, *more));
            }
        }
    }
    std::mem::swap(plane, &mut whole);
    (scratch.whole, scratch.row) = (whole, folded);
}

/// Puts into each cell of `plane` the fold of `length` cells that lie `step` apart, itself the first. Cells whose window
/// would run over the end of the plane are cut off.
pub(super) fn windows<T: Copy>(
    plane: &mut Vec<T>,
    scratch: &mut Scratch<T>,
    (length, step): (usize, usize),
    combine: impl Fn(T, T) -> T + Copy,
) {
    let Scratch { power, next, .. } = scratch;
    // `power` is the fold of `width` cells; `plane` that of the `done` cells before, once `done` is not 0.
    power.clear();
    power.extend_from_slice(plane);
    let (mut width, mut done) = (1, 0);
    loop {
        if length & width != 0 {
            if done == 0 {
                plane.clear();
                plane.extend_from_slice(power);
            } else {
                let shifted = power.get(done * step..).unwrap_or_default();
                let both = plane.iter_mut().zip(shifted);
                both.for_each(|(cell, more)| *cell = combine(*cell, *more));
                plane.truncate(shifted.len());
            }
            done += width;
        }
        if 2 * width > length {
            return;
        }
        let shifted = power.get(width * step..).unwrap_or_default();
        next.clear();
        next.extend(power.iter().zip(shifted).map(|(a, b)| combine(*a, *b)));
        std::mem::swap(power, next);
        width *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_any_length_are_folded_in_either_direction() {
        for length in 1..20 {
            let mut across: Vec<f64> = (0..100).map(f64::from).collect();
            windows(&mut across, &mut Scratch::default(), (length, 1), |a, b| {
                a + b
            });
            assert_eq!(across.len(), 101 - length);
            for (n, sum) in across.iter().enumerate() {
                let by_hand: usize = (n..n + length).sum();
                assert_eq!(*sum, by_hand as f64, "{length}");
            }
        }
        // A disk of five cells in a raster of three by four: the middle ones are 5 and 6.
        let mut disk: Vec<f64> = (0..12).map(f64::from).collect();
        let footprint = Footprint::new(3, FocalShape::Circle).unwrap();
        footprints(
            &mut disk,
            &mut Scratch::default(),
            (&footprint, 4),
            |a, b| a + b,
        );
        assert_eq!(disk.get(..2), Some([25.0, 30.0].as_slice()));
        // Three rows of four: columns of two.
        let mut down: Vec<f64> = (0..12).map(f64::from).collect();
        windows(&mut down, &mut Scratch::default(), (2, 4), f64::max);
        assert_eq!(down, [4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
    }
}
