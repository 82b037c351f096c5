//! Cells that the boundary of a polygon passes through.
//!
//! Positions are rounded to 2⁻³⁰ of a cell, so that a side along the edges of cells touches what it should, whatever the
//! division that brought it there has rounded.

use super::outline::{Edge, Polygon};
use super::span::{Span, whole};
use super::{FRACTION_BITS, WHOLE};
use crate::grid::Window;

/// Whether the edge of a cell is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edges {
    /// A side along the edge of a cell, or a corner in its corner, does not touch it.
    Open,
    /// It does: for asking what to read, where a cell too many does no harm.
    Closed,
}

/// Rounds a position to 2⁻³⁰ of a cell.
pub(super) fn fixed(position: f64) -> i64 {
    // Saturates, and no position is that far.
    (position * f64::from(WHOLE)).round() as i64
}

/// A side with both kinds of positions, running down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    edge: Edge,
    pub(super) from: [i64; 2],
    pub(super) to: [i64; 2],
}

impl Side {
    /// Makes it of an edge that runs down.
    pub(super) fn new(edge: Edge) -> Self {
        Self {
            edge,
            from: edge.from.map(fixed),
            to: edge.to.map(fixed),
        }
    }

    /// Returns the column position at a row position that lies between its ends.
    pub(super) fn x_at(&self, y: i64) -> i64 {
        self.along(1, 0, y)
    }

    /// Returns the row position at a column position that lies between its ends.
    pub(super) fn y_at(&self, x: i64) -> i64 {
        self.along(0, 1, x)
    }

    /// From the ends of the whole side, whatever part of it is looked at: so neighbouring windows agree.
    fn along(&self, known: usize, wanted: usize, at: i64) -> i64 {
        let pick = |position: [i64; 2], n: usize| if n == 0 { position[0] } else { position[1] };
        let real = |position: [f64; 2], n: usize| if n == 0 { position[0] } else { position[1] };
        let (a, b) = (pick(self.from, wanted), pick(self.to, wanted));
        if at == pick(self.from, known) {
            return a;
        }
        if at == pick(self.to, known) {
            return b;
        }
        let (k0, k1) = (real(self.edge.from, known), real(self.edge.to, known));
        let (w0, w1) = (real(self.edge.from, wanted), real(self.edge.to, wanted));
        let at = at as f64 / f64::from(WHOLE);
        let found = fixed((at - k0) * ((w1 - w0) / (k1 - k0)) + w0);
        found.clamp(a.min(b), a.max(b))
    }

    /// Calls `piece` with each row that it passes through and the positions where it enters and leaves it.
    pub(super) fn rows(
        &self,
        rows: std::ops::Range<u32>,
        mut piece: impl FnMut(i64, [i64; 2], [i64; 2]),
    ) {
        let (top, bottom) = (self.from[1], self.to[1]);
        let first = (top >> FRACTION_BITS).max(i64::from(rows.start));
        let last = ((bottom - 1) >> FRACTION_BITS).min(i64::from(rows.end) - 1);
        for row in first..=last {
            let enters = top.max(row << FRACTION_BITS);
            let leaves = bottom.min((row + 1) << FRACTION_BITS);
            piece(
                row,
                [self.x_at(enters), enters],
                [self.x_at(leaves), leaves],
            );
        }
    }
}

/// Appends the cells that the sides of a polygon pass through, in no order.
pub(super) fn boundary(polygon: &Polygon, window: &Window, edges: Edges, out: &mut Vec<Span>) {
    for edge in polygon.rings.iter().flat_map(|ring| &ring.edges) {
        let side = Side::new(edge.downwards());
        match edges {
            Edges::Open => open(&side, window, out),
            Edges::Closed => closed(&side, window, out),
        }
    }
}

fn open(side: &Side, window: &Window, out: &mut Vec<Span>) {
    let cells = |row: i64, a: i64, b: i64| {
        let (low, high) = (a.min(b), a.max(b));
        let from = low >> FRACTION_BITS;
        // Upright on the edge of cells it is in none: this gives nothing then.
        let last = match low == high {
            true if low & (i64::from(WHOLE) - 1) == 0 => from - 1,
            true => from,
            false => (high - 1) >> FRACTION_BITS,
        };
        whole(row, from, last + 1, window)
    };
    if side.from[1] == side.to[1] {
        let y = side.from[1];
        if y & (i64::from(WHOLE) - 1) != 0 {
            out.extend(cells(y >> FRACTION_BITS, side.from[0], side.to[0]));
        }
        return;
    }
    side.rows(window.row..window.row_end(), |row, [a, _], [b, _]| {
        out.extend(cells(row, a, b));
    });
}

fn closed(side: &Side, window: &Window, out: &mut Vec<Span>) {
    let first = (side.from[1] - 1) >> FRACTION_BITS;
    let last = (side.to[1] + 1) >> FRACTION_BITS;
    let (first, last) = (
        first.max(i64::from(window.row)),
        last.min(i64::from(window.row_end()) - 1),
    );
    for row in first..=last {
        let clamp = |y: i64| y.clamp(side.from[1], side.to[1]);
        let a = side.x_at(clamp(row << FRACTION_BITS));
        let b = side.x_at(clamp((row + 1) << FRACTION_BITS));
        let (a, b) = match side.from[1] == side.to[1] {
            true => (side.from[0], side.to[0]),
            false => (a, b),
        };
        let (from, to) = (
            (a.min(b) - 1) >> FRACTION_BITS,
            (a.max(b) + 1) >> FRACTION_BITS,
        );
        out.extend(whole(row, from, to + 1, window));
    }
}
