//! What is where: relief, water, fields, woods, rock and snow, and how they look in five bands.

use super::noise;

/// The sample that means "no data" in the bands.
pub(super) const NO_DATA: u16 = 0;

/// Cells from one mountain to the next, about.
const RELIEF_CELLS: f64 = 900.0;
/// Cells from one river to the next, about.
const RIVER_CELLS: f64 = 700.0;
/// Cells along the longer and shorter edge of a field.
const FIELD_CELLS: (f64, f64) = (46.0, 28.0);
/// The highest relief, in metres.
const RELIEF_M: f64 = 2600.0;
/// Metres along the edge of a cell.
const CELL_M: f64 = 10.0;

/// Reflectance × 10,000 in blue, green, red, near and short-wave infrared.
type Spectrum = [f64; 5];

// After typical Sentinel-2 surface reflectances; only their order matters for a scene to try things on.
const WATER: Spectrum = [620.0, 520.0, 340.0, 160.0, 70.0];
const SOIL: Spectrum = [900.0, 1250.0, 1700.0, 2400.0, 3100.0];
const CROP: Spectrum = [330.0, 680.0, 380.0, 4400.0, 1800.0];
const MEADOW: Spectrum = [420.0, 780.0, 560.0, 3300.0, 2000.0];
const WOOD: Spectrum = [230.0, 390.0, 260.0, 2900.0, 1250.0];
const ROCK: Spectrum = [1250.0, 1450.0, 1650.0, 2050.0, 2500.0];
const SNOW: Spectrum = [8600.0, 8500.0, 8300.0, 7600.0, 1100.0];

/// A rectangle of the scene.
pub(super) struct Tile {
    /// Blue, green, red, near infrared, short-wave infrared, row by row.
    pub(super) bands: [Vec<u16>; 5],
    /// Elevation in metres, row by row.
    pub(super) elevation_m: Vec<f32>,
}

/// A landscape, by its size and seed.
pub(super) struct Landscape {
    size: f64,
    seed: u64,
}

impl Landscape {
    pub(super) fn new(size: u32, seed: u64) -> Self {
        Self {
            size: f64::from(size),
            seed: noise::hash(seed, 0, 0),
        }
    }

    /// Makes the cells of a rectangle.
    pub(super) fn tile(&self, (left, top): (u32, u32), (cols, rows): (u32, u32)) -> Tile {
        let cells = cols as usize * rows as usize;
        let mut tile = Tile {
            bands: std::array::from_fn(|_| Vec::with_capacity(cells)),
            elevation_m: Vec::with_capacity(cells),
        };
        let line = |row: u32| -> Vec<f64> {
            (left..=left + cols)
                .map(|col| self.height(f64::from(col), f64::from(row)))
                .collect()
        };
        let mut below = line(top);
        for row in top..top + rows {
            let heights = std::mem::replace(&mut below, line(row + 1));
            let here_and_right = heights.iter().zip(heights.iter().skip(1));
            for ((col, (here, right)), below) in (left..).zip(here_and_right).zip(&below) {
                let (x, y, here) = (f64::from(col), f64::from(row), *here);
                let slope = (
                    (right - here) * RELIEF_M / CELL_M,
                    (below - here) * RELIEF_M / CELL_M,
                );
                let wet = self.water(x, y, here);
                let elevation_m = if wet {
                    here * RELIEF_M - 3.0
                } else {
                    here * RELIEF_M
                };
                tile.elevation_m.push(elevation_m as f32);
                let spectrum = if self.is_outside(x, y) {
                    None
                } else {
                    Some(self.spectrum(x, y, here, slope, wet))
                };
                for (number, band) in tile.bands.iter_mut().enumerate() {
                    let sample = spectrum.and_then(|spectrum| spectrum.get(number).copied());
                    // `as` rounds down and saturates; a valid sample is at least 1.
                    band.push(sample.map_or(NO_DATA, |sample| sample.clamp(1.0, 12_000.0) as u16));
                }
            }
        }
        tile
    }

    /// Tells whether a cell is beyond the edge of the satellite's swath: a wedge at the left.
    fn is_outside(&self, x: f64, y: f64) -> bool {
        x + 0.22 * y < 0.09 * self.size
    }

    /// Relief from 0 to 1: broad valleys, steeper towards the peaks.
    fn height(&self, x: f64, y: f64) -> f64 {
        let broad = noise::fractal(self.seed, x / RELIEF_CELLS, y / RELIEF_CELLS, 8);
        let lifted = ((broad - 0.28) / 0.5).clamp(0.0, 1.0);
        0.03 + 0.05 * broad + 0.92 * lifted * lifted
    }

    /// Tells whether a cell is river or lake: rivers wind where a noise crosses its middle, below the hills.
    fn water(&self, x: f64, y: f64, height: f64) -> bool {
        if height > 0.3 {
            return false;
        }
        let seed = self.seed.wrapping_add(100);
        let course = noise::fractal(seed, x / RIVER_CELLS, y / RIVER_CELLS, 4) - 0.5;
        let width = 0.004 + 0.006 * (0.3 - height);
        let lake = noise::value(seed.wrapping_add(50), x / 260.0, y / 260.0);
        course.abs() < width || lake > 0.93 && height < 0.12
    }

    fn spectrum(&self, x: f64, y: f64, height: f64, slope: (f64, f64), wet: bool) -> Spectrum {
        let grain = noise::unit(self.seed.wrapping_add(200), x as i64, y as i64) - 0.5;
        let patch = noise::value(self.seed.wrapping_add(201), x / 9.0, y / 9.0) - 0.5;
        if wet {
            return WATER.map(|sample| sample * (1.0 + 0.08 * grain + 0.1 * patch));
        }
        let cover = self.cover(x, y, height, slope);
        // The sun stands in the south-east, 45 degrees high: slopes that face it are brighter.
        let (dx, dy) = slope;
        let light = (1.0 - 0.5 * dx - 0.5 * dy) / (1.0 + dx * dx + dy * dy).sqrt();
        let shade = 0.45 + 0.55 * light.clamp(0.1, 1.5);
        cover.map(|sample| sample * shade * (1.0 + 0.07 * grain + 0.12 * patch))
    }

    /// What grows, or does not, on dry ground.
    fn cover(&self, x: f64, y: f64, height: f64, slope: (f64, f64)) -> Spectrum {
        let steep = slope.0.hypot(slope.1);
        let moist = noise::fractal(self.seed.wrapping_add(300), x / 320.0, y / 320.0, 4);
        let level = height + 0.25 * (moist - 0.5);
        let mountain = mix(ROCK, SNOW, step(0.72, 0.80, level));
        let alpine = mix(MEADOW, mountain, step(0.5, 0.62, level + 0.1 * steep));
        let woods = step(0.53, 0.58, moist + 0.35 * height + 0.15 * steep);
        let low = mix(self.field(x, y), WOOD, woods);
        mix(low, alpine, step(0.4, 0.48, level))
    }

    /// Fields: parcels of a warped grid, each with a crop of its own, hedges between.
    fn field(&self, x: f64, y: f64) -> Spectrum {
        let seed = self.seed.wrapping_add(400);
        let bend =
            |number: u64| 30.0 * noise::value(seed.wrapping_add(number), x / 180.0, y / 180.0);
        // A different lie of the land every few hundred cells.
        let (x, y) = (0.94 * x + 0.34 * y + bend(1), 0.94 * y - 0.34 * x + bend(2));
        let row = (y / FIELD_CELLS.1).floor();
        let offset = noise::unit(seed, 7, row as i64);
        let along = x / FIELD_CELLS.0 + offset;
        let col = along.floor();
        let (col_id, row_id) = (col as i64, row as i64);
        let (into_x, into_y) = ((along - col) * FIELD_CELLS.0, y - row * FIELD_CELLS.1);
        if into_x < 1.2 || into_y < 1.2 {
            return mix(MEADOW, WOOD, 0.5);
        }
        let kind = noise::unit(seed.wrapping_add(3), col_id, row_id);
        let vigour = noise::unit(seed.wrapping_add(4), col_id, row_id);
        match kind {
            kind if kind < 0.2 => MEADOW,
            kind if kind < 0.35 => mix(SOIL, CROP, 0.15 * vigour),
            _ => mix(SOIL, CROP, 0.25 + 0.75 * vigour),
        }
    }
}

/// Goes smoothly from 0 below `from` to 1 above `to`.
fn step(from: f64, to: f64, value: f64) -> f64 {
    let t = ((value - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn mix(a: Spectrum, b: Spectrum, part: f64) -> Spectrum {
    let mut mixed = a;
    for (a, b) in mixed.iter_mut().zip(b) {
        *a += (b - *a) * part;
    }
    mixed
}
