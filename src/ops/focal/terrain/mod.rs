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
use crate::spec::{Gradient, RuggednessFormula, TerrainProduct};

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
    Tri(RuggednessFormula),
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
                Product::Roughness => nine.each(out, &ruggedness::Roughness),
                Product::Tri(RuggednessFormula::Riley) => nine.each(out, &ruggedness::Riley),
                Product::Tri(RuggednessFormula::Wilson) => nine.each(out, &ruggedness::Wilson),
                Product::Tpi => nine.each(out, &ruggedness::Position),
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

/// What is computed of nine cells, row by row from the upper left, all of which have data.
///
/// A trait and not a closure, because a function can be told to be inlined: a call a cell would cost more than the math, and
/// keep loops from being vectorised.
trait Formula {
    fn of(&self, cells: [f64; 9]) -> f64;
}

impl Nine<'_> {
    /// Computes a row.
    fn each(self, out: &mut [f64], formula: &impl Formula) {
        let [a, b, c] = self.lines.map(|line| line.get(..out.len() + 2));
        let (Some(a), Some(b), Some(c)) = (a, b, c) else {
            debug_assert!(false, "lines are as long as the row and two cells more");
            return;
        };
        // Slices of one known length, so that the loops need no checks and are vectorised.
        if self.mend {
            for (i, out) in out.iter_mut().enumerate() {
                let cells = at([a, b, c], i);
                let centre = cells[4];
                let mended = cells.map(|cell| if cell.is_nan() { centre } else { cell });
                *out = valued(mended, formula);
            }
        } else {
            for (i, out) in out.iter_mut().enumerate() {
                *out = valued(at([a, b, c], i), formula);
            }
        }
    }
}

/// Returns the nine cells whose upper left one is the line's cell `i`.
#[inline(always)]
fn at([a, b, c]: [&[f64]; 3], i: usize) -> [f64; 9] {
    let (j, k) = (i + 1, i + 2);
    [a[i], a[j], a[k], b[i], b[j], b[k], c[i], c[j], c[k]]
}

/// Computes a cell, NaN when any of the nine is, whichever of them the formula looks at.
#[inline(always)]
fn valued(cells: [f64; 9], formula: &impl Formula) -> f64 {
    let [a, b, c, d, e, g, h, i, j] = cells;
    let all = (a + b) + (c + d) + (e + g) + (h + i) + j;
    // Without a branch, which would keep the loop from being vectorised. What is not finite is no elevation either.
    formula.of(cells) + 0.0 * all
}

/// Which [`Gradient`], known when a loop is compiled.
trait Differences {
    /// Returns the differences west less east and south less north, times [`Gradient::weight`].
    fn of(cells: [f64; 9]) -> (f64, f64);
}

/// Source: Horn (1981), *Hill shading and the reflectance map*, Proc. IEEE 69(1).
struct Horn;

impl Differences for Horn {
    #[inline(always)]
    fn of([a, b, c, d, _, f, g, h, i]: [f64; 9]) -> (f64, f64) {
        (
            (a + d + d + g) - (c + f + f + i),
            (g + h + h + i) - (a + b + b + c),
        )
    }
}

/// Source: Zevenbergen and Thorne (1987), *Quantitative analysis of land surface topography*, Earth Surface Processes and
/// Landforms 12.
struct ZevenbergenThorne;

impl Differences for ZevenbergenThorne {
    #[inline(always)]
    fn of([_, b, _, d, _, f, _, h, _]: [f64; 9]) -> (f64, f64) {
        (d - f, h - b)
    }
}

impl Gradient {
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
