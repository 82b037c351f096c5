//! From cells of an output grid to cells of a source.

use serde::{Deserialize, Serialize};

use super::{Definition, Error, Transformer};
use crate::grid::Affine;

/// The grid of a source: its size, its place, its CRS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceGrid {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// From cell corners to coordinates.
    pub transform: Affine,
    /// The CRS of these coordinates.
    pub crs: Definition,
}

impl SourceGrid {
    /// Tells whether the grid closes around the globe: it has all longitudes, to half a cell.
    #[must_use]
    pub fn is_around(&self) -> bool {
        let width = self.transform.0[1].abs();
        let longitudes = width * f64::from(self.width);
        self.crs.is_geographic() && (longitudes - 360.0).abs() < width / 2.0
    }
}

/// Takes positions in cells of an output grid to positions in cells of a source: `(0, 0)` is the upper left corner of the upper
/// left cell of either, its centre `(0.5, 0.5)`.
#[derive(Debug, Clone)]
pub struct CellMap {
    output: Affine,
    transformer: Transformer,
    inverse: Affine,
    /// The longitude in the middle of a geographic source: longitudes are taken to within 180 degrees of it.
    middle: Option<f64>,
}

impl CellMap {
    /// Makes a map.
    ///
    /// # Errors
    /// When one of the CRS cannot be computed, or the source's cells have no size.
    pub fn new(output: Affine, crs: &Definition, source: &SourceGrid) -> Result<Self, Error> {
        let transformer = Transformer::new(crs, &source.crs)?;
        let inverse = source.transform.inverse().ok_or_else(|| Error::Keys {
            problem: "its cells have no size".to_owned(),
        })?;
        let middle = source.crs.is_geographic().then(|| {
            let (left, _) = source.transform.apply(0.0, 0.0);
            let (right, _) = source.transform.apply(f64::from(source.width), 0.0);
            (left + right) / 2.0
        });
        Ok(Self {
            output,
            transformer,
            inverse,
            middle,
        })
    }

    /// Takes positions in output cells to positions in source cells, in place; NaN where there is none.
    pub fn apply(&self, cols: &mut [f64], rows: &mut [f64]) {
        for (col, row) in cols.iter_mut().zip(rows.iter_mut()) {
            (*col, *row) = self.output.apply(*col, *row);
        }
        self.transformer.apply(cols, rows);
        if let Some(middle) = self.middle {
            for x in cols.iter_mut() {
                let away = *x - middle;
                if away.abs() > 180.0 {
                    *x -= 360.0 * (away / 360.0).round();
                }
            }
        }
        for (x, y) in cols.iter_mut().zip(rows.iter_mut()) {
            (*x, *y) = self.inverse.apply(*x, *y);
        }
    }
}
