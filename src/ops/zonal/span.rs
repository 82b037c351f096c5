//! Runs of cells of one row, with one weight.

use super::outline::Polygon;
use super::{WHOLE, centre, cover, touch};
use crate::grid::Window;
use crate::spec::Pixels;

/// Cells side by side in one row of the raster that belong to a zone with the same weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The row of the raster.
    pub row: u32,
    /// The first column.
    pub from: u32,
    /// The column behind the last.
    pub to: u32,
    /// 2⁻³⁰ths of each cell; [`WHOLE`] unless coverage is fractional.
    pub weight: u32,
}

/// Returns the cells of a window that belong to a zone, by row and column, each once.
///
/// - `polygons`: what the window needs of the zone, see [`super::Outline::clip`].
#[must_use]
pub fn spans(polygons: &[Polygon], pixels: Pixels, window: &Window) -> Vec<Span> {
    let mut spans = Vec::new();
    match pixels {
        Pixels::Default | Pixels::AllTouched => {
            for polygon in polygons {
                centre::inside(polygon, window, &mut spans);
                if pixels == Pixels::AllTouched {
                    touch::boundary(polygon, window, touch::Edges::Open, &mut spans);
                }
            }
            let single = polygons.len() < 2 && pixels == Pixels::Default;
            if !single {
                unite(&mut spans);
            }
        }
        Pixels::Fractional => cover::covered(polygons, window, &mut spans),
    }
    spans
}

/// Makes a whole-cell span of columns, which may lie outside of the window; nothing when none is in it.
pub(super) fn whole(row: i64, from: i64, to: i64, window: &Window) -> Option<Span> {
    let from = from.max(i64::from(window.col));
    let to = to.min(i64::from(window.col_end()));
    let in_rows = (i64::from(window.row)..i64::from(window.row_end())).contains(&row);
    (from < to && in_rows).then_some(())?;
    Some(Span {
        row: u32::try_from(row).ok()?,
        from: u32::try_from(from).ok()?,
        to: u32::try_from(to).ok()?,
        weight: WHOLE,
    })
}

/// Sorts whole-cell spans and joins those that meet, so that no cell is counted twice.
pub(super) fn unite(spans: &mut Vec<Span>) {
    spans.sort_unstable();
    spans.dedup_by(|next, kept| {
        let meets = next.row == kept.row && next.from <= kept.to;
        if meets {
            kept.to = kept.to.max(next.to);
        }
        meets
    });
}
