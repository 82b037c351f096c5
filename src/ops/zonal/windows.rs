//! The windows of a raster that zones touch, and the chunks of a window.

use super::outline::{EdgeRing, Outline, Polygon};
use super::span::{Span, unite, whole};
use super::touch;
use crate::grid::Window;

/// A raster cut into windows of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowGrid {
    /// Columns and rows of the raster.
    pub raster: (u32, u32),
    /// Columns and rows of a window.
    pub size: (u32, u32),
}

impl WindowGrid {
    fn counts(&self) -> (u32, u32) {
        let across = self.raster.0.div_ceil(self.size.0.max(1));
        (across, self.raster.1.div_ceil(self.size.1.max(1)))
    }

    /// Returns the window of a number; `None` beyond the last.
    #[must_use]
    pub fn window(&self, number: u64) -> Option<Window> {
        let (across, down) = self.counts();
        let row = number.checked_div(u64::from(across))?;
        let col = u32::try_from(number % u64::from(across)).ok()?;
        let row = u32::try_from(row).ok().filter(|row| *row < down)?;
        let (col, row) = (col * self.size.0, row * self.size.1);
        Some(Window {
            col,
            row,
            cols: self.size.0.min(self.raster.0 - col),
            rows: self.size.1.min(self.raster.1 - row),
        })
    }

    /// Lists the numbers of the windows that a zone touches, rising.
    #[must_use]
    pub fn touched(&self, outline: &Outline) -> Vec<u64> {
        let (across, down) = self.counts();
        let windows = Window::whole(across, down);
        let raster = Window::whole(self.raster.0, self.raster.1);
        let coarse = Coarse {
            size: self.size,
            cells: windows,
            within: raster,
        };
        let spans = coarse.touched(&outline.clip(&raster));
        let numbers = |span: Span| {
            let row = u64::from(span.row) * u64::from(across);
            (span.from..span.to).map(move |col| row + u64::from(col))
        };
        spans.into_iter().flat_map(numbers).collect()
    }
}

/// Returns the rectangles of a window, in whole chunks of the file, that zones touch; they do not overlap.
///
/// - `polygons`: what the window needs of all zones. `chunk`: columns and rows of a chunk.
#[must_use]
pub fn chunk_rectangles<'p>(
    polygons: impl IntoIterator<Item = &'p [Polygon]>,
    chunk: (u32, u32),
    window: &Window,
) -> Vec<Window> {
    let chunk = (chunk.0.max(1), chunk.1.max(1));
    let (left, top) = (window.col / chunk.0, window.row / chunk.1);
    let chunks = Window {
        col: left,
        row: top,
        cols: window.col_end().div_ceil(chunk.0) - left,
        rows: window.row_end().div_ceil(chunk.1) - top,
    };
    let coarse = Coarse {
        size: chunk,
        cells: chunks,
        within: *window,
    };
    let mut spans = Vec::new();
    let all = chunks.cells();
    for polygons in polygons {
        spans.extend(coarse.touched(polygons));
        // Many small zones: once all chunks are wanted no further one matters.
        if spans.len() > 4096 {
            unite(&mut spans);
            let wanted: u64 = spans
                .iter()
                .map(|span| u64::from(span.to - span.from))
                .sum();
            if wanted == all {
                break;
            }
        }
    }
    unite(&mut spans);
    let mut rectangles: Vec<Window> = Vec::new();
    for span in spans {
        let row = Window {
            col: span.from.saturating_mul(chunk.0),
            row: span.row.saturating_mul(chunk.1),
            cols: (span.to - span.from).saturating_mul(chunk.0),
            rows: chunk.1,
        };
        let Some(row) = row.intersection(window) else {
            continue;
        };
        // The same columns as a rectangle that ends above: it grows.
        let above = rectangles.iter_mut().rev().find(|above| {
            above.row_end() == row.row && (above.col, above.cols) == (row.col, row.cols)
        });
        match above {
            Some(above) => above.rows += row.rows,
            None => rectangles.push(row),
        }
    }
    rectangles
}

/// Cells of a coarser grid: windows of a raster, or chunks of a window.
struct Coarse {
    /// Columns and rows of the raster that make one.
    size: (u32, u32),
    /// Those that are asked about.
    cells: Window,
    /// The part of the raster whose polygons are known: a coarse cell may reach beyond.
    within: Window,
}

impl Coarse {
    /// Returns those that polygons touch within that part of the raster, each once.
    fn touched(&self, polygons: &[Polygon]) -> Vec<Span> {
        let scale = (f64::from(self.size.0), f64::from(self.size.1));
        let mut spans = Vec::new();
        for polygon in polygons {
            let shrink = |ring: &EdgeRing| EdgeRing {
                hole: ring.hole,
                edges: ring.edges.iter().map(|edge| edge.shrunk(scale)).collect(),
            };
            let small = Polygon {
                rings: polygon.rings.iter().map(shrink).collect(),
            };
            touch::boundary(&small, &self.cells, touch::Edges::Closed, &mut spans);
            self.enclosed(polygon, &mut spans);
        }
        unite(&mut spans);
        spans
    }

    /// Returns where a row of the coarse grid is asked whether it is inside: through the middle of its known part.
    fn line(&self, row: u32) -> f64 {
        let top = row.saturating_mul(self.size.1);
        let bottom = top.saturating_add(self.size.1);
        f64::midpoint(
            f64::from(top.max(self.within.row)),
            f64::from(bottom.min(self.within.row_end())),
        )
    }

    /// Appends the cells inside a polygon that no side passes through; of the others some.
    ///
    /// Inside by any of the rules: enclosed by an odd number of rings, as the rule of centres has it, or by more outer
    /// rings than holes, whatever their turns, as covered shares have it.
    fn enclosed(&self, polygon: &Polygon, out: &mut Vec<Span>) {
        let (wide, high) = (f64::from(self.size.0), f64::from(self.size.1));
        let mut crossings: Vec<(u32, i64, usize, i32)> = Vec::new();
        for (number, ring) in polygon.rings.iter().enumerate() {
            for edge in &ring.edges {
                let down = edge.downwards();
                let turn = if down.from == edge.from { 1 } else { -1 };
                let ([x1, y1], [x2, y2]) = (down.from, down.to);
                // Saturates at 0, and the raster has fewer than 2³² rows.
                let first = ((y1 / high) as u32).max(self.cells.row);
                let end = ((y2 / high) as u32).saturating_add(1);
                for row in first..end.min(self.cells.row_end()) {
                    let y = self.line(row);
                    if y1 <= y && y < y2 {
                        let x = (y - y1) * (x2 - x1) / (y2 - y1) + x1;
                        crossings.push((row, (x / wide + 0.5).floor() as i64, number, turn));
                    }
                }
            }
        }
        crossings.sort_unstable();
        let mut turns = vec![0; polygon.rings.len()];
        let mut odd = false;
        for (at, (row, from, number, turn)) in crossings.iter().enumerate() {
            if let Some(turns) = turns.get_mut(*number) {
                *turns += turn;
            }
            let next = crossings.get(at + 1).filter(|next| next.0 == *row);
            odd = !odd;
            let rings = polygon.rings.iter().zip(&turns);
            let level: i32 = rings
                .filter(|(_, turns)| **turns != 0)
                .map(|(ring, _)| if ring.hole { -1 } else { 1 })
                .sum();
            if odd || level > 0 {
                // A side right of the window was left out: then the last of the row has no end in it.
                let to = next.map_or_else(|| i64::from(self.cells.col_end()), |next| next.1);
                out.extend(whole(i64::from(*row), *from, to, &self.cells));
            }
            if next.is_none() {
                turns.fill(0);
                odd = false;
            }
        }
    }
}
