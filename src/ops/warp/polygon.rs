//! The area that a cell shares with a quadrilateral.

/// Returns the area that the unit square with its upper left corner at `cell` shares with a convex quadrilateral.
///
/// Cuts the quadrilateral at the four edges of the square, one after the other.
/// Source: Sutherland and Hodgman (1974), *Reentrant polygon clipping*.
pub(super) fn shared_area(corners: &[(f64, f64); 4], cell: (f64, f64)) -> f64 {
    // Each cut adds at most one corner.
    let mut polygon = Polygon::default();
    for (x, y) in corners {
        polygon.push((x - cell.0, y - cell.1));
    }
    let polygon = polygon
        .cut(|(x, _)| x)
        .cut(|(x, _)| 1.0 - x)
        .cut(|(_, y)| y)
        .cut(|(_, y)| 1.0 - y);
    polygon.area()
}

#[derive(Default)]
struct Polygon {
    corners: [(f64, f64); 8],
    count: usize,
}

impl Polygon {
    fn push(&mut self, corner: (f64, f64)) {
        if let Some(place) = self.corners.get_mut(self.count) {
            *place = corner;
            self.count += 1;
        }
    }

    fn edges(&self) -> impl Iterator<Item = ((f64, f64), (f64, f64))> {
        let corners = self.corners.iter().take(self.count);
        let next = corners.clone().cycle().skip(1);
        corners.copied().zip(next.copied())
    }

    /// Keeps the side on which `side` is not negative.
    fn cut(&self, side: impl Fn((f64, f64)) -> f64) -> Self {
        let mut kept = Self::default();
        for (from, to) in self.edges() {
            let (a, b) = (side(from), side(to));
            if a >= 0.0 {
                kept.push(from);
            }
            if (a >= 0.0) != (b >= 0.0) {
                let t = a / (a - b);
                kept.push((from.0 + (to.0 - from.0) * t, from.1 + (to.1 - from.1) * t));
            }
        }
        kept
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
            let area = shared_area(&corners, (2.0, 3.0));
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
}
