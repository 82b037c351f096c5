//! How cells differ from their neighbours.

use super::Formula;

/// The largest less the smallest of nine cells. Source: Wilson et al. (2007), *Marine Geodesy* 30.
pub(super) struct Roughness;

impl Formula for Roughness {
    #[inline(always)]
    fn of(&self, cells: [f64; 9]) -> f64 {
        let larger = |a: f64, b: f64| if b > a { b } else { a };
        let smaller = |a: f64, b: f64| if b < a { b } else { a };
        cells.into_iter().fold(f64::NEG_INFINITY, larger)
            - cells.into_iter().fold(f64::INFINITY, smaller)
    }
}

/// The terrain ruggedness index of Riley et al. (1999): the root of the sum of the squared differences of a cell and its eight
/// neighbours.
pub(super) struct Riley;

impl Formula for Riley {
    #[inline(always)]
    fn of(&self, cells: [f64; 9]) -> f64 {
        // The centre differs from itself by 0.
        let squares = cells.map(|cell| (cell - cells[4]) * (cell - cells[4]));
        squares
            .into_iter()
            .fold(0.0, |sum, square| sum + square)
            .sqrt()
    }
}

/// The terrain ruggedness index of Wilson et al. (2007): the mean of the absolute differences.
pub(super) struct Wilson;

impl Formula for Wilson {
    #[inline(always)]
    fn of(&self, cells: [f64; 9]) -> f64 {
        let apart = cells.map(|cell| (cell - cells[4]).abs());
        apart.into_iter().fold(0.0, |sum, apart| sum + apart) / 8.0
    }
}

/// The topographic position index: a cell less the mean of its eight neighbours. Source: Weiss (2001).
pub(super) struct Position;

impl Formula for Position {
    #[inline(always)]
    fn of(&self, [a, b, c, d, centre, f, g, h, i]: [f64; 9]) -> f64 {
        centre - (a + b + c + d + f + g + h + i) * 0.125
    }
}
