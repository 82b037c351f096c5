//! A CRS as a PROJ string.

use serde::{Deserialize, Serialize};

use super::{Error, geokeys};
use crate::grid::Crs;

/// GeoKeys of a CRS that is known by its code.
const MODEL_TYPE: u16 = 1024;
const RASTER_TYPE: u16 = 1025;
const GEODETIC_CRS: u16 = 2048;
const PROJECTED_CRS: u16 = 3072;

/// A CRS as a PROJ string, coordinates east (or x) first, degrees where it is geographic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Definition(String);

impl Definition {
    /// Takes a PROJ string as it is.
    #[must_use]
    pub fn from_proj(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Looks a code up.
    ///
    /// # Errors
    /// When no geographic or projected CRS has it.
    pub fn from_epsg(code: u32) -> Result<Self, Error> {
        let unknown = || Error::UnknownCode { code };
        let short = u16::try_from(code).map_err(|_| unknown())?;
        let found = crs_definitions::from_code(short).ok_or_else(unknown)?;
        let definition = found.proj4.trim();
        // Compound and vertical CRS have no string, or one without a projection.
        let usable = definition.contains("+proj=") && !definition.contains("+proj=geocent");
        usable
            .then(|| Self(definition.to_owned()))
            .ok_or_else(unknown)
    }

    /// Says what the CRS of a raster is: by its code, else by what its keys define.
    ///
    /// # Errors
    /// When the raster has no CRS, or one that is not understood.
    pub fn of(crs: &Crs) -> Result<Self, Error> {
        match crs.epsg {
            Some(code) => {
                Self::from_epsg(code).or_else(|error| geokeys::definition(crs).map_err(|_| error))
            }
            None if crs.is_unknown() => Err(Error::Missing),
            None => geokeys::definition(crs),
        }
    }

    /// Reads `EPSG:3857` or `3857`; returns the CRS with the keys that a GeoTIFF states it by.
    ///
    /// # Errors
    /// When the text is no code, or nobody has the code.
    pub fn parse(text: &str) -> Result<(Crs, Self), Error> {
        let trimmed = text.trim();
        let digits = match trimmed.split_once(':') {
            Some((authority, code)) if authority.eq_ignore_ascii_case("epsg") => code,
            None => trimmed,
            Some(_) => "",
        };
        let code: u32 = digits.parse().map_err(|_| Error::NotACrs {
            text: text.to_owned(),
        })?;
        let definition = Self::from_epsg(code)?;
        Ok((definition.keys(code), definition))
    }

    fn keys(&self, code: u32) -> Crs {
        let (model, key) = if self.is_geographic() {
            (2, GEODETIC_CRS)
        } else {
            (1, PROJECTED_CRS)
        };
        // `from_epsg` has looked it up by 16 bit.
        let value = u16::try_from(code).unwrap_or(u16::MAX);
        Crs {
            epsg: Some(code),
            key_directory: [
                [1, 1, 0, 3],
                [MODEL_TYPE, 0, 1, model],
                [RASTER_TYPE, 0, 1, 1],
                [key, 0, 1, value],
            ]
            .concat(),
            double_params: Vec::new(),
            ascii_params: String::new(),
        }
    }

    /// Returns the PROJ string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether coordinates are longitude and latitude in degrees.
    #[must_use]
    pub fn is_geographic(&self) -> bool {
        self.0.split_whitespace().any(|word| {
            matches!(
                word,
                "+proj=longlat" | "+proj=latlong" | "+proj=lonlat" | "+proj=latlon"
            )
        })
    }
}

impl std::fmt::Display for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_becomes_a_definition_and_keys() {
        let (crs, definition) = Definition::parse("epsg:3857").unwrap();
        assert!(definition.as_str().contains("+proj=merc"));
        assert_eq!(crs.epsg, Some(3857));
        assert_eq!(crs.key_directory[12..], [3072, 0, 1, 3857]);
        let (crs, definition) = Definition::parse("4326").unwrap();
        assert!(definition.is_geographic());
        assert_eq!(crs.key_directory[4..8], [1024, 0, 1, 2]);
    }

    #[test]
    fn what_is_no_crs_is_refused_by_name() {
        assert_eq!(
            Definition::parse("mercator"),
            Err(Error::NotACrs {
                text: "mercator".to_owned()
            })
        );
        assert_eq!(
            Definition::parse("EPSG:1"),
            Err(Error::UnknownCode { code: 1 })
        );
        // EPSG:5773 is a height.
        assert_eq!(
            Definition::parse("EPSG:5773"),
            Err(Error::UnknownCode { code: 5773 })
        );
        assert_eq!(Definition::of(&Crs::default()), Err(Error::Missing));
    }
}
