//! Relief of elevations with GDAL's names, defaults and answers: hillshade, slope, aspect, roughness, TRI, TPI.
//!
//! Each is a function of the 3 × 3 cells around a cell, in doubles; [`lines`] says what stands in for cells that are not there.
//! Angles come from [`angle`], so that every machine gives the same bits.

mod angle;
mod aspect;
mod hillshade;
mod lines;
mod ruggedness;
mod slope;

use serde::{Deserialize, Serialize};

use self::lines::Lines;
use super::Error;
use super::kernel::PanelKernel;
use super::panel::Panel;
use crate::spec::{Gradient, TerrainProduct};

/// The ground size of a cell in the unit of the elevations, as gradients need it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CellSize {
    /// From a cell to the next in its row.
    pub east: f64,
    /// From a cell to the next in its column: negative where rows go south.
    pub south: f64,
}

/// One product of an elevation raster.
pub(super) struct Relief {
    product: Product,
    compute_edges: bool,
    lines: Lines,
}

enum Product {
    Hillshade(hillshade::Light),
    Slope(slope::Steepness),
    Aspect(aspect::Direction),
    Roughness,
    Tri(crate::spec::RuggednessFormula),
    Tpi,
}

impl Relief {
    pub(super) fn new(
        product: &TerrainProduct,
        cell: CellSize,
        compute_edges: bool,
    ) -> Result<Self, Error> {
        let product = match product {
            TerrainProduct::Hillshade(light) => {
                Product::Hillshade(hillshade::Light::new(light, cell)?)
            }
            TerrainProduct::Slope(slope) => Product::Slope(slope::Steepness::new(slope, cell)?),
            TerrainProduct::Aspect(aspect) => Product::Aspect(aspect::Direction::new(aspect)),
            TerrainProduct::Roughness => Product::Roughness,
            TerrainProduct::Tri(formula) => Product::Tri(*formula),
            TerrainProduct::Tpi => Product::Tpi,
        };
        Ok(Self {
            product,
            compute_edges,
            lines: Lines::default(),
        })
    }
}

impl PanelKernel<f64> for Relief {
    fn run(&mut self, panel: &Panel<f64>, out: &mut [f64]) {
        let width = panel.core_cols();
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            let lines = if self.compute_edges {
                self.lines.with_edges(panel, row)
            } else {
                [0, 1, 2].map(|n| panel.row(row + n))
            };
            let nine = Nine {
                lines,
                mend: self.compute_edges && panel.holes,
            };
            match &self.product {
                Product::Hillshade(light) => light.row(nine, out),
                Product::Slope(steepness) => steepness.row(nine, out),
                Product::Aspect(direction) => direction.row(nine, out),
                Product::Roughness => ruggedness::roughness(nine, out),
                Product::Tri(formula) => ruggedness::tri(*formula, nine, out),
                Product::Tpi => ruggedness::tpi(nine, out),
            }
        }
    }
}

/// Three lines of cells, each one cell longer at both ends than the row to compute.
#[derive(Clone, Copy)]
struct Nine<'a> {
    lines: [&'a [f64]; 3],
    /// Whether the centre stands in for neighbours without data.
    mend: bool,
}

impl Nine<'_> {
    /// Computes a row: `f` of the nine cells, row by row from the upper left, where all have data.
    #[inline(always)]
    fn each(self, out: &mut [f64], f: impl Fn([f64; 9]) -> f64) {
        let [a, b, c] = self.lines.map(|line| line.get(..out.len() + 2));
        let (Some(a), Some(b), Some(c)) = (a, b, c) else {
            debug_assert!(false, "lines are as long as the row and two cells more");
            return;
        };
        // Slices of one known length, so that the loops need no checks and are vectorised.
        let at = |i: usize| {
            [
                a[i],
                a[i + 1],
                a[i + 2],
                b[i],
                b[i + 1],
                b[i + 2],
                c[i],
                c[i + 1],
                c[i + 2],
            ]
        };
        if self.mend {
            for (i, out) in out.iter_mut().enumerate() {
                let cells = at(i);
                let centre = cells[4];
                *out = valued(
                    cells.map(|cell| if cell.is_nan() { centre } else { cell }),
                    &f,
                );
            }
        } else {
            for (i, out) in out.iter_mut().enumerate() {
                *out = valued(at(i), &f);
            }
        }
    }
}

#[inline(always)]
fn valued(cells: [f64; 9], f: impl Fn([f64; 9]) -> f64) -> f64 {
    let [a, b, c, d, e, g, h, i, j] = cells;
    // NaN when any of them is, whichever of them the formula looks at.
    let all = (a + b) + (c + d) + (e + g) + (h + i) + j;
    if all.is_nan() { f64::NAN } else { f(cells) }
}

impl Gradient {
    /// Returns the differences west less east and south less north, times [`Gradient::weight`].
    ///
    /// Sources: Horn (1981), *Hill shading and the reflectance map*, Proc. IEEE 69(1); Zevenbergen and Thorne (1987),
    /// *Quantitative analysis of land surface topography*, Earth Surface Processes and Landforms 12.
    #[inline(always)]
    fn of(self, [a, b, c, d, _, f, g, h, i]: [f64; 9]) -> (f64, f64) {
        match self {
            Self::Horn => (
                (a + d + d + g) - (c + f + f + i),
                (g + h + h + i) - (a + b + b + c),
            ),
            Self::ZevenbergenThorne => (d - f, h - b),
        }
    }

    /// Returns how many cells' lengths the differences add up.
    fn weight(self) -> f64 {
        match self {
            Self::Horn => 8.0,
            Self::ZevenbergenThorne => 2.0,
        }
    }
}

fn positive(name: &'static str, value: f64) -> Result<f64, Error> {
    if value > 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(Error::NotPositive { name, value })
    }
}

fn cell_size(cell: CellSize) -> Result<CellSize, Error> {
    positive("the size of a cell", cell.east.abs())?;
    positive("the size of a cell", cell.south.abs())?;
    Ok(cell)
}
