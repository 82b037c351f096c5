//! Direction of slopes.

use super::Nine;
use super::angle::atan2;
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
            Gradient::Horn => self.facing(nine, out, |cells| Gradient::Horn.of(cells)),
            Gradient::ZevenbergenThorne => {
                self.facing(nine, out, |cells| Gradient::ZevenbergenThorne.of(cells));
            }
        }
    }

    #[inline(always)]
    fn facing(
        &self,
        nine: Nine<'_>,
        out: &mut [f64],
        differences: impl Fn([f64; 9]) -> (f64, f64),
    ) {
        // From east: as it is. From north: turned by 90 degrees, the other way round.
        let (from, sign) = if self.trigonometric {
            (0.0, 1.0)
        } else {
            (90.0, -1.0)
        };
        nine.each(out, |cells| {
            let (x, y) = differences(cells);
            let degrees = from + sign * atan2(y, x).to_degrees();
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
            if x == 0.0 && y == 0.0 {
                self.flat
            } else {
                degrees
            }
        });
    }
}
