//! The windows of a raster that zones touch, and the chunks of a window.

use super::outline::{EdgeRing, Outline, Polygon};
use super::span::{Span, unite};
use super::{WHOLE, centre, cover, touch};
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
        let scale = (f64::from(self.size.0), f64::from(self.size.1));
        let polygons = outline.clip(&Window::whole(self.raster.0, self.raster.1));
        let spans = cells_at_scale(&polygons, scale, &windows);
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
    let scale = (f64::from(chunk.0), f64::from(chunk.1));
    let mut spans = Vec::new();
    let all = chunks.cells();
    for polygons in polygons {
        spans.extend(cells_at_scale(polygons, scale, &chunks));
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

/// Returns the cells of a coarser grid that polygons touch, each once.
fn cells_at_scale(polygons: &[Polygon], scale: (f64, f64), window: &Window) -> Vec<Span> {
    let mut spans = Vec::new();
    for polygon in polygons {
        let shrink = |ring: &EdgeRing| EdgeRing {
            hole: ring.hole,
            edges: ring.edges.iter().map(|edge| edge.shrunk(scale)).collect(),
        };
        let polygon = Polygon {
            rings: polygon.rings.iter().map(shrink).collect(),
        };
        centre::inside(&polygon, window, &mut spans);
        touch::boundary(&polygon, window, touch::Edges::Closed, &mut spans);
        // A ring that winds around a cell twice covers it, though its centre counts as outside.
        let known = spans.len();
        cover::covered(std::slice::from_ref(&polygon), window, &mut spans);
        for span in spans.iter_mut().skip(known) {
            span.weight = WHOLE;
        }
    }
    unite(&mut spans);
    spans
}
