//! Where zones are in a raster.

use std::collections::BTreeMap;

use super::outline::Outline;
use super::reference::{Reference, ReferenceError};
use super::windows::WindowGrid;
use crate::grid::{Affine, RasterProfile};

/// Brings zones, as a file has them, to the cells and windows of a raster; numbers windows as zones first touch them.
///
/// Whoever places the same zones in the same order gets the same numbers.
#[derive(Debug)]
pub struct Placement {
    reference: Reference,
    transform: Affine,
    grid: WindowGrid,
    numbers: BTreeMap<u64, u32>,
}

impl Placement {
    /// Makes it.
    ///
    /// - `zones_crs`: what the zones' file says of its CRS. `asked`: what the user says of it: a code, or `raster`.
    ///
    /// # Errors
    /// When the zones cannot be brought to the raster's CRS.
    pub fn new(
        zones_crs: Option<&str>,
        asked: Option<&str>,
        profile: &RasterProfile,
        grid: WindowGrid,
    ) -> Result<Self, ReferenceError> {
        let crs = match asked {
            Some("raster") => None,
            Some(asked) => Some(asked),
            None => zones_crs,
        };
        Ok(Self {
            reference: Reference::new(crs, &profile.crs)?,
            transform: profile.transform.unwrap_or(Affine::identity()),
            grid,
            numbers: BTreeMap::new(),
        })
    }

    /// Brings a zone to cells.
    ///
    /// - `zone`: its number, for errors.
    ///
    /// # Errors
    /// When a vertex has no place in the raster's CRS.
    pub fn place(
        &self,
        zone: u64,
        polygons: Vec<Vec<Vec<[f64; 2]>>>,
    ) -> Result<Outline, ReferenceError> {
        let mut outline = Outline { polygons };
        self.reference.apply(zone, &mut outline)?;
        // A transform without an inverse has no cells.
        Ok(outline.to_cells(&self.transform).unwrap_or_default())
    }

    /// Lists the windows that a zone touches: their numbers by first touch, and their numbers in the grid.
    pub fn windows(&mut self, outline: &Outline) -> Vec<(u32, u64)> {
        let mut found = Vec::new();
        for window in self.grid.touched(outline) {
            let next = self.count();
            found.push((*self.numbers.entry(window).or_insert(next), window));
        }
        found
    }

    /// Returns the number of windows touched so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.numbers.len()).unwrap_or(u32::MAX)
    }
}
