//! Direction of slopes.

use super::angle::atan2;
use super::{Differences, Formula, Horn, Nine, ZevenbergenThorne};
use crate::spec::{Aspect, Gradient};

/// Computes the direction that each cell faces, 0 to 360 degrees: clockwise from north, or anticlockwise from east.
///
/// - Elevations: differences are not scaled, so that cells are taken for squares, as in GDAL; no value where any of nine has
///   none, and none (or 0) where the cell is flat.
pub(super) struct Direction {
    gradient: Gradient,
    trigonometric: bool,
    flat: f64,
}

impl Direction {
    pub(super) fn new(aspect: &Aspect) -> Self {
        Self {
            gradient: aspect.gradient,
            trigonometric: aspect.trigonometric,
            flat: if aspect.zero_for_flat { 0.0 } else { f64::NAN },
        }
    }

    pub(super) fn row(&self, nine: Nine<'_>, out: &mut [f64]) {
        match self.gradient {
            Gradient::Horn => nine.each(out, &Facing::new(self, Horn)),
            Gradient::ZevenbergenThorne => nine.each(out, &Facing::new(self, ZevenbergenThorne)),
        }
    }
}

struct Facing<D> {
    from: f64,
    sign: f64,
    flat: f64,
    _differences: D,
}

impl<D> Facing<D> {
    fn new(direction: &Direction, differences: D) -> Self {
        // From east: as it is. From north: turned by 90 degrees, the other way round.
        let (from, sign) = if direction.trigonometric {
            (0.0, 1.0)
        } else {
            (90.0, -1.0)
        };
        Self {
            from,
            sign,
            flat: direction.flat,
            _differences: differences,
        }
    }
}

impl<D: Differences> Formula for Facing<D> {
    #[inline(always)]
    fn of(&self, cells: [f64; 9]) -> f64 {
        let (x, y) = D::of(cells);
        let degrees = self.from + self.sign * atan2(y, x).to_degrees();
        let degrees = if degrees < 0.0 {
            degrees + 360.0
        } else {
            degrees
        };
        // What a single would round to a full turn is none.
        let degrees = if degrees as f32 >= 360.0 {
            0.0
        } else {
            degrees
        };
        // One comparison for both: a branch would keep the loop from being vectorised.
        if x.abs() + y.abs() == 0.0 {
            self.flat
        } else {
            degrees
        }
    }
}
