//! What is where: relief, water, fields, woods, rock and snow, and how they look in five bands.

use super::noise;

/// The sample that means "no data" in the bands.
pub(super) const NO_DATA: u16 = 0;

/// Cells from one mountain to the next, about.
const RELIEF_CELLS: f64 = 900.0;
/// Cells from one river to the next, about.
const RIVER_CELLS: f64 = 700.0;
/// Cells from one lake to the next, about.
const LAKE_CELLS: f64 = 260.0;
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

/// The noises that decide what is at a cell.
struct Ground {
    /// Rivers wind where it crosses its middle.
    course: f64,
    /// Lakes lie where it is highest.
    lake: f64,
    /// Woods stand where it is high, fields where it is low.
    moist: f64,
    /// Brighter and darker patches, some cells wide.
    patch: f64,
    /// How far the grid of fields is bent, in cells.
    bend: (f64, f64),
}

impl Ground {
    /// Tells whether a cell is river or lake, which lie below the hills.
    fn is_water(&self, height: f64) -> bool {
        let width = 0.004 + 0.006 * (0.3 - height);
        let river = (self.course - 0.5).abs() < width;
        height <= 0.3 && (river || self.lake > 0.93 && height < 0.12)
    }
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
        let line = |row: u32| self.heights((left, row), cols as usize + 1);
        let mut below = line(top);
        for row in top..top + rows {
            let heights = std::mem::replace(&mut below, line(row + 1));
            let ground = self.ground((left, row), cols as usize);
            let here_and_right = heights.iter().zip(heights.iter().skip(1));
            let around = here_and_right.zip(&below).zip(ground);
            for (col, (((here, right), below), ground)) in (left..).zip(around) {
                let (x, y, here) = (f64::from(col), f64::from(row), *here);
                let slope = (
                    (right - here) * RELIEF_M / CELL_M,
                    (below - here) * RELIEF_M / CELL_M,
                );
                let wet = ground.is_water(here);
                let elevation_m = if wet {
                    here * RELIEF_M - 3.0
                } else {
                    here * RELIEF_M
                };
                tile.elevation_m.push(elevation_m as f32);
                let spectrum = if self.is_outside(x, y) {
                    None
                } else {
                    Some(self.spectrum((col, row), &ground, here, slope, wet))
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

    /// Relief from 0 to 1 of a row: broad valleys, steeper towards the peaks.
    fn heights(&self, from: (u32, u32), count: usize) -> Vec<f64> {
        let mut line = noise::line(self.seed, 8, RELIEF_CELLS, from, count);
        for height in &mut line {
            let lifted = ((*height - 0.28) / 0.5).clamp(0.0, 1.0);
            *height = 0.03 + 0.05 * *height + 0.92 * lifted * lifted;
        }
        line
    }

    /// The noises of a row.
    fn ground(&self, from: (u32, u32), count: usize) -> impl Iterator<Item = Ground> {
        let line = |number: u64, octaves: u32, cells: f64| {
            noise::line(self.seed.wrapping_add(number), octaves, cells, from, count).into_iter()
        };
        let water = line(100, 4, RIVER_CELLS).zip(line(150, 1, LAKE_CELLS));
        let growth = line(300, 4, 320.0).zip(line(201, 1, 9.0));
        let bends = line(401, 1, 180.0).zip(line(402, 1, 180.0));
        water
            .zip(growth)
            .zip(bends)
            .map(
                |(((course, lake), (moist, patch)), (bend_x, bend_y))| Ground {
                    course,
                    lake,
                    moist,
                    patch,
                    bend: (30.0 * bend_x, 30.0 * bend_y),
                },
            )
    }

    fn spectrum(
        &self,
        (col, row): (u32, u32),
        ground: &Ground,
        height: f64,
        slope: (f64, f64),
        wet: bool,
    ) -> Spectrum {
        let seed = self.seed.wrapping_add(200);
        let grain = noise::unit(seed, i64::from(col), i64::from(row)) - 0.5;
        let patch = ground.patch - 0.5;
        if wet {
            return WATER.map(|sample| sample * (1.0 + 0.08 * grain + 0.1 * patch));
        }
        let place = (f64::from(col), f64::from(row));
        let cover = self.cover(place, ground, height, slope);
        // The sun stands in the south-east, 45 degrees high: slopes that face it are brighter.
        let (dx, dy) = slope;
        let light = (1.0 - 0.5 * dx - 0.5 * dy) / (1.0 + dx * dx + dy * dy).sqrt();
        let shade = 0.45 + 0.55 * light.clamp(0.1, 1.5);
        let look = shade * (1.0 + 0.07 * grain + 0.12 * patch);
        cover.map(|sample| sample * look)
    }

    /// What grows, or does not, on dry ground.
    fn cover(
        &self,
        place: (f64, f64),
        ground: &Ground,
        height: f64,
        slope: (f64, f64),
    ) -> Spectrum {
        let steep = (slope.0 * slope.0 + slope.1 * slope.1).sqrt();
        let moist = ground.moist;
        let level = height + 0.25 * (moist - 0.5);
        let mountain = mix(ROCK, SNOW, step(0.72, 0.80, level));
        let alpine = mix(MEADOW, mountain, step(0.5, 0.62, level + 0.1 * steep));
        let woods = step(0.53, 0.58, moist + 0.35 * height + 0.15 * steep);
        let low = mix(self.field(place, ground.bend), WOOD, woods);
        mix(low, alpine, step(0.4, 0.48, level))
    }

    /// Fields: parcels of a warped grid, each with a crop of its own, hedges between.
    fn field(&self, (x, y): (f64, f64), bend: (f64, f64)) -> Spectrum {
        let seed = self.seed.wrapping_add(400);
        // A different lie of the land every few hundred cells.
        let (x, y) = (0.94 * x + 0.34 * y + bend.0, 0.94 * y - 0.34 * x + bend.1);
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
