//! Filters of any width: each cell within reach weighs what the filter says of its distance.

use super::view::{Sample, View};
use crate::spec::WarpMethod;

/// Weights that add up to less than this make no value.
const LEAST_WEIGHT: f64 = 0.000_001;

/// A filter, and how it is stretched.
#[derive(Debug, Clone)]
pub(super) struct Taps {
    across: Axis,
    down: Axis,
}

#[derive(Debug, Clone)]
struct Axis {
    filter: fn(f64) -> f64,
    radius: i64,
    /// Distances are multiplied by this: below 1 the filter is wider than on the source's own grid.
    scale: f64,
    weights: Vec<f64>,
}

impl Taps {
    /// Makes the filter of a method, widened where the output is coarser than the source.
    pub(super) fn new(method: WarpMethod, scale: (f64, f64)) -> Self {
        let (filter, radius): (fn(f64) -> f64, f64) = match method {
            WarpMethod::Cubic => (cubic, 2.0),
            WarpMethod::CubicSpline => (spline, 2.0),
            WarpMethod::Lanczos => (lanczos, 3.0),
            _ => (linear, 1.0),
        };
        let axis = |scale: f64| Axis {
            filter,
            // A radius of a few cells, times at most the size of a source.
            radius: if scale < COARSER {
                (radius / scale).ceil() as i64
            } else {
                radius as i64
            },
            scale: if scale < COARSER { scale } else { 1.0 },
            weights: Vec::new(),
        };
        Self {
            across: axis(scale.0),
            down: axis(scale.1),
        }
    }

    /// Returns how many cells around a position are looked at.
    pub(super) fn reach(&self) -> (f64, f64) {
        (self.across.radius as f64, self.down.radius as f64)
    }

    /// Returns the weighted mean of the cells around a position; of those that have a value.
    pub(super) fn value<T: Sample>(&mut self, view: &View<'_, T>, x: f64, y: f64) -> Option<f64> {
        let (first_col, last_col) = self.across.weigh(x, view.width);
        let (first_row, _) = self.down.weigh(y, view.height);
        let count = usize::try_from(last_col - first_col).ok()?;
        let (mut sum, mut total) = (0.0, 0.0);
        for (row, down) in (first_row..).zip(&self.down.weights) {
            let at = view.index(first_col, row);
            let cells = view.cells.get(at..at + count)?;
            let across = self.across.weights.iter();
            let (mut line, mut weights) = (0.0, 0.0);
            match view.valid {
                None => {
                    for (cell, weight) in cells.iter().zip(across) {
                        line += cell.get() * weight;
                        weights += weight;
                    }
                }
                Some(valid) => {
                    let valid = valid.get(at..at + count)?;
                    for ((cell, valid), weight) in cells.iter().zip(valid).zip(across) {
                        if *valid {
                            line += cell.get() * weight;
                            weights += weight;
                        }
                    }
                }
            }
            sum += line * down;
            total += weights * down;
        }
        (total >= LEAST_WEIGHT).then(|| sum / total)
    }
}

/// Below this scale filters are widened.
pub(super) const COARSER: f64 = 0.95;

impl Axis {
    /// Computes the weights of the cells around a place that the source has; returns the first and the one after the last.
    fn weigh(&mut self, place: f64, size: i64) -> (i64, i64) {
        let cell = (place + 0.5) as i64 - 1;
        let part = place - 0.5 - cell as f64;
        let first = (cell + 1 - self.radius).max(0);
        let end = (cell + self.radius + 1).min(size).max(first);
        self.weights.clear();
        let filter = self.filter;
        let scale = self.scale;
        self.weights
            .extend((first..end).map(|n| filter(((n - cell) as f64 - part) * scale)));
        (first, end)
    }
}

fn linear(distance: f64) -> f64 {
    (1.0 - distance.abs()).max(0.0)
}

fn cubic(distance: f64) -> f64 {
    let d = distance.abs();
    let square = d * d;
    if d <= 1.0 {
        square * (1.5 * d - 2.5) + 1.0
    } else if d <= 2.0 {
        square * (-0.5 * d + 2.5) - 4.0 * d + 2.0
    } else {
        0.0
    }
}

fn spline(distance: f64) -> f64 {
    let d = distance.abs();
    if d < 1.0 {
        (4.0 - 6.0 * d * d + 3.0 * d * d * d) / 6.0
    } else if d < 2.0 {
        let rest = 2.0 - d;
        rest * rest * rest / 6.0
    } else {
        0.0
    }
}

fn lanczos(distance: f64) -> f64 {
    if distance == 0.0 {
        return 1.0;
    }
    if distance.abs() >= 3.0 {
        return 0.0;
    }
    let a = std::f64::consts::PI * distance;
    let third = a / 3.0;
    // sin(3 t) from sin(t): one sine for both factors.
    let sine = third.sin();
    let triple = sine * (3.0 - 4.0 * sine * sine);
    (triple * sine) / (a * third)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_those_of_the_books() {
        // B-spline: 2/3 and 1/6 at 0 and 1. Keys with a = -1/2: 9/16 at 1/2, -1/16 at 3/2. Lanczos 3: sinc(1/2) sinc(1/6).
        assert!((spline(0.0) - 2.0 / 3.0).abs() < 1e-15 && (spline(1.0) - 1.0 / 6.0).abs() < 1e-15);
        assert!(
            (cubic(0.5) - 9.0 / 16.0).abs() < 1e-15 && (cubic(-1.5) + 1.0 / 16.0).abs() < 1e-15
        );
        let pi = std::f64::consts::PI;
        let by_hand = (2.0 / pi) * ((pi / 6.0).sin() / (pi / 6.0));
        assert!((lanczos(0.5) - by_hand).abs() < 1e-15);
        assert!(lanczos(1.0).abs() < 1e-15 && lanczos(2.0).abs() < 1e-15);
        assert_eq!(
            [linear(1.5), spline(2.0), cubic(2.1), lanczos(3.0)],
            [0.0; 4]
        );
    }
}
