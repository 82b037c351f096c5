//! Polygons in cells, and the part of them that a window needs.

use crate::grid::{Affine, Window};

/// The polygons of a zone: each a list of rings, the first its outside, the others holes; positions in columns and rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outline {
    /// The polygons.
    pub polygons: Vec<Vec<Vec<[f64; 2]>>>,
}

/// No vertex is further from the origin than this many cells: a raster has 2³² at most.
const FAR: f64 = 4e9;

/// A side of a ring, in cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// Where it starts: column and row.
    pub from: [f64; 2],
    /// Where it ends.
    pub to: [f64; 2],
}

/// The sides of a ring that a window needs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EdgeRing {
    /// Whether it is a hole of its polygon.
    pub hole: bool,
    /// The sides, in no particular order.
    pub edges: Vec<Edge>,
}

/// The rings of a polygon that a window needs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Polygon {
    /// The rings.
    pub rings: Vec<EdgeRing>,
}

impl Edge {
    /// Returns the edge with `from` not below `to`.
    pub(super) fn downwards(self) -> Self {
        let Self { from, to } = self;
        match from[1] <= to[1] {
            true => self,
            false => Self { from: to, to: from },
        }
    }

    /// Returns the edge on a grid whose cells are so many times as wide and high.
    pub(super) fn shrunk(self, (cols, rows): (f64, f64)) -> Self {
        let shrink = |[x, y]: [f64; 2]| [x / cols, y / rows];
        Self {
            from: shrink(self.from),
            to: shrink(self.to),
        }
    }

    fn matters(&self, window: &Window) -> bool {
        let ([x0, y0], [x1, y1]) = (self.from, self.to);
        // One cell around: what touches an edge of the window may be asked about.
        y0.max(y1) >= f64::from(window.row) - 1.0
            && y0.min(y1) <= f64::from(window.row_end()) + 1.0
            && x0.min(x1) <= f64::from(window.col_end()) + 1.0
    }
}

impl Outline {
    /// Brings positions from coordinates of the raster's CRS to cells; `None` when the transform has no inverse.
    #[must_use]
    pub fn to_cells(mut self, transform: &Affine) -> Option<Self> {
        let [x0, a, b, y0, c, d] = transform.0;
        let determinant = a * d - b * c;
        if determinant == 0.0 || !determinant.is_finite() {
            return None;
        }
        let north_up = b == 0.0 && c == 0.0;
        for position in self.positions_mut() {
            let (x, y) = (position[0] - x0, position[1] - y0);
            // Without a rotation the plain quotient is closest to the truth: corners of cells come out whole.
            let (col, row) = match north_up {
                true => (x / a, y / d),
                false => ((d * x - b * y) / determinant, (a * y - c * x) / determinant),
            };
            *position = [col.clamp(-FAR, FAR), row.clamp(-FAR, FAR)];
        }
        Some(self)
    }

    /// Gives every position, to be changed.
    pub fn positions_mut(&mut self) -> impl Iterator<Item = &mut [f64; 2]> {
        self.polygons.iter_mut().flatten().flatten()
    }

    /// Returns what of it a window needs: sides at its rows, and left of its right edge. Polygons without any are left
    /// out.
    #[must_use]
    pub fn clip(&self, window: &Window) -> Vec<Polygon> {
        let ring = |(number, ring): (usize, &Vec<[f64; 2]>)| {
            let last = ring.last().copied().into_iter();
            let starts = last.chain(ring.iter().copied());
            let edges = starts.zip(ring).map(|(from, to)| Edge { from, to: *to });
            EdgeRing {
                hole: number > 0,
                edges: edges
                    .filter(|edge| edge.from != edge.to && edge.matters(window))
                    .collect(),
            }
        };
        let polygon = |rings: &Vec<Vec<[f64; 2]>>| Polygon {
            rings: rings
                .iter()
                .enumerate()
                .map(ring)
                .filter(|ring| !ring.edges.is_empty())
                .collect(),
        };
        let polygons = self.polygons.iter().map(polygon);
        polygons.filter(|p| !p.rings.is_empty()).collect()
    }

    /// Tells whether a position is not a number, or infinite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        let positions = self.polygons.iter().flatten().flatten();
        positions.flatten().all(|number| number.is_finite())
    }
}

impl EdgeRing {
    /// Appends the sides as bytes: four little-endian doubles each.
    pub fn encode(edges: &[Edge], out: &mut Vec<u8>) {
        for edge in edges {
            let numbers = edge.from.into_iter().chain(edge.to);
            out.extend(numbers.flat_map(f64::to_le_bytes));
        }
    }

    /// Appends the sides that bytes hold; `None` when they are not whole or not finite.
    pub fn decode(&mut self, bytes: &[u8]) -> Option<()> {
        let mut numbers = bytes.chunks_exact(8).map(|number| {
            let number = f64::from_le_bytes(number.try_into().ok()?);
            number.is_finite().then_some(number)
        });
        if !bytes.len().is_multiple_of(32) {
            return None;
        }
        for _ in 0..bytes.len() / 32 {
            let mut position = || Some([numbers.next()??, numbers.next()??]);
            let (from, to) = (position()?, position()?);
            self.edges.push(Edge { from, to });
        }
        Some(())
    }
}
