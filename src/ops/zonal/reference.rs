//! From the coordinates of zones to those of a raster, vertex by vertex.

use super::outline::Outline;
use crate::crs::{Definition, Transformer, wkt};
use crate::grid::Crs;

/// How the coordinates of zones become those of a raster.
#[derive(Debug, Clone)]
pub struct Reference {
    /// From the one system to the other, when they differ.
    change: Option<Transformer>,
}

/// Says why zones cannot be brought to a raster.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// The CRS of the zones is none that is known.
    #[error(
        "the zones' CRS, {crs}, is not one that Swath can project from; give --zones-crs EPSG:CODE, or --zones-crs raster when they have the raster's"
    )]
    Zones {
        /// As the file says it.
        crs: String,
    },
    /// The CRS of the raster is none that is known.
    #[error(
        "the zones are in {zones} and the raster in {raster}, which Swath cannot project to; reproject the zones to it (ogr2ogr -t_srs) and give --zones-crs raster"
    )]
    Raster {
        /// The zones' CRS.
        zones: String,
        /// The raster's.
        raster: String,
    },
    /// A vertex that has no place in the raster's CRS.
    #[error(
        "zone {zone} has a vertex at {x} {y}, which has no place in the raster's CRS; cut the zones to the raster's surroundings first"
    )]
    Vertex {
        /// The number of the zone in its file, from 0.
        zone: u64,
        /// First coordinate.
        x: f64,
        /// Second coordinate.
        y: f64,
    },
}

impl Reference {
    /// Finds the way from the zones' CRS to the raster's. What one of them does not say is taken to be as the other.
    ///
    /// - `zones`: an authority's code such as `EPSG:32633`, WKT or PROJJSON; `None` when the file does not say, or when
    ///   it was said that it is the raster's.
    ///
    /// # Errors
    /// When they differ and one of them is not known.
    pub fn new(zones: Option<&str>, raster: &Crs) -> Result<Self, ReferenceError> {
        let same = Self { change: None };
        let Some(zones) = zones.filter(|_| !raster.is_unknown()) else {
            return Ok(same);
        };
        if code(zones).is_some() && code(zones) == raster.epsg {
            return Ok(same);
        }
        let shown = || match zones.len() {
            0..80 => zones.to_owned(),
            _ => wkt::name(zones).unwrap_or_else(|| "given as text".to_owned()),
        };
        let from = definition(zones).ok_or_else(|| ReferenceError::Zones { crs: shown() })?;
        let unknown = || ReferenceError::Raster {
            zones: shown(),
            raster: raster.to_string(),
        };
        let to = Definition::of(raster).map_err(|_| unknown())?;
        let change = Transformer::new(&from, &to).map_err(|_| unknown())?;
        Ok(Self {
            change: Some(change),
        })
    }

    /// Brings the positions of a zone to the raster's CRS.
    ///
    /// # Errors
    /// When a vertex has no place there, or is not a number.
    pub fn apply(&self, zone: u64, outline: &mut Outline) -> Result<(), ReferenceError> {
        for position in outline.positions_mut() {
            let [x, y] = *position;
            let vertex = || ReferenceError::Vertex { zone, x, y };
            if let Some(change) = &self.change {
                let (x, y) = change.point(x, y).ok_or_else(vertex)?;
                *position = [x, y];
            }
            if !position.iter().all(|number| number.is_finite()) {
                return Err(vertex());
            }
        }
        Ok(())
    }
}

/// Reads an EPSG code; that of longitude and latitude on WGS 84 has other names.
fn code(text: &str) -> Option<u32> {
    let (authority, code) = text.rsplit_once(':')?;
    match (authority, code) {
        ("OGC", "CRS84") => Some(4326),
        ("EPSG", code) => code.parse().ok(),
        _ => None,
    }
}

fn definition(text: &str) -> Option<Definition> {
    match code(text) {
        Some(code) => Definition::from_epsg(code).ok(),
        None => wkt::proj_string(text).map(Definition::from_proj),
    }
}
