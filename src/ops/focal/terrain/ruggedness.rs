//! How cells differ from their neighbours.

use super::Nine;
use crate::spec::RuggednessFormula;

/// Computes the largest less the smallest of nine cells. Source: Wilson et al. (2007).
pub(super) fn roughness(nine: Nine<'_>, out: &mut [f64]) {
    nine.each(out, |cells| {
        let larger = |a: f64, b: f64| if b > a { b } else { a };
        let smaller = |a: f64, b: f64| if b < a { b } else { a };
        cells.into_iter().fold(f64::NEG_INFINITY, larger)
            - cells.into_iter().fold(f64::INFINITY, smaller)
    });
}

/// Computes the terrain ruggedness index: the root of the sum of the squared differences of a cell and its eight
/// neighbours (Riley et al. 1999), or the mean of the absolute ones (Wilson et al. 2007).
pub(super) fn tri(formula: RuggednessFormula, nine: Nine<'_>, out: &mut [f64]) {
    // The centre differs from itself by 0.
    match formula {
        RuggednessFormula::Riley => nine.each(out, |cells| {
            let squares = cells.map(|cell| (cell - cells[4]) * (cell - cells[4]));
            squares
                .into_iter()
                .fold(0.0, |sum, square| sum + square)
                .sqrt()
        }),
        RuggednessFormula::Wilson => nine.each(out, |cells| {
            let apart = cells.map(|cell| (cell - cells[4]).abs());
            apart.into_iter().fold(0.0, |sum, apart| sum + apart) / 8.0
        }),
    }
}

/// Computes the topographic position index: a cell less the mean of its eight neighbours. Source: Weiss (2001).
pub(super) fn tpi(nine: Nine<'_>, out: &mut [f64]) {
    nine.each(out, |[a, b, c, d, centre, f, g, h, i]| {
        centre - (a + b + c + d + f + g + h + i) * 0.125
    });
}
