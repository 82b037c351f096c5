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
    filter: Filter,
    radius: i64,
    /// Distances are multiplied by this: below 1 the filter is wider than on the source's own grid.
    scale: f64,
    weights: Vec<f64>,
}

#[derive(Debug, Clone)]
enum Filter {
    /// What a cell weighs by its distance.
    Each(fn(f64) -> f64),
    /// Lanczos, of the cells up to a radius before and after the nearest.
    Lanczos(Vec<Turn>),
}

/// An angle between two cells, in thirds of half turns a cell.
#[derive(Debug, Clone)]
struct Turn {
    angle: f64,
    sine: f64,
    cosine: f64,
}

impl Taps {
    /// Makes the filter of a method, widened where the output is coarser than the source.
    pub(super) fn new(method: WarpMethod, scale: (f64, f64)) -> Self {
        let axis = |scale: f64| {
            let scale = if scale < COARSER { scale } else { 1.0 };
            // A radius of a few cells, times at most the size of a source.
            let widened = |radius: f64| (radius / scale).ceil() as i64;
            let (filter, radius) = match method {
                WarpMethod::Cubic => (Filter::Each(cubic), widened(2.0)),
                WarpMethod::CubicSpline => (Filter::Each(spline), widened(2.0)),
                WarpMethod::Lanczos => (Filter::Lanczos(turns(widened(3.0), scale)), widened(3.0)),
                _ => (Filter::Each(linear), widened(1.0)),
            };
            Axis {
                filter,
                radius,
                scale,
                weights: Vec::new(),
            }
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
        let across = self.across.weights.as_slice();
        let whole: f64 = across.iter().sum();
        let (mut sum, mut total) = (0.0, 0.0);
        for (row, down) in (first_row..).zip(&self.down.weights) {
            let at = view.index(first_col, row);
            let cells = view.cells.get(at..at + count)?;
            let (mut line, mut weights) = (0.0, 0.0);
            match view.valid {
                None => {
                    line = weighted(cells, across);
                    weights = whole;
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

#[inline(always)]
fn weighted<T: Sample>(cells: &[T], weights: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (cell, weight) in cells.iter().zip(weights) {
        sum += cell.get() * weight;
    }
    sum
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
        let cells = first..end;
        match &self.filter {
            Filter::Each(filter) => {
                let weight = |n| filter(((n - cell) as f64 - part) * self.scale);
                self.weights.extend(cells.map(weight));
            }
            Filter::Lanczos(turns) => {
                // The nearest cell's own sine, which may be tiny, and from it those of all others, which are not.
                let nearest = if part < 0.5 { cell } else { cell + 1 };
                let angle = ((nearest - cell) as f64 - part) * self.scale * THIRD;
                let (sine, cosine) = angle.sin_cos();
                let weight = |turn: &Turn| {
                    lanczos(angle + turn.angle, sine * turn.cosine + cosine * turn.sine)
                };
                // Not negative: none of them is farther from the nearest than the radius.
                let skipped = (first - nearest + self.radius) as usize;
                let turns = turns.iter().skip(skipped).take((end - first) as usize);
                self.weights.extend(turns.map(weight));
            }
        }
        (first, end)
    }
}

/// Returns the turns from a cell to those around it.
fn turns(radius: i64, scale: f64) -> Vec<Turn> {
    let turn = |n: i64| {
        let angle = n as f64 * scale * THIRD;
        let (sine, cosine) = angle.sin_cos();
        Turn {
            angle,
            sine,
            cosine,
        }
    };
    (-radius..=radius).map(turn).collect()
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

/// A third of half a turn.
const THIRD: f64 = std::f64::consts::FRAC_PI_3;

/// Lanczos with a radius of three cells: sinc(3 a) sinc(a) of an angle, which is a distance in thirds of half turns.
#[inline(always)]
fn lanczos(angle: f64, sine: f64) -> f64 {
    if angle == 0.0 {
        return 1.0;
    }
    if angle.abs() >= std::f64::consts::PI {
        return 0.0;
    }
    // sin(3 a) = sin(a) (3 - 4 sin(a)^2): one sine for both factors.
    let sinc = sine / angle;
    sinc * sinc * (1.0 - 4.0 / 3.0 * (sine * sine))
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
        let lanczos = |distance: f64| lanczos(distance * THIRD, (distance * THIRD).sin());
        let pi = std::f64::consts::PI;
        let by_hand = (2.0 / pi) * ((pi / 6.0).sin() / (pi / 6.0));
        assert!((lanczos(0.5) - by_hand).abs() < 1e-15);
        assert!(lanczos(1.0).abs() < 1e-15 && lanczos(2.0).abs() < 1e-15);
        assert_eq!(
            [linear(1.5), spline(2.0), cubic(2.1), lanczos(3.0)],
            [0.0; 4]
        );
    }

    #[test]
    fn steps_from_cell_to_cell_keep_to_the_filter() {
        for scale in [1.0, 0.9, 0.25, 0.003] {
            let Taps { mut across, .. } = Taps::new(WarpMethod::Lanczos, (scale, scale));
            // The last cells but for a hair, and positions between, near the edges and far from them.
            for place in [
                0.0,
                0.2,
                0.5,
                1.5 - 1e-13,
                1.5 + 1e-16,
                2.5 + 1e-12,
                7.3,
                5000.01,
                9999.9,
                10_000.0,
            ] {
                let (first, end) = across.weigh(place, 10_000);
                assert_eq!(across.weights.len() as i64, end - first);
                for (n, weight) in (first..end).zip(&across.weights) {
                    // By the book: sinc(d) sinc(d / 3), each of its own sine.
                    let distance =
                        (n as f64 + 0.5 - place) * if scale < COARSER { scale } else { 1.0 };
                    let sinc = |x: f64| if x == 0.0 { 1.0 } else { x.sin() / x };
                    let pi = std::f64::consts::PI;
                    let wanted = if distance.abs() < 3.0 {
                        sinc(pi * distance) * sinc(pi * distance / 3.0)
                    } else {
                        0.0
                    };
                    assert!(
                        (weight - wanted).abs() < 1e-12,
                        "{scale} {place} {n}: {weight} {wanted}"
                    );
                }
            }
        }
    }
}
