//! Where a point lies in an area, quickly for many points: edges by slabs of y.

use std::slice;

use geo::coordinate_position::{CoordPos, CoordinatePosition};
use geo::kernels::{Kernel, Orientation, RobustKernel};
use geo::{BoundingRect, Coord, Geometry, Polygon};

/// Returns the polygons of a geometry that is an area.
pub(super) fn areas(geometry: &Geometry) -> Option<&[Polygon]> {
    match geometry {
        Geometry::Polygon(polygon) => Some(slice::from_ref(polygon)),
        Geometry::MultiPolygon(polygons) => Some(&polygons.0),
        _ => None,
    }
}

/// Finds where a point lies without an index: inside any of the polygons, else on the boundary of any.
pub(super) fn position(polygons: &[Polygon], point: Coord) -> CoordPos {
    united(
        polygons
            .iter()
            .map(|polygon| polygon.coordinate_position(&point)),
    )
}

fn united(positions: impl Iterator<Item = CoordPos>) -> CoordPos {
    let mut found = CoordPos::Outside;
    for position in positions {
        match position {
            CoordPos::Inside => return CoordPos::Inside,
            CoordPos::OnBoundary => found = CoordPos::OnBoundary,
            CoordPos::Outside => {}
        }
    }
    found
}

/// An index of polygons' edges; it answers as [`position`] does, from the edges near the point's y only.
#[derive(Debug)]
pub(super) struct Locator(Vec<Slabs>);

impl Locator {
    /// At most so many bytes are kept for each vertex.
    pub(super) const BYTES_PER_VERTEX: usize = 32;

    pub(super) fn new(polygons: &[Polygon]) -> Self {
        Self(polygons.iter().map(Slabs::new).collect())
    }

    /// Finds where a point lies in the polygons that the index was made of.
    pub(super) fn position(&self, polygons: &[Polygon], point: Coord) -> CoordPos {
        let parts = self.0.iter().zip(polygons);
        united(parts.map(|(slabs, polygon)| slabs.position(polygon, point)))
    }
}

/// The edges of one polygon by the slabs of equal height that they touch; rings in order within each slab.
#[derive(Debug)]
struct Slabs {
    low: f64,
    high: f64,
    per_unit: f64,
    slabs: Vec<Vec<Edge>>,
}

#[derive(Debug, Clone, Copy)]
struct Edge {
    ring: u32,
    start: u32,
}

impl Slabs {
    fn new(polygon: &Polygon) -> Self {
        let (low, high) = match polygon.bounding_rect() {
            Some(bounds) => (bounds.min().y, bounds.max().y),
            None => (0.0, 0.0),
        };
        let edges: usize = rings(polygon)
            .map(|ring| ring.len().saturating_sub(1))
            .sum();
        let mut index = Self {
            low,
            high,
            per_unit: 0.0,
            slabs: Vec::new(),
        };
        let mut count = (edges / 4).max(1);
        // Long edges touch many slabs: thicker ones keep the index in proportion to the polygon.
        while index.cut(count) && index.touched(polygon) > 2 * edges {
            count = (count / 2).max(1);
        }
        index.fill(polygon);
        index
    }

    /// Cuts into slabs; returns whether fewer are possible.
    fn cut(&mut self, count: usize) -> bool {
        let height = self.high - self.low;
        self.per_unit = if height > 0.0 {
            count as f64 / height
        } else {
            0.0
        };
        self.slabs = vec![Vec::new(); count];
        count > 1
    }

    fn touched(&self, polygon: &Polygon) -> usize {
        let edges = rings(polygon).flat_map(|ring| ring.windows(2));
        edges.map(|edge| self.span(edge).count()).sum()
    }

    fn fill(&mut self, polygon: &Polygon) {
        for (ring, coords) in (0..).zip(rings(polygon)) {
            for (start, edge) in (0..).zip(coords.windows(2)) {
                let span = self.span(edge);
                for slab in self.slabs.get_mut(span).into_iter().flatten() {
                    slab.push(Edge { ring, start });
                }
            }
        }
        self.slabs.iter_mut().for_each(Vec::shrink_to_fit);
    }

    /// Rounding does no harm: of two places the higher one is never in a lower slab.
    fn slab(&self, y: f64) -> usize {
        (((y - self.low) * self.per_unit) as usize).min(self.slabs.len() - 1)
    }

    fn span(&self, edge: &[Coord]) -> std::ops::RangeInclusive<usize> {
        let ys = edge.iter().map(|end| self.slab(end.y));
        let (low, high) = ys.fold((usize::MAX, 0), |(low, high), at| {
            (low.min(at), high.max(at))
        });
        low..=high
    }

    fn position(&self, polygon: &Polygon, point: Coord) -> CoordPos {
        if point.y < self.low || point.y > self.high {
            return CoordPos::Outside;
        }
        let edges = self
            .slabs
            .get(self.slab(point.y))
            .map_or(&[][..], Vec::as_slice);
        let mut inside = false;
        for ring in edges.chunk_by(|a, b| a.ring == b.ring) {
            let is_exterior = ring.first().is_some_and(|edge| edge.ring == 0);
            match (is_exterior, in_ring(polygon, ring, point)) {
                (_, CoordPos::OnBoundary) if is_exterior || inside => return CoordPos::OnBoundary,
                (true, CoordPos::Inside) => inside = true,
                (true, _) | (false, CoordPos::Inside) => return CoordPos::Outside,
                (false, _) => {}
            }
        }
        if inside {
            CoordPos::Inside
        } else {
            CoordPos::Outside
        }
    }
}

fn rings(polygon: &Polygon) -> impl Iterator<Item = &[Coord]> {
    let all = std::iter::once(polygon.exterior()).chain(polygon.interiors());
    all.map(|ring| ring.0.as_slice())
}

/// Winds around the point, as `geo` does: an upward edge holds its start, a downward one its end.
fn in_ring(polygon: &Polygon, edges: &[Edge], point: Coord) -> CoordPos {
    let ring = edges
        .first()
        .and_then(|edge| rings(polygon).nth(edge.ring as usize));
    let mut winding = 0;
    for edge in edges {
        let start = edge.start as usize;
        let Some([start, end]) = ring.and_then(|ring| ring.get(start..start + 2)) else {
            continue;
        };
        let (low, high) = (start.y.min(end.y), start.y.max(end.y));
        if point.y < low || point.y > high {
            continue;
        }
        match RobustKernel::orient2d(*start, *end, point) {
            Orientation::Collinear
                if start.x.min(end.x) <= point.x && point.x <= start.x.max(end.x) =>
            {
                return CoordPos::OnBoundary;
            }
            Orientation::CounterClockwise if start.y <= point.y && point.y < end.y => winding += 1,
            Orientation::Clockwise if end.y <= point.y && point.y < start.y => winding -= 1,
            _ => {}
        }
    }
    if winding == 0 {
        CoordPos::Outside
    } else {
        CoordPos::Inside
    }
}

#[cfg(test)]
mod tests {
    use geo::{LineString, MultiPolygon};
    use proptest::prelude::*;

    use super::*;

    /// A star around a place, with a hole, corners on whole numbers: edges and corners are hit often.
    fn star(at: (i32, i32), radii: Vec<u8>) -> Polygon {
        let corner = |(i, radius): (usize, &u8), scale: f64| {
            let angle = i as f64 / radii.len() as f64 * std::f64::consts::TAU;
            let reach = f64::from(*radius) * scale;
            let (x, y) = (reach * angle.cos(), reach * angle.sin());
            (f64::from(at.0) + x.round(), f64::from(at.1) + y.round())
        };
        let ring = |scale: f64| -> LineString {
            radii
                .iter()
                .enumerate()
                .map(|corner_of| corner(corner_of, scale))
                .collect()
        };
        Polygon::new(ring(1.0), vec![ring(0.4)])
    }

    proptest! {
        #[test]
        fn the_index_answers_as_geo_does(
            first in prop::collection::vec(4_u8..30, 3..60),
            second in prop::collection::vec(4_u8..30, 3..60),
            points in prop::collection::vec((-40_i32..120, -80_i32..80), 40),
        ) {
            let polygons = MultiPolygon::new(vec![star((0, 0), first), star((70, 3), second)]);
            let locator = Locator::new(&polygons.0);
            let corners: Vec<Coord> = rings(&polygons.0[0]).flatten().copied().collect();
            let points = points.into_iter().map(|(x, y)| Coord { x: f64::from(x) / 2.0, y: f64::from(y) / 2.0 });
            for point in points.chain(corners) {
                prop_assert_eq!(locator.position(&polygons.0, point), position(&polygons.0, point), "{:?}", point);
            }
        }
    }

    #[test]
    fn long_edges_do_not_make_the_index_large() {
        let zigzag = (0..400).map(|i| (f64::from(i), f64::from(i % 2) * 1000.0));
        let polygon = Polygon::new(zigzag.chain([(400.0, -1.0), (0.0, -1.0)]).collect(), vec![]);
        let index = Slabs::new(&polygon);
        let entries: usize = index.slabs.iter().map(Vec::len).sum();
        assert!(entries <= 2 * 402, "{entries}");
    }
}
