//! Statistics of the cells under an output cell.

use super::polygon::shared_areas;
use super::view::{SLACK, Sample, View};
use crate::spec::WarpMethod;

/// Corners of an output cell in the source: upper left, upper right, lower right, lower left.
pub(super) type Corners = [(f64, f64); 4];

/// Computes one value of what lies under an output cell.
#[derive(Debug, Clone)]
pub(super) struct AreaMethod {
    method: WarpMethod,
    scale: (f64, f64),
    values: Vec<(f64, usize)>,
}

/// The cells of the source under an output cell, and by how much of each edge they are under it.
///
/// As gdalwarp has it: the rectangle between the upper left and the lower right corner, which is the cell itself unless grids are turned.
struct Area {
    /// First column and row, and those after the last; columns go on past the right edge where the source closes around the globe.
    cols: (i64, i64),
    rows: (i64, i64),
    x: (f64, f64),
    y: (f64, f64),
}

impl AreaMethod {
    pub(super) fn new(method: WarpMethod, scale: (f64, f64)) -> Self {
        Self {
            method,
            scale,
            values: Vec::new(),
        }
    }

    /// Returns how many cells beyond its corners belong to an output cell.
    pub(super) fn reach(&self) -> (f64, f64) {
        (1.0, 1.0)
    }

    /// Returns the statistic of the cells that have a value.
    pub(super) fn value<T: Sample>(
        &mut self,
        view: &View<'_, T>,
        corners: &Corners,
    ) -> Option<f64> {
        if self.method == WarpMethod::Sum {
            return self.sum(view, corners);
        }
        let area = self.area(view, corners)?;
        match self.method {
            WarpMethod::Rms => {
                let (sum, weights) = area.weighted(view, |value| value * value);
                (weights > 0.0).then(|| (sum / weights).sqrt())
            }
            WarpMethod::Min => area.values(view).reduce(f64::min),
            WarpMethod::Max => area.values(view).reduce(f64::max),
            WarpMethod::Mode => self.mode(area.values(view)),
            WarpMethod::Med => self.quantile(area.values(view), 0.5),
            WarpMethod::Q1 => self.quantile(area.values(view), 0.25),
            WarpMethod::Q3 => self.quantile(area.values(view), 0.75),
            _ => {
                let (sum, weights) = area.weighted(view, |value| value);
                (weights > 0.0).then(|| sum / weights)
            }
        }
    }

    fn area<T: Sample>(&self, view: &View<'_, T>, corners: &Corners) -> Option<Area> {
        let (width, height) = (view.width as f64, view.height as f64);
        let [(x0, y0), _, (x1, y1), _] = *corners;
        let (mut x, y) = ((x0.min(x1), x0.max(x1)), (y0.min(y1), y0.max(y1)));
        // Far from the source nothing is under a cell, whatever the rounding says. A NaN is near nothing.
        let margin = |scale: f64| 2.0 * (1.0 / scale).ceil().max(1.0);
        let (far_x, far_y) = (margin(self.scale.0), margin(self.scale.1));
        let near = x.0 >= -far_x && x.1 <= width + far_x && y.0 >= -far_y && y.1 <= height + far_y;
        if !near {
            return None;
        }
        let around = is_around(view, x);
        if around {
            x = (x.1, x.0 + width);
        }
        let outside =
            x.1 <= -SLACK || x.0 >= width + SLACK || y.1 <= -SLACK || y.0 >= height + SLACK;
        if outside {
            return None;
        }
        let span = |(low, high): (f64, f64), size: i64, around: bool| {
            // Within the margin of a source of at most 2^32 cells.
            let first = (low + SLACK).floor().max(0.0) as i64;
            let end = (high - SLACK).ceil() as i64;
            let end = if around { end } else { end.min(size) };
            if first == end && end < size {
                (first, end + 1)
            } else {
                (first, end)
            }
        };
        Some(Area {
            cols: span(x, view.width, around),
            rows: span(y, view.height, false),
            x,
            y,
        })
    }

    /// Returns the most frequent value; of several, the one that got there first.
    fn mode(&mut self, values: impl Iterator<Item = f64>) -> Option<f64> {
        self.values.clear();
        self.values
            .extend(values.enumerate().map(|(n, value)| (value, n)));
        self.values
            .sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut best: Option<(usize, usize, f64)> = None;
        for run in self.values.chunk_by(|a, b| a.0 == b.0) {
            let (Some((value, _)), Some((_, last))) = (run.first(), run.last()) else {
                continue;
            };
            let better = best.is_none_or(|(count, reached, _)| {
                run.len() > count || run.len() == count && *last < reached
            });
            if better {
                best = Some((run.len(), *last, *value));
            }
        }
        best.map(|(_, _, value)| value)
    }

    /// Returns the smallest value that at least this part of the values does not exceed.
    fn quantile(&mut self, values: impl Iterator<Item = f64>, part: f64) -> Option<f64> {
        self.values.clear();
        self.values.extend(values.map(|value| (value, 0)));
        let count = self.values.len();
        // Up to the number of values.
        let at = (part * count as f64 - 1.0).ceil().max(0.0) as usize;
        let last = count.checked_sub(1)?;
        let (_, found, _) = self
            .values
            .select_nth_unstable_by(at.min(last), |a, b| a.0.total_cmp(&b.0));
        Some(found.0)
    }

    fn sum<T: Sample>(&self, view: &View<'_, T>, corners: &Corners) -> Option<f64> {
        if corners
            .iter()
            .any(|(x, y)| !x.is_finite() || !y.is_finite())
        {
            return None;
        }
        let bounds = |corners: &Corners, pick: fn(&(f64, f64)) -> f64| {
            let values = corners.iter().map(pick);
            let low = values.clone().fold(f64::INFINITY, f64::min);
            (low, values.fold(f64::NEG_INFINITY, f64::max))
        };
        let (width, height) = (view.width as f64, view.height as f64);
        let mut corners = *corners;
        let around = is_around(view, bounds(&corners, |c| c.0));
        if around {
            for (x, _) in corners.iter_mut().filter(|(x, _)| *x < width / 2.0) {
                *x += width;
            }
        }
        let clip = |(low, high): (f64, f64), size: f64| {
            // Within the margin of a source of at most 2^32 cells.
            (
                low.floor().clamp(0.0, size) as i64,
                high.ceil().clamp(0.0, size) as i64,
            )
        };
        let cols = clip(
            bounds(&corners, |c| c.0),
            if around { 2.0 * width } else { width },
        );
        let rows = clip(bounds(&corners, |c| c.1), height);
        let (mut sum, mut found) = (0.0, false);
        shared_areas(
            &corners,
            cols.0..cols.1,
            rows.0..rows.1,
            |col, row, area| {
                let inside = if col < view.width {
                    col
                } else {
                    col - view.width
                };
                if let Some(value) = view.value(inside, row) {
                    sum += value * area;
                    found = true;
                }
            },
        );
        found.then_some(sum)
    }
}

/// Tells whether an output cell lies over the antimeridian: of a source that closes around the globe, it has corners at both ends.
fn is_around<T>(view: &View<'_, T>, (low, high): (f64, f64)) -> bool {
    view.around && high - low > view.width as f64 / 2.0
}

impl Area {
    fn cells<T: Sample>(&self, view: &View<'_, T>) -> impl Iterator<Item = (i64, i64)> {
        let (width, cols) = (view.width, self.cols);
        (self.rows.0..self.rows.1).flat_map(move |row| {
            (cols.0..cols.1).map(move |col| (if col < width { col } else { col - width }, row))
        })
    }

    fn values<T: Sample>(&self, view: &View<'_, T>) -> impl Iterator<Item = f64> {
        self.cells(view)
            .filter_map(|(col, row)| view.value(col, row))
    }

    /// Returns the sum of what `of` makes of the values, each by the share of its cell, and the sum of the shares.
    fn weighted<T: Sample>(&self, view: &View<'_, T>, of: impl Fn(f64) -> f64) -> (f64, f64) {
        let (mut sum, mut weights) = (0.0, 0.0);
        for row in self.rows.0..self.rows.1 {
            let down = share(row, self.rows, self.y);
            for col in self.cols.0..self.cols.1 {
                let weight = down * share(col, self.cols, self.x);
                let inside = if col < view.width {
                    col
                } else {
                    col - view.width
                };
                if weight > 0.0
                    && let Some(value) = view.value(inside, row)
                {
                    sum += of(value) * weight;
                    weights += weight;
                }
            }
        }
        (sum, weights)
    }
}

/// Returns by how much a cell is under the output's: wholly, but for the first and the last.
fn share(at: i64, (first, end): (i64, i64), (low, high): (f64, f64)) -> f64 {
    if at == first {
        if first + 1 == end {
            1.0
        } else {
            1.0 - (low - first as f64)
        }
    } else if at + 1 == end {
        1.0 - (end as f64 - high)
    } else {
        1.0
    }
}
