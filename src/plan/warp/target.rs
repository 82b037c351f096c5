//! The grid of the output.

use super::error::WarpError;
use crate::crs::{Definition, SourceGrid, Suggested, suggest};
use crate::grid::{Affine, Crs};
use crate::spec::TargetGrid;

/// The largest width or height of a raster.
const SIZE_MAX: f64 = 2_147_483_647.0;

/// The grid of the output.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) crs: Crs,
    pub(super) definition: Definition,
    pub(super) transform: Affine,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Finds the grid of the output as gdalwarp does: what the person gave, else what fits the sources.
///
/// - `sources`: path and grid of each distinct grid; at least one.
/// - `first`: the CRS of the first source, which is the output's unless another is given.
pub(super) fn find(
    wanted: &TargetGrid,
    sources: &[(&str, &SourceGrid)],
    first: (&Crs, &Definition),
) -> Result<Target, WarpError> {
    let (crs, definition) = match &wanted.crs {
        Some(text) => {
            let parsed = Definition::parse(text);
            parsed.map_err(|source| WarpError::Target { source })?
        }
        None => (first.0.clone(), first.1.clone()),
    };
    if let Some(resolution) = wanted.resolution {
        let positive = |v: f64| v.is_finite() && v > 0.0;
        if !positive(resolution.0) || !positive(resolution.1) {
            return Err(WarpError::Resolution { resolution });
        }
    }
    if let Some(extent) = wanted.extent {
        let [left, bottom, right, top] = extent;
        if !(left < right && bottom < top && extent.iter().all(|v| v.is_finite())) {
            return Err(WarpError::Extent { extent });
        }
    }
    let (left, top, cell, size) = match (wanted.extent, wanted.resolution) {
        (Some(extent), Some(cell)) => cut(extent, cell),
        (extent, resolution) => {
            let all = suggestions(sources, &definition)?;
            match (extent, resolution) {
                (None, None) => fitting(&all),
                (None, Some(cell)) => cut(union(&all), cell),
                (Some(extent), _) => stretch(extent, finest(&all)),
            }
        }
    };
    let fits = |n: f64| (1.0..=SIZE_MAX).contains(&n);
    if !fits(size.0) || !fits(size.1) {
        let (width, height) = size;
        return Err(WarpError::Size { width, height });
    }
    Ok(Target {
        crs,
        definition,
        transform: Affine::north_up(left, top, cell.0, cell.1),
        // Whole numbers below 2^31.
        width: size.0 as u32,
        height: size.1 as u32,
    })
}

fn suggestions(
    sources: &[(&str, &SourceGrid)],
    definition: &Definition,
) -> Result<Vec<Suggested>, WarpError> {
    let one = |(path, grid): &(&str, &SourceGrid)| {
        suggest(grid, definition).map_err(|source| WarpError::Source {
            path: (*path).to_owned(),
            source,
        })
    };
    sources.iter().map(one).collect()
}

/// Left, top, cell size, columns and rows.
type Laid = (f64, f64, (f64, f64), (f64, f64));

fn union(all: &[Suggested]) -> [f64; 4] {
    let start = [
        f64::INFINITY,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NEG_INFINITY,
    ];
    all.iter().fold(start, |[left, bottom, right, top], one| {
        let [l, b, r, t] = one.extent;
        [left.min(l), bottom.min(b), right.max(r), top.max(t)]
    })
}

fn finest(all: &[Suggested]) -> (f64, f64) {
    all.iter()
        .fold((f64::INFINITY, f64::INFINITY), |(width, height), one| {
            (width.min(one.cell.0), height.min(one.cell.1))
        })
}

fn fitting(all: &[Suggested]) -> Laid {
    if let [one] = all {
        let [left, _, _, top] = one.extent;
        return (
            left,
            top,
            one.cell,
            (f64::from(one.width), f64::from(one.height)),
        );
    }
    cut(union(all), finest(all))
}

/// Cells of a given size from the upper left corner on.
fn cut([left, bottom, right, top]: [f64; 4], cell: (f64, f64)) -> Laid {
    let count = |length: f64, cell: f64| ((length + cell / 2.0) / cell).floor();
    let size = (count(right - left, cell.0), count(top - bottom, cell.1));
    (left, top, cell, size)
}

/// Cells of about a given size that fill an extent.
fn stretch(extent: [f64; 4], cell: (f64, f64)) -> Laid {
    let [left, bottom, right, top] = extent;
    let (_, _, _, (width, height)) = cut(extent, cell);
    let (width, height) = (width.max(1.0), height.max(1.0));
    let cell = ((right - left) / width, (top - bottom) / height);
    (left, top, cell, (width, height))
}
