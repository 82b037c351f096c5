//! The affine transform from cells to coordinates.

use serde::{Deserialize, Serialize};

/// Maps a cell corner `(col, row)` to `(x, y)`, in GDAL's order of coefficients.
///
/// `x = c[0] + col·c[1] + row·c[2]`, `y = c[3] + col·c[4] + row·c[5]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Affine(pub [f64; 6]);

impl Affine {
    /// Returns the transform of a raster without georeference: a cell is 1 × 1, y grows downwards.
    #[must_use]
    pub const fn identity() -> Self {
        Self([0.0, 1.0, 0.0, 0.0, 0.0, 1.0])
    }

    /// Returns a north-up transform from its upper left corner and its cell size.
    #[must_use]
    pub const fn north_up(left: f64, top: f64, cell_width: f64, cell_height: f64) -> Self {
        Self([left, cell_width, 0.0, top, 0.0, -cell_height])
    }

    /// Maps a position in cells to coordinates.
    #[must_use]
    pub fn apply(&self, col: f64, row: f64) -> (f64, f64) {
        let [c0, c1, c2, c3, c4, c5] = self.0;
        (c0 + col * c1 + row * c2, c3 + col * c4 + row * c5)
    }

    /// Returns the transform from coordinates to cells, or `None` when the cells have no size.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        let [c0, c1, c2, c3, c4, c5] = self.0;
        if c2 == 0.0 && c4 == 0.0 && c1 != 0.0 && c5 != 0.0 {
            return Some(Self([-c0 / c1, 1.0 / c1, 0.0, -c3 / c5, 0.0, 1.0 / c5]));
        }
        let size = c1 * c5 - c2 * c4;
        if size == 0.0 || !size.is_finite() {
            return None;
        }
        Some(Self([
            (c2 * c3 - c0 * c5) / size,
            c5 / size,
            -c2 / size,
            (c0 * c4 - c1 * c3) / size,
            -c4 / size,
            c1 / size,
        ]))
    }

    /// Tells whether rows or columns are not parallel to the axes.
    #[must_use]
    pub fn is_rotated(&self) -> bool {
        let [_, _, c2, _, c4, _] = self.0;
        c2 != 0.0 || c4 != 0.0
    }
}
