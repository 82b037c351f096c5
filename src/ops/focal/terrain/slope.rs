//! Steepness.

use super::angle::atan;
use super::{CellSize, Differences, Error, Formula, Horn, Nine, ZevenbergenThorne, cell_size};
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
        // The choices stand outside of the loops.
        match (self.gradient, self.unit) {
            (Gradient::Horn, SlopeUnit::Degree) => nine.each(out, &Degrees(self, Horn)),
            (Gradient::Horn, SlopeUnit::Percent) => nine.each(out, &Percent(self, Horn)),
            (Gradient::ZevenbergenThorne, SlopeUnit::Degree) => {
                nine.each(out, &Degrees(self, ZevenbergenThorne));
            }
            (Gradient::ZevenbergenThorne, SlopeUnit::Percent) => {
                nine.each(out, &Percent(self, ZevenbergenThorne));
            }
        }
    }

    #[inline(always)]
    fn rise<D: Differences>(&self, _: &D, cells: [f64; 9]) -> f64 {
        let (x, y) = D::of(cells);
        let (x, y) = (x * self.x, y * self.y);
        (x * x + y * y).sqrt()
    }
}

struct Degrees<'a, D>(&'a Steepness, D);

impl<D: Differences> Formula for Degrees<'_, D> {
    #[inline(always)]
    fn of(&self, cells: [f64; 9]) -> f64 {
        atan(self.0.rise(&self.1, cells)).to_degrees()
    }
}

struct Percent<'a, D>(&'a Steepness, D);

impl<D: Differences> Formula for Percent<'_, D> {
    #[inline(always)]
    fn of(&self, cells: [f64; 9]) -> f64 {
        100.0 * self.0.rise(&self.1, cells)
    }
}
