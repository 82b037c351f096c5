//! Steepness.

use super::angle::atan;
use super::{CellSize, Error, Nine, cell_size};
use crate::spec::{Gradient, Slope, SlopeUnit};

/// Computes how steep each cell is, in degrees from 0 (flat) to 90 or in percent.
///
/// - Elevations: any unit, of which the cell size is a multiple; no value where any of nine has none.
/// - Source: Horn (1981) or Zevenbergen and Thorne (1987), in GDAL's form.
pub(super) struct Steepness {
    unit: SlopeUnit,
    gradient: Gradient,
    x: f64,
    y: f64,
}

impl Steepness {
    pub(super) fn new(slope: &Slope, cell: CellSize) -> Result<Self, Error> {
        let cell = cell_size(cell)?;
        let weight = slope.gradient.weight();
        Ok(Self {
            unit: slope.unit,
            gradient: slope.gradient,
            x: 1.0 / (weight * cell.east),
            y: 1.0 / (weight * cell.south),
        })
    }

    pub(super) fn row(&self, nine: Nine<'_>, out: &mut [f64]) {
        match self.gradient {
            Gradient::Horn => self.steep(nine, out, |cells| Gradient::Horn.of(cells)),
            Gradient::ZevenbergenThorne => {
                self.steep(nine, out, |cells| Gradient::ZevenbergenThorne.of(cells));
            }
        }
    }

    #[inline(always)]
    fn steep(&self, nine: Nine<'_>, out: &mut [f64], differences: impl Fn([f64; 9]) -> (f64, f64)) {
        let rise = |cells| {
            let (x, y) = differences(cells);
            let (x, y) = (x * self.x, y * self.y);
            (x * x + y * y).sqrt()
        };
        match self.unit {
            SlopeUnit::Degree => nine.each(out, |cells| atan(rise(cells)).to_degrees()),
            SlopeUnit::Percent => nine.each(out, |cells| 100.0 * rise(cells)),
        }
    }
}
