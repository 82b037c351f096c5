//! The areas that a quadrilateral shares with cells.

use std::ops::Range;

/// Visits the cells with which a convex quadrilateral shares an area, row by row, each with its column, its row and the area.
///
/// - `corners`: in cells, one after the other around it.
/// - `cols`, `rows`: the cells that may be visited.
///
/// What lies in a row is cut off along its lower edge, and of that what lies in a column along its right edge.
/// Source: Sutherland and Hodgman (1974), *Reentrant polygon clipping*.
pub(super) fn shared_areas(
    corners: &[(f64, f64); 4],
    cols: Range<i64>,
    rows: Range<i64>,
    mut visit: impl FnMut(i64, i64, f64),
) {
    // Close to the origin, where areas lose no digits.
    let (left, top) = (cols.start as f64, rows.start as f64);
    let mut whole = Polygon::default();
    for (x, y) in corners {
        whole.push((y - top, x - left));
    }
    let (_, mut below) = whole.cut(0.0);
    for row in rows.clone() {
        let (in_row, rest) = below.cut((row - rows.start + 1) as f64);
        below = rest;
        let (_, mut right) = in_row.turned().cut(0.0);
        for col in cols.clone() {
            let (in_cell, rest) = right.cut((col - cols.start + 1) as f64);
            right = rest;
            let area = in_cell.area();
            if area > 0.0 {
                visit(col, row, area);
            }
        }
    }
}

/// At most eight corners: of four, each of four cuts adds one.
#[derive(Default, Clone, Copy)]
struct Polygon {
    corners: [(f64, f64); 8],
    count: usize,
}

impl Polygon {
    #[inline(always)]
    fn push(&mut self, corner: (f64, f64)) {
        if let Some(place) = self.corners.get_mut(self.count) {
            *place = corner;
            self.count += 1;
        }
    }

    fn corners(&self) -> &[(f64, f64)] {
        self.corners.get(..self.count).unwrap_or_default()
    }

    /// Returns each corner after the one before it.
    #[inline(always)]
    fn edges(&self) -> impl Iterator<Item = ((f64, f64), (f64, f64))> {
        let corners = self.corners();
        let before = corners.last().into_iter().chain(corners);
        before.copied().zip(corners.iter().copied())
    }

    /// Swaps the coordinates.
    fn turned(&self) -> Self {
        Self {
            corners: self.corners.map(|(a, b)| (b, a)),
            count: self.count,
        }
    }

    /// Returns what has a first coordinate below `at`, and what has one above.
    #[inline(always)]
    fn cut(&self, at: f64) -> (Self, Self) {
        if self.corners().iter().all(|corner| corner.0 >= at) {
            return (Self::default(), *self);
        }
        if self.corners().iter().all(|corner| corner.0 <= at) {
            return (*self, Self::default());
        }
        let (mut below, mut above) = (Self::default(), Self::default());
        for (from, to) in self.edges() {
            let (a, b) = (from.0 - at, to.0 - at);
            if a * b < 0.0 {
                let crossing = (at, from.1 + (to.1 - from.1) * (a / (a - b)));
                below.push(crossing);
                above.push(crossing);
            }
            if b <= 0.0 {
                below.push(to);
            }
            if b >= 0.0 {
                above.push(to);
            }
        }
        (below, above)
    }

    fn area(&self) -> f64 {
        let twice: f64 = self.edges().map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum();
        twice.abs() / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_areas_are_what_a_drawing_says() {
        let check = |corners, expected: f64| {
            let mut area = 0.0;
            shared_areas(&corners, 0..9, 1..12, |col, row, share| {
                assert!(share > 0.0 && share < 1.0 + 1e-12);
                if (col, row) == (2, 3) {
                    area = share;
                }
            });
            assert!((area - expected).abs() < 1e-12, "{corners:?}: {area}");
        };
        // The cell itself; its right half; a corner; nothing; all within; a diamond on its centre; turned the other way.
        check([(2.0, 3.0), (3.0, 3.0), (3.0, 4.0), (2.0, 4.0)], 1.0);
        check([(2.5, 2.0), (5.0, 2.0), (5.0, 9.0), (2.5, 9.0)], 0.5);
        check([(2.75, 3.5), (4.0, 3.5), (4.0, 5.0), (2.75, 5.0)], 0.125);
        check([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)], 0.0);
        check([(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0)], 1.0);
        check([(2.5, 3.0), (3.0, 3.5), (2.5, 4.0), (2.0, 3.5)], 0.5);
        check([(2.0, 4.0), (3.0, 4.0), (3.0, 3.0), (2.0, 3.0)], 1.0);
    }

    #[test]
    fn cells_of_a_turned_square_are_those_that_a_drawing_shows() {
        // A square of area 8 with its corners on the middles of a square of 4 x 4 cells; two columns and a row are not asked for.
        let diamond = [(12.0, 10.0), (14.0, 12.0), (12.0, 14.0), (10.0, 12.0)];
        let mut found = Vec::new();
        shared_areas(&diamond, 11..20, 5..13, |col, row, area| {
            found.push((col, row, area))
        });
        let wanted = [
            (11, 10, 0.5),
            (12, 10, 0.5),
            (11, 11, 1.0),
            (12, 11, 1.0),
            (13, 11, 0.5),
            (11, 12, 1.0),
            (12, 12, 1.0),
            (13, 12, 0.5),
        ];
        assert_eq!(found, wanted);
    }
}
