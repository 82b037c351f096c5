//! Shaded relief.

use std::f64::consts::{FRAC_PI_2, PI};

use super::angle::{acos, atan, atan2};
use super::{
    CellSize, Differences, Error, Formula, Horn, Nine, ZevenbergenThorne, cell_size, positive,
};
use crate::spec::{Gradient, Hillshade, Shading};

/// Computes how bright each cell is, 1 (dark) to 255, from the angle between the light and the slope.
///
/// - Elevations: any unit, of which the cell size is a multiple; no value where any of nine has none.
/// - `single`: `1 + 254 cos(angle)`, 1 in the shade. Source: Horn (1981), *Hill shading and the reflectance map*, in GDAL's form.
/// - `multidirectional`: lights from 225, 270, 315 and 360 degrees, weighted by the sine of the aspect against each.
///   Source: Mark (1992), USGS Open-File Report 92-422.
/// - `combined` and `igor`: GDAL's formulas.
pub(super) struct Light {
    shading: Shading,
    gradient: Gradient,
    /// What differences are multiplied by.
    x: f64,
    y: f64,
    /// Towards the light: sine of its height, and the ground's share of it in y and x.
    up: f64,
    level: f64,
    north: f64,
    east: f64,
    /// The azimuth in radians.
    azimuth: f64,
}

impl Light {
    pub(super) fn new(light: &Hillshade, cell: CellSize) -> Result<Self, Error> {
        let cell = cell_size(cell)?;
        let z = positive("z-factor", light.z_factor)? / light.gradient.weight();
        let altitude = positive("altitude", light.altitude)?.to_radians();
        if !light.azimuth.is_finite() {
            return Err(Error::NotFinite {
                name: "azimuth",
                value: light.azimuth,
            });
        }
        let azimuth = light.azimuth.to_radians();
        Ok(Self {
            shading: light.shading,
            gradient: light.gradient,
            x: z / cell.east,
            y: z / cell.south,
            up: altitude.sin(),
            level: altitude.cos(),
            north: azimuth.cos() * altitude.cos(),
            east: azimuth.sin() * altitude.cos(),
            azimuth,
        })
    }

    pub(super) fn row(&self, nine: Nine<'_>, out: &mut [f64]) {
        // The choices stand outside of the loops.
        match self.gradient {
            Gradient::Horn => self.shaded(nine, out, Horn),
            Gradient::ZevenbergenThorne => self.shaded(nine, out, ZevenbergenThorne),
        }
    }

    fn shaded<D: Differences>(&self, nine: Nine<'_>, out: &mut [f64], differences: D) {
        match self.shading {
            Shading::Single => nine.each(out, &Single(self, differences)),
            Shading::Combined => nine.each(out, &Combined(self, differences)),
            Shading::Multidirectional => nine.each(out, &Multidirectional(self, differences)),
            Shading::Igor => nine.each(out, &Igor::new(self, differences)),
        }
    }

    #[inline(always)]
    fn slope<D: Differences>(&self, _: &D, cells: [f64; 9]) -> (f64, f64) {
        let (x, y) = D::of(cells);
        (x * self.x, y * self.y)
    }

    /// Returns the cosine of the angle between the light and the slope's normal.
    #[inline(always)]
    fn cosine(&self, x: f64, y: f64) -> f64 {
        (self.up - (y * self.north - x * self.east)) / (1.0 + x * x + y * y).sqrt()
    }

    #[inline(always)]
    fn lit_from_all_sides(&self, x: f64, y: f64) -> f64 {
        const DIAGONAL: f64 = std::f64::consts::FRAC_1_SQRT_2;
        let (xx, yy) = (x * x, y * y);
        let square = xx + yy;
        let lit = |towards: f64| positive_part(self.up + towards * self.level);
        let southwest = lit((y - x) * DIAGONAL);
        let west = lit(-x);
        let northwest = lit(-(x + y) * DIAGONAL);
        let north = lit(-y);
        let weight_southwest = 0.5 * square - x * y;
        let light = weight_southwest * southwest
            + xx * west
            + (square - weight_southwest) * northwest
            + yy * north;
        let shade = 127.0 * (light / square) / (1.0 + square).sqrt();
        let flat = 254.0 * self.up;
        1.0 + if square == 0.0 { flat } else { shade }
    }
}

struct Single<'a, D>(&'a Light, D);

impl<D: Differences> Formula for Single<'_, D> {
    #[inline(always)]
    fn of(&self, cells: [f64; 9]) -> f64 {
        let (x, y) = self.0.slope(&self.1, cells);
        1.0 + 254.0 * positive_part(self.0.cosine(x, y))
    }
}

struct Combined<'a, D>(&'a Light, D);

impl<D: Differences> Formula for Combined<'_, D> {
    #[inline(always)]
    fn of(&self, cells: [f64; 9]) -> f64 {
        let (x, y) = self.0.slope(&self.1, cells);
        let steepness = atan((x * x + y * y).sqrt());
        let shade = 1.0 - acos(self.0.cosine(x, y)) * steepness / (FRAC_PI_2 * FRAC_PI_2);
        1.0 + 254.0 * positive_part(shade)
    }
}

struct Multidirectional<'a, D>(&'a Light, D);

impl<D: Differences> Formula for Multidirectional<'_, D> {
    #[inline(always)]
    fn of(&self, cells: [f64; 9]) -> f64 {
        let (x, y) = self.0.slope(&self.1, cells);
        self.0.lit_from_all_sides(x, y)
    }
}

struct Igor<'a, D> {
    light: &'a Light,
    differences: D,
    /// The direction that the light falls on, anticlockwise from east, in radians.
    against: f64,
}

impl<'a, D> Igor<'a, D> {
    fn new(light: &'a Light, differences: D) -> Self {
        Self {
            light,
            differences,
            against: (PI * 1.5 - light.azimuth).rem_euclid(2.0 * PI),
        }
    }
}

impl<D: Differences> Formula for Igor<'_, D> {
    #[inline(always)]
    fn of(&self, cells: [f64; 9]) -> f64 {
        // The direction is of the differences as they are, as for aspect; a flat cell has none, and does not need it.
        let (x, y) = D::of(cells);
        let direction = if x.abs() + y.abs() == 0.0 {
            0.0
        } else {
            atan2(y, x)
        };
        let direction = if direction < 0.0 {
            direction + 2.0 * PI
        } else {
            direction
        };
        let apart = (direction - self.against).abs();
        let apart = if apart > PI { 2.0 * PI - apart } else { apart };
        let (x, y) = self.light.slope(&self.differences, cells);
        let steepness = atan((x * x + y * y).sqrt()) / FRAC_PI_2;
        255.0 * (1.0 - steepness * (1.0 - apart / PI))
    }
}

/// Returns the number, or 0 where it is below.
#[inline(always)]
fn positive_part(value: f64) -> f64 {
    if value > 0.0 { value } else { 0.0 }
}
