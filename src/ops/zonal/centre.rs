//! Cells whose centre lies in a polygon.
//!
//! GDAL's scan line: every row is cut through its centres, crossings are paired from the left (even-odd). A centre
//! exactly on a side belongs to the polygon on its left, or above; so neighbours that share a side share no cell and
//! leave none out. (GDAL besides fills horizontal sides that run exactly through centres, by the direction of the ring,
//! so that some cells have two owners; we do not.)

use super::outline::Polygon;
use super::span::{Span, whole};
use crate::grid::Window;

/// Appends the cells of one polygon, by row and column.
pub(super) fn inside(polygon: &Polygon, window: &Window, out: &mut Vec<Span>) {
    let mut crossings: Vec<(i64, i64)> = Vec::new();
    for edge in polygon.rings.iter().flat_map(|ring| &ring.edges) {
        let edge = edge.downwards();
        let ([x1, y1], [x2, y2]) = (edge.from, edge.to);
        // Rows whose centre line is in [y1, y2).
        let first = (y1 - 0.5).ceil().max(f64::from(window.row));
        let end = (y2 - 0.5).ceil().min(f64::from(window.row_end()));
        // Whole numbers within the window's.
        let (first, end) = (first as i64, end as i64);
        for row in first..end {
            let centre = row as f64 + 0.5;
            let x = (centre - y1) * (x2 - x1) / (y2 - y1) + x1;
            crossings.push((row, (x + 0.5).floor() as i64));
        }
    }
    crossings.sort_unstable();
    let mut rest = crossings.as_slice();
    while let Some(((row, from), after)) = rest.split_first() {
        // A side right of the window was left out: then the last pair of the row has no end in it.
        let (to, left) = match after.split_first() {
            Some(((same, to), left)) if same == row => (*to, left),
            _ => (i64::from(window.col_end()), after),
        };
        rest = left;
        out.extend(whole(*row, *from, to, window));
    }
}
