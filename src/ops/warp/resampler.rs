//! A row of output cells from a rectangle of a source.

use super::area::AreaMethod;
use super::point;
use super::taps::{COARSER, Taps};
use super::view::{Sample, SourceBand, View};
use crate::for_samples;
use crate::spec::WarpMethod;

/// Where a row of output cells lies in a source, in its cells; NaN where it lies nowhere.
#[derive(Debug, Clone, Copy)]
pub enum Positions<'a> {
    /// Columns and rows of the centres.
    Centres(&'a [f64], &'a [f64]),
    /// Columns and rows of the upper corners, then of the lower ones: one more than cells.
    Corners([&'a [f64]; 4]),
}

/// Computes rows of output cells.
#[derive(Debug, Clone)]
pub struct Resampler {
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    Nearest,
    Bilinear,
    Cubic,
    Taps(Taps),
    Area(AreaMethod),
}

impl Resampler {
    /// Makes the resampler of a method.
    ///
    /// - `scale`: output cells on one source cell, across and down; where it is below 0.95, filters are widened.
    #[must_use]
    pub fn new(method: WarpMethod, scale: (f64, f64)) -> Self {
        let same = scale.0 >= COARSER && scale.1 >= COARSER;
        let way = match method {
            WarpMethod::Nearest => Way::Nearest,
            WarpMethod::Bilinear if same => Way::Bilinear,
            WarpMethod::Cubic if same => Way::Cubic,
            WarpMethod::Bilinear
            | WarpMethod::Cubic
            | WarpMethod::CubicSpline
            | WarpMethod::Lanczos => Way::Taps(Taps::new(method, scale)),
            _ => Way::Area(AreaMethod::new(method, scale)),
        };
        Self { way }
    }

    /// Returns how many cells around a position must be in memory, across and down.
    #[must_use]
    pub fn reach(&self) -> (f64, f64) {
        match &self.way {
            Way::Nearest => (1.0, 1.0),
            Way::Bilinear => (2.0, 2.0),
            Way::Cubic => (3.0, 3.0),
            Way::Taps(taps) => {
                let (across, down) = taps.reach();
                (across + 1.0, down + 1.0)
            }
            Way::Area(area) => area.reach(),
        }
    }

    /// Computes a row.
    ///
    /// - `source`: must hold every cell of the whole source within [`Resampler::reach`] of the positions.
    /// - `values`, `valid`: one a cell; a cell without a value is not valid, and its value is not changed.
    ///
    /// A position outside the source, or in a cell of it without a value, has none; other cells without one do not count.
    pub fn row(
        &mut self,
        source: &SourceBand<'_>,
        positions: Positions<'_>,
        values: &mut [f64],
        valid: &mut [bool],
    ) {
        for_samples!(source.samples, cells => {
            self.typed(&View::new(source, cells), positions, values, valid);
        });
    }

    fn typed<T: Sample>(
        &mut self,
        view: &View<'_, T>,
        positions: Positions<'_>,
        values: &mut [f64],
        valid: &mut [bool],
    ) {
        match (&mut self.way, positions) {
            (Way::Area(area), Positions::Corners([upper_x, upper_y, lower_x, lower_y])) => {
                let upper = upper_x.iter().zip(upper_y);
                let lower = lower_x.iter().zip(lower_y);
                let right = upper.clone().skip(1).zip(lower.clone().skip(1));
                let corners = upper.zip(lower).zip(right);
                for (((left, right), value), valid) in corners.zip(values).zip(valid) {
                    let at = |(x, y): (&f64, &f64)| (*x, *y);
                    let cell = [at(left.0), at(right.0), at(right.1), at(left.1)];
                    set(value, valid, area.value(view, &cell));
                }
            }
            (way, Positions::Centres(xs, ys)) => match way {
                Way::Nearest if point::copy(view, (xs, ys), values, valid) => {}
                Way::Nearest => points(view, (xs, ys), values, valid, point::nearest),
                Way::Bilinear => bilinear(view, (xs, ys), values, valid),
                Way::Cubic => points(view, (xs, ys), values, valid, point::cubic),
                Way::Taps(taps) => points(view, (xs, ys), values, valid, |view, x, y| {
                    taps.value(view, x, y)
                }),
                Way::Area(_) => {
                    debug_assert!(false, "a footprint needs corners");
                    valid.fill(false);
                }
            },
            (_, Positions::Corners(_)) => {
                debug_assert!(false, "a point method needs centres");
                valid.fill(false);
            }
        }
    }
}

#[inline(always)]
fn set(value: &mut f64, valid: &mut bool, found: Option<f64>) {
    *valid = found.is_some();
    *value = found.unwrap_or(*value);
}

#[inline(always)]
fn points<'v, T: Sample>(
    view: &View<'v, T>,
    (xs, ys): (&[f64], &[f64]),
    values: &mut [f64],
    valid: &mut [bool],
    mut method: impl FnMut(&View<'v, T>, f64, f64) -> Option<f64>,
) {
    for (((x, y), value), valid) in xs.iter().zip(ys).zip(values).zip(valid) {
        let found = if view.holds(*x, *y) && !view.is_hole(*x, *y) {
            method(view, *x, *y)
        } else {
            None
        };
        set(value, valid, found);
    }
}

fn bilinear<T: Sample>(
    view: &View<'_, T>,
    (xs, ys): (&[f64], &[f64]),
    values: &mut [f64],
    valid: &mut [bool],
) {
    const AT_ONCE: usize = point::SIDE_BY_SIDE;
    let positions = xs.chunks(AT_ONCE).zip(ys.chunks(AT_ONCE));
    let cells = values.chunks_mut(AT_ONCE).zip(valid.chunks_mut(AT_ONCE));
    for (positions, (values, valid)) in positions.zip(cells) {
        if !point::between(view, positions, values, valid) {
            points(view, positions, values, valid, point::bilinear);
        }
    }
}
