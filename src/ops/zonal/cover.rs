//! The share of each cell that polygons cover, exactly.
//!
//! Positions are rounded to 2⁻³⁰ of a cell, and from there on all is whole numbers: every side leaves, in each cell that it
//! passes through, how far down it went (*cover*) and twice the area left of it; cells right of it get the whole cover.
//! Summed from the left that is the area, as renderers of fonts compute it (and exact: a cell inside is covered by 1, not
//! by 0.999…). Rings count by themselves and without sign, so that their direction does not matter; holes are taken off.
//!
//! A ring that winds around a cell twice covers it once. In a cell where a ring crosses itself its lobes may cancel out.

use super::outline::{EdgeRing, Polygon};
use super::span::Span;
use super::touch::Side;
use super::{FRACTION_BITS, WHOLE};
use crate::grid::Window;

/// Appends the cells of all polygons of a zone, by row and column; what several cover is covered once at most.
pub(super) fn covered(polygons: &[Polygon], window: &Window, out: &mut Vec<Span>) {
    if let [Polygon { rings }] = polygons
        && let [
            EdgeRing {
                hole: false,
                edges: _,
            },
        ] = rings.as_slice()
    {
        return rings.iter().for_each(|r| ring(r, window, out));
    }
    // Changes of the covered share from cell to cell.
    let mut steps: Vec<(u32, u32, i64)> = Vec::new();
    let mut spans = Vec::new();
    for one in polygons.iter().flat_map(|polygon| &polygon.rings) {
        spans.clear();
        ring(one, window, &mut spans);
        for span in &spans {
            let weight = i64::from(span.weight) * if one.hole { -1 } else { 1 };
            steps.push((span.row, span.from, weight));
            steps.push((span.row, span.to, -weight));
        }
    }
    steps.sort_unstable_by_key(|(row, col, _)| (*row, *col));
    let mut sum = 0;
    for (at, (row, from, change)) in steps.iter().enumerate() {
        sum += change;
        let Some((next_row, to, _)) = steps.get(at + 1) else {
            break;
        };
        if next_row == row && from < to {
            let weight = u32::try_from(sum.clamp(0, i64::from(WHOLE))).unwrap_or(0);
            push(out, *row, (*from, *to), weight);
        }
    }
}

/// What the sides of a ring leave in a cell.
#[derive(Debug, Clone, Copy)]
struct Mark {
    row: u32,
    col: u32,
    cover: i64,
    /// Twice the area between the sides and the left edge of the cell.
    area: i128,
}

/// Appends the cells that one ring encloses.
fn ring(ring: &EdgeRing, window: &Window, out: &mut Vec<Span>) {
    let mut marks = Marks {
        window: *window,
        left: i64::from(window.col) << FRACTION_BITS,
        right: i64::from(window.col_end()) << FRACTION_BITS,
        marks: Vec::new(),
    };
    for edge in &ring.edges {
        let down = edge.downwards();
        let sign = if down.from == edge.from { 1 } else { -1 };
        let side = Side::new(down);
        side.rows(window.row..window.row_end(), |row, from, to| {
            marks.piece(&side, sign, row, from, to);
        });
    }
    sweep(marks.marks, window, out);
}

struct Marks {
    window: Window,
    left: i64,
    right: i64,
    marks: Vec<Mark>,
}

impl Marks {
    /// Follows a side through one row, from cell to cell.
    fn piece(&mut self, side: &Side, sign: i64, row: i64, from: [i64; 2], to: [i64; 2]) {
        let ([mut x, mut y], [end_x, end_y]) = (from, to);
        let rightwards = end_x > x;
        while y < end_y {
            // Where the side leaves what it is in now: left of the window, a column of it, or right of it.
            let limit = match rightwards {
                true if x < self.left => self.left,
                true if x >= self.right => return,
                true => ((x >> FRACTION_BITS) + 1) << FRACTION_BITS,
                false if x > self.right => self.right,
                false if x <= self.left => i64::MIN,
                false => ((x - 1) >> FRACTION_BITS) << FRACTION_BITS,
            };
            let ends = if rightwards {
                limit >= end_x
            } else {
                limit <= end_x
            };
            let (next_x, next_y) = match ends {
                true => (end_x, end_y),
                false => (limit, side.y_at(limit).clamp(y, end_y)),
            };
            self.mark(sign, row, (x, next_x), next_y - y);
            (x, y) = (next_x, next_y);
            if ends {
                return;
            }
        }
    }

    fn mark(&mut self, sign: i64, row: i64, (from, to): (i64, i64), down: i64) {
        let low = from.min(to);
        if low >= self.right || down == 0 {
            return;
        }
        // Left of the window: whatever is right of it is all of the row.
        let (from, to) = (from.max(self.left), to.max(self.left));
        let col = from.min(to) >> FRACTION_BITS;
        let start = col << FRACTION_BITS;
        let (Ok(row), Ok(col)) = (u32::try_from(row), u32::try_from(col)) else {
            return;
        };
        debug_assert!(col < self.window.col_end());
        self.marks.push(Mark {
            row,
            col,
            cover: sign * down,
            area: i128::from(sign * down) * i128::from((from - start) + (to - start)),
        });
    }
}

/// Adds marks up from the left.
fn sweep(mut marks: Vec<Mark>, window: &Window, out: &mut Vec<Span>) {
    marks.sort_unstable_by_key(|mark| (mark.row, mark.col));
    let mut rest = marks.as_slice();
    let mut cover = 0;
    while let Some(first) = rest.first() {
        let (row, col) = (first.row, first.col);
        let same = rest.iter().take_while(|m| (m.row, m.col) == (row, col));
        let (mut here, mut area, mut count) = (0, 0, 0);
        for mark in same {
            here += mark.cover;
            area += mark.area;
            count += 1;
        }
        rest = rest.get(count..).unwrap_or_default();
        let right = i128::from(cover + here) * 2 * i128::from(WHOLE) - area;
        push(out, row, (col, col + 1), share(right));
        cover += here;
        let next = rest.first().filter(|next| next.row == row);
        let to = next.map_or_else(|| window.col_end(), |next| next.col);
        if cover != 0 && col + 1 < to {
            let all = i128::from(cover) * 2 * i128::from(WHOLE);
            push(out, row, (col + 1, to), share(all));
        }
        if next.is_none() {
            cover = 0;
        }
    }
}

/// Rounds twice an area in 2⁻⁶⁰ cells to a weight.
fn share(area: i128) -> u32 {
    let weight = (area.unsigned_abs() + u128::from(WHOLE)) >> (FRACTION_BITS + 1);
    u32::try_from(weight).unwrap_or(WHOLE).min(WHOLE)
}

fn push(out: &mut Vec<Span>, row: u32, (from, to): (u32, u32), weight: u32) {
    if weight == 0 {
        return;
    }
    match out.last_mut() {
        Some(last) if (last.row, last.to, last.weight) == (row, from, weight) => last.to = to,
        _ => out.push(Span {
            row,
            from,
            to,
            weight,
        }),
    }
}
